//! Signatures of commits and annotated tags: who signed, and why a signature does not count. Pure; the cryptography is that of
//! the crates `ssh-key` and `pgp`.
//!
//! A key counts if it was valid at the time of the signature, as git does it: the committer's or tagger's date for SSH, whose
//! signatures have none of their own, and the signature's date for `OpenPGP`. A key that is revoked never counts.

mod allowed_signers;
mod openpgp;
mod signed;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use thiserror::Error;

use crate::object::Readable;
use allowed_signers::AllowedSigners;
use openpgp::Certificates;
use signed::{Kind, Signed, Tag};

/// The key with SSH keys.
const ALLOWED_SIGNERS: &str = "allowed_signers";
/// How names of keys with `OpenPGP` keys end.
const OPENPGP: [&str; 3] = [".asc", ".gpg", ".pub"];

/// The public keys of those who may sign.
#[derive(Debug)]
pub struct Signers {
    ssh: AllowedSigners,
    openpgp: Certificates,
}

/// Keys of signers cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignersError {
    /// There is no key whose name is one of ours.
    #[error(
        "it has neither {ALLOWED_SIGNERS} (SSH) nor an OpenPGP key under a name that ends in .asc, .gpg or .pub{0}"
    )]
    Nothing(String),
    /// The value of this key is not UTF-8.
    #[error("its key {0} is not valid UTF-8")]
    NotText(String),
    /// A line of `allowed_signers` cannot be read.
    #[error("its key {ALLOWED_SIGNERS} has in line {line} {what}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong there, and how it should be.
        what: String,
    },
    /// The value of this key has no `OpenPGP` public key.
    #[error("its key {name} has no OpenPGP public key: {what}")]
    OpenPgp {
        /// Name of the key.
        name: String,
        /// What it has in its place.
        what: String,
    },
    /// All values are empty or have comments alone.
    #[error("it names nobody who may sign")]
    Nobody,
}

/// Whose key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The principals of `allowed_signers`, or the user of the `OpenPGP` key.
    pub name: String,
    /// As `ssh-keygen -l` and `gpg --list-keys` print it.
    pub fingerprint: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", Readable(&self.name), self.fingerprint)
    }
}

/// Why what is signed, or is not, does not count; to be read behind its name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unverified {
    /// It has no signature.
    #[error("is not signed")]
    Unsigned,
    /// A tag without an object of its own, which has no place for a signature.
    #[error("is not an annotated tag, so it cannot have a signature")]
    NotAnnotated,
    /// The signed tag has another name: someone has given it a second one.
    #[error("is the signed tag {} under another name", Readable(.0))]
    OtherName(String),
    /// Nobody is known by this key; its fingerprint or id.
    #[error("is signed by the unknown key {0}")]
    UnknownKey(String),
    /// It was signed when the key was not valid any more.
    #[error("was signed at {at} by {signer}, whose key was valid until {until}")]
    ExpiredKey {
        /// Whose key it is.
        signer: Signer,
        /// When it was signed.
        at: Timestamp,
        /// The end of the key.
        until: Timestamp,
    },
    /// It was signed before the key was valid.
    #[error("was signed at {at} by {signer}, whose key is valid only from {from}")]
    EarlyKey {
        /// Whose key it is.
        signer: Signer,
        /// When it was signed.
        at: Timestamp,
        /// The beginning of the key.
        from: Timestamp,
    },
    /// The owner has revoked the key.
    #[error("is signed by {0}, whose key is revoked")]
    RevokedKey(Signer),
    /// The signature itself was made to end.
    #[error("has a signature by {signer} that was valid until {until}")]
    ExpiredSignature {
        /// Whose key it is.
        signer: Signer,
        /// The end of the signature.
        until: Timestamp,
    },
    /// The key may encrypt or certify, or sign for other purposes, and not this.
    #[error("is signed by {0} with a key that is not for signing commits")]
    NotForSigning(Signer),
    /// The signature is of something else.
    #[error("does not match the signature by {0}: it was altered after it was signed")]
    Altered(Signer),
    /// Signed by `ssh-keygen -Y sign` for another purpose.
    #[error("has an SSH signature for the namespace {} and not for git", Readable(.0))]
    Namespace(String),
    /// An algorithm that is too weak, or not known.
    #[error("is signed with {0}, which is not supported")]
    Unsupported(String),
    /// It is no signature that can be read.
    #[error("has a signature that cannot be read: {}", Readable(.0))]
    Malformed(String),
}

