//! The decision about one request.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderMap;

use super::payload::{Happened, read};
use super::verify::{Proof, Signed, WINDOW, verify};
use super::{Location, Of, Secrets, Sender};

/// Longer ids are not remembered.
const LONGEST_ID: usize = 128;

/// A request, whole.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// By the path.
    pub sender: Sender,
    /// As they came.
    pub headers: &'a HeaderMap,
    /// As it came: signatures are over these very bytes.
    pub body: &'a [u8],
    /// Since 1970, by the system's clock.
    pub now: Duration,
}

/// What a verified request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Somebody tries out the webhook.
    Ping,
    /// It is about something else than a push.
    Unrelated,
    /// Something was pushed.
    Pushed {
        /// All names of what has changed.
        what: BTreeSet<(Of, Location)>,
        /// By which the sender knows this delivery, where it says so.
        delivery: Option<String>,
    },
}

/// Why a request is refused. Nothing of it is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No secret of this sender proves it, or there is none.
    Unproven,
    /// It is proven, and its time is too far from now.
    Stale,
    /// It is proven, and its body cannot be used.
    Invalid(&'static str),
}

/// Decides about a request.
///
/// # Errors
/// It is refused.
pub fn receive(request: &Request<'_>, secrets: &Secrets) -> Result<Received, Refused> {
    let Request { sender, headers, body, now } = *request;
    let proof = verify(&Signed { sender, headers, body }, secrets).ok_or(Refused::Unproven)?;
    if let Proof::SignedAt(at) = proof
        && Duration::from_secs(at).abs_diff(now) > WINDOW
    {
        return Err(Refused::Stale);
    }
    Ok(match read(sender, headers, body).map_err(Refused::Invalid)? {
        Happened::Ping => Received::Ping,
        Happened::Else => Received::Unrelated,
        Happened::Pushed(what) => Received::Pushed { what, delivery: delivery(sender, headers) },
    })
}

/// The id of a delivery; of those that sign a time, the signature is one.
fn delivery(sender: Sender, headers: &HeaderMap) -> Option<String> {
    let names: &[&str] = match sender {
        Sender::Github => &["x-github-delivery"],
        Sender::Gitea => &["x-forgejo-delivery", "x-gitea-delivery"],
        Sender::Gitlab => &["webhook-id"],
        Sender::Hmac => &["x-driftless-signature"],
        Sender::Bitbucket | Sender::Azure | Sender::Registry => &[],
    };
    let id = names.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    (!id.is_empty() && id.len() <= LONGEST_ID).then(|| format!("{}/{id}", sender.key()))
}

#[cfg(test)]
mod tests;
