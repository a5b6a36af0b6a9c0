//! Files from elsewhere than the sync's git repository: from chart repositories over https, and from registries.
//!
//! ```text
//!  Web ──┬─> http: one file, with redirects, limits and what has not changed since
//!        └─> registry: the tags of a chart, and its archive
//!  FetchCache: what was fetched, on disk, so that it is there when the other side is not
//! ```
//! Nothing here knows what the bytes mean, or who may fetch what.

mod cache;
mod error;
mod exchange;
mod http;
mod login;
mod registry;

use crate::object::Digest;

pub use cache::{CachedFile, FetchCache};
pub use error::{Awaited, FetchError};
pub use http::{Download, FetchTimeouts, Web};
pub use login::{Login, LoginError};

/// The SHA-256 of some bytes, in 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string().split_off("sha256:".len())
}