impl Unverified {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unsigned => "sign it (git commit -S, git tag -s) and push it again",
            Self::NotAnnotated => "replace it with a signed one (git tag -s)",
            Self::OtherName(_) => "somebody renamed it; see who, and push a tag that is signed under this name",
            Self::UnknownKey(_) => {
                "add the key there if its owner may change the cluster, or sign with one that is there"
            }
            Self::ExpiredKey { .. } => {
                "sign with a valid key, or put the key there with a later end if its owner has renewed it"
            }
            Self::EarlyKey { .. } => "see to the clock of the signer, or to the beginning of the key",
            Self::RevokedKey(_) | Self::NotForSigning(_) => "sign with another key that is there",
            Self::Altered(_) => "see who altered it before it is used; sign it again if it is right",
            Self::Namespace(_) => "sign it with git (gpg.format=ssh), which uses the namespace git",
            Self::Unsupported(_) => "sign with Ed25519, ECDSA, or RSA of 2048 to 4096 bits, and SHA-2",
            Self::ExpiredSignature { .. } | Self::Malformed(_) => "sign it again",
        }
    }
}

impl Signers {
    /// Out of the data of a Secret, a `ConfigMap` or a directory.
    ///
    /// # Errors
    /// Something of it cannot be read: nothing is verified by half of the keys.
    pub fn of(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, SignersError> {
        let mut found = Self { ssh: AllowedSigners::default(), openpgp: Certificates::default() };
        for (name, value) in data.iter().filter(|(name, _)| Self::is_key(name)) {
            if name == ALLOWED_SIGNERS {
                let text = std::str::from_utf8(value).map_err(|_| SignersError::NotText(name.clone()))?;
                found.ssh = AllowedSigners::parse(text).map_err(|(line, what)| SignersError::Line { line, what })?;
            } else {
                let added = found.openpgp.add(value);
                added.map_err(|what| SignersError::OpenPgp { name: name.clone(), what })?;
            }
        }
        if !data.keys().any(|name| Self::is_key(name)) {
            let names: Vec<&str> = data.keys().map(String::as_str).collect();
            let has = if names.is_empty() { "; it is empty".into() } else { format!("; it has {}", names.join(", ")) };
            return Err(SignersError::Nothing(has));
        }
        if found.ssh.is_empty() && found.openpgp.is_empty() { Err(SignersError::Nobody) } else { Ok(found) }
    }

    /// Whether something under this name is read.
    #[must_use]
    pub fn is_key(name: &str) -> bool {
        name == ALLOWED_SIGNERS || OPENPGP.iter().any(|end| name.len() > end.len() && name.ends_with(end))
    }

    /// Who signed a commit; `object` as git hashes it.
    ///
    /// # Errors
    /// Nobody whose signature counts.
    pub fn verify_commit(&self, object: &[u8], now: Timestamp) -> Result<Signer, Unverified> {
        self.verify(&Signed::commit(object)?, now)
    }

    /// Who signed an annotated tag of this name, `v1.2.3`; `object` as git hashes it.
    ///
    /// # Errors
    /// Nobody whose signature counts, or it was signed under another name.
    pub fn verify_tag(&self, object: &[u8], name: &str, now: Timestamp) -> Result<Signer, Unverified> {
        let Tag { signed, name: signed_name } = Tag::parse(object)?;
        let signer = self.verify(&signed, now)?;
        // Whoever may push could else make an old release the newest one.
        if signed_name == name { Ok(signer) } else { Err(Unverified::OtherName(signed_name)) }
    }

    fn verify(&self, signed: &Signed, now: Timestamp) -> Result<Signer, Unverified> {
        let signature = signed.signature.as_deref().ok_or(Unverified::Unsigned)?;
        match Kind::of(signature) {
            Some(Kind::Ssh) => self.ssh.verify(signature, &signed.payload, signed.time()?),
            Some(Kind::OpenPgp) => self.openpgp.verify(signature, &signed.payload, now),
            Some(Kind::X509) => Err(Unverified::Unsupported("an X.509 certificate".to_owned())),
            None => Err(Unverified::Malformed("it is neither of SSH nor of OpenPGP".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
