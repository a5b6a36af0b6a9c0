//! The hashes that stand for content: the digest of a manifest and the fingerprint of what
//! the API server says we own.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// SHA-256 of a manifest's canonical JSON; for Secrets HMAC-SHA-256 under a [`DigestKey`],
/// since a plain hash of a weak password can be guessed by whoever may read annotations.
/// Written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// SHA-256 of the canonical JSON of our own Apply entry in `managedFields`, its time left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// The first 128 bits of a hash, for the stored map: enough to distinguish two contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Short(pub [u8; 16]);

/// The text is no digest.
#[derive(Debug, Error)]
#[error("a digest is written as sha256: and 64 hexadecimal digits")]
pub struct ParseDigestError;

impl Digest {
    /// The SHA-256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the first 128 bits, which the inventory stores.
    #[must_use]
    pub fn short(&self) -> Short {
        first_half(&self.0)
    }
}

impl Fingerprint {
    /// The fingerprint of the canonical JSON of a `managedFields` entry.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the first 128 bits, which the inventory stores.
    #[must_use]
    pub fn short(&self) -> Short {
        first_half(&self.0)
    }
}

impl Short {
    /// For texts such as a UID.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Digest::of(text.as_bytes()).short()
    }
}

fn first_half(hash: &[u8; 32]) -> Short {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Short(half)
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let digits = text.strip_prefix("sha256:").ok_or(ParseDigestError)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(ParseDigestError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseDigestError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseDigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The key under which Secrets are digested: 32 random bytes, kept in a Secret beside the parents.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// Makes a key of 32 bytes, which have to be random and kept secret.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 of some bytes (RFC 2104).
    #[must_use]
    pub fn digest(&self, bytes: &[u8]) -> Digest {
        // HMAC takes keys of any length, so the error that the interface allows for cannot occur;
        // should it ever, an unkeyed hash must not take the place of the keyed one.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Digest([0; 32]) };
        Digest(mac.chain_update(bytes).finalize().into_bytes().into())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DigestKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_writes() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("sha256:12".parse::<Digest>().is_err());
        assert!("sha256:zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse::<Digest>().is_err());
    }

    #[test]
    fn a_keyed_digest_depends_on_the_key() {
        // RFC 4231, test case 2 has a 4-byte key; padded with zeros to 32 bytes it is the same key to HMAC.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            DigestKey::new(key).digest(b"what do ya want for nothing?").to_string(),
            "sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_ne!(DigestKey::new([1; 32]).digest(b"x"), DigestKey::new([2; 32]).digest(b"x"));
    }
}
