//! Replacing objects whose fields cannot be changed in place (`driftless.dev/replace`).

mod fixture;
mod guard;
mod kept;
mod kinds;
