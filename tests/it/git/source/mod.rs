//! git as the agent meets it: real repositories, `file://` and the real `git http-backend`.

mod clones;
mod content;
mod fixture;
mod https;
mod redirects;
mod references;
mod servers;
