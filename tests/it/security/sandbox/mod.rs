//! The sandbox of helpers. The hostile program (`tests/escape`) runs without the sandbox as well, so that each attempt is
//! one that can succeed.

mod attempts;
mod fixture;
mod limits;
mod process;
mod work;
