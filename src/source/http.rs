//! git over `https://` and `http://`, on the TLS that everything else here has. libgit2 has one of its own, and asks for all
//! references of a server at every poll.
//!
//! ```text
//!  Transport::list ───> list ──┬─> packets, refs: what was asked, what came     (pure)
//!  Transport::fetch ──> Call   │
//!       libgit2 ──> subtransport ──> client, body: requests, redirects, credentials ──> tls, issuer
//!                                        └──> failure, rate: what went wrong, for people
//! ```

mod address;
mod body;
mod client;
mod failure;
mod issuer;
mod packets;
mod rate;
mod refs;
mod subtransport;
mod tls;

use std::sync::Arc;

pub(super) use client::Settings;
pub(super) use subtransport::{Call, install};

use body::Limit;
use client::{Session, Version};
use packets::Packets;
use refs::Greeting;

use super::error::SourceError;
use super::reference::Head;

/// Whether a URL is read over HTTP.
pub(super) fn is_http(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http"))
}

/// The references of a server whose names begin with one of these, in two requests; in one, of all of its references, where it
/// does not speak version 2 of git's protocol.
pub(super) fn list(settings: Settings, wanted: &[String]) -> Result<Vec<Head>, SourceError> {
    let session = Arc::new(Session::open(settings)?);
    let failed = |error| session.asked_last().of_wire(error);
    let mut packets = Packets::new(session.references(Version::Two)?, refs::MOST_BYTES);
    let capabilities = match refs::greeting(&mut packets, wanted).map_err(failed)? {
        Greeting::Version2(capabilities) => capabilities,
        Greeting::References(heads) => return Ok(heads),
    };
    drop(packets);
    let request = refs::request(&capabilities, wanted);
    let answer = session.exchange(request, Version::Two, Limit::References(refs::MOST_BYTES))?;
    refs::answer(&mut Packets::new(answer, refs::MOST_BYTES), wanted).map_err(failed)
}
