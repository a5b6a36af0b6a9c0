//! Whether a request comes from whom it says. Every comparison takes the same time whatever is wrong, and a sender without a
//! secret is refused like one with a wrong signature.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

use super::Sender;

/// Lines of one key: the secret in use, and the one that it is replaced by, are two.
const MOST: usize = 8;
/// How far a signed time may be off.
pub(super) const WINDOW: Duration = Duration::from_mins(5);
/// For a sender without a secret: so that this takes as long.
const NOBODY: &[u8] = b"no secret is known";

/// The secrets of all senders.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<Sender, Vec<Vec<u8>>>);

impl Secrets {
    /// Those in the data of a Secret: each line of a value is one. Other keys mean nothing.
    #[must_use]
    pub fn of(data: &BTreeMap<String, Vec<u8>>) -> Self {
        let lines = |value: &Vec<u8>| {
            let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).take(MOST).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let known = Sender::ALL.into_iter().filter_map(|sender| Some((sender, lines(data.get(sender.key())?))));
        Self(known.filter(|(_, lines)| !lines.is_empty()).collect())
    }

    /// The senders that have one.
    pub fn senders(&self) -> impl Iterator<Item = Sender> {
        self.0.keys().copied()
    }

    fn of_sender(&self, sender: Sender) -> &[Vec<u8>] {
        self.0.get(&sender).map(Vec::as_slice).unwrap_or_default()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// What is to be verified.
pub(super) struct Signed<'a> {
    pub sender: Sender,
    pub headers: &'a HeaderMap,
    /// As it came.
    pub body: &'a [u8],
}

/// That a request comes from whoever has the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Whenever it was sent.
    OfSender,
    /// It was signed at this time, in seconds since 1970.
    SignedAt(u64),
}

/// What one of the sender's secrets proves of a request; `None`: nothing.
pub(super) fn verify(signed: &Signed<'_>, secrets: &Secrets) -> Option<Proof> {
    let known = secrets.of_sender(signed.sender);
    let mut proven = None;
    for secret in known {
        // All of them are tried: how long it takes does not show which one fits.
        let proof = proof(signed, secret);
        proven = proven.or(proof);
    }
    if known.is_empty() {
        let _ = proof(signed, NOBODY);
    }
    proven
}

fn proof(signed: &Signed<'_>, secret: &[u8]) -> Option<Proof> {
    let Signed { sender, headers, body } = signed;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fits = match sender {
        Sender::Github => is_hmac(secret, &[body], header("x-hub-signature-256")?.strip_prefix("sha256=")?),
        Sender::Bitbucket => is_hmac(secret, &[body], header("x-hub-signature")?.strip_prefix("sha256=")?),
        Sender::Gitea => {
            let bare = header("x-forgejo-signature").or_else(|| header("x-gitea-signature"));
            let given = bare.or_else(|| header("x-hub-signature-256")?.strip_prefix("sha256="));
            is_hmac(secret, &[body], given?)
        }
        Sender::Gitlab if secret.starts_with(b"whsec_") => return standard_webhook(secret, headers, body),
        Sender::Gitlab => same(secret, header("x-gitlab-token")?.as_bytes()),
        Sender::Azure => same(secret, &basic(header("authorization")?)?),
        Sender::Registry => {
            let given = header("authorization")?;
            match given.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => same(secret, token.trim().as_bytes()),
                Some((scheme, _)) if scheme.eq_ignore_ascii_case("basic") => same(secret, &basic(given)?),
                // Harbor sends what it was given, as it is.
                _ => same(secret, given.as_bytes()),
            }
        }
        Sender::Hmac => {
            let time = header("x-driftless-timestamp")?;
            let given = header("x-driftless-signature")?.strip_prefix("sha256=")?;
            let fits = is_hmac(secret, &[time.as_bytes(), b".", body], given);
            return fits.then_some(Proof::SignedAt(time.parse().ok()?));
        }
    };
    fits.then_some(Proof::OfSender)
}

/// `webhook-signature` of the specification Standard Webhooks, with which newer GitLab signs.
fn standard_webhook(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Option<Proof> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // With an empty one anybody could sign.
    let key = STANDARD.decode(secret.strip_prefix(b"whsec_")?).ok().filter(|key| !key.is_empty())?;
    let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
    let given = header("webhook-signature")?.split_ascii_whitespace().filter_map(|one| one.strip_prefix("v1,"));
    let mut fits = false;
    for one in given.take(MOST) {
        let tag = STANDARD.decode(one).unwrap_or_default();
        fits |= tag_fits(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", body], &tag);
    }
    fits.then_some(Proof::SignedAt(time.parse().ok()?))
}

/// `user:password`, as one text.
fn basic(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(encoded.trim()).ok()
}

fn is_hmac(secret: &[u8], parts: &[&[u8]], hex: &str) -> bool {
    tag_fits(secret, parts, &unhex(hex).unwrap_or_default())
}

fn tag_fits(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(tag).is_ok()
}

/// Whether two texts are the same, by what each makes of a third: the time that takes says nothing of either.
fn same(secret: &[u8], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(given) else { return false };
    mac.update(NOBODY);
    tag_fits(secret, &[NOBODY], &mac.finalize().into_bytes())
}

/// The 32 bytes of 64 hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}
