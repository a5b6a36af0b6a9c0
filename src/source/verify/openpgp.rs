//! `OpenPGP` keys that may sign, and signatures by them (RFC 9580, and RFC 4880 before it): the key that signed must be one of a
//! certificate, be bound to it as one that signs, and be neither expired at the time of the signature nor revoked.

use std::io::Cursor;

use jiff::Timestamp;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, PublicParams, SignedUser, Tag, VerifyingKey};

use super::{Signer, Unverified};

const BEGIN: &str = "-----BEGIN PGP ";
const PUBLIC: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// Bytes of the shortest RSA modulus that is safe: 2048 bits.
const RSA_BYTES: usize = 256;
/// Characters of the kind of a block that are shown.
const MOST_KIND: usize = 40;
/// Bytes of a signature in armor: those of git have some hundreds. The parser would read, and report, whatever is in it.
const MOST_SIGNATURE_BYTES: usize = 64 << 10;

/// The certificates of those who may sign.
#[derive(Debug, Default)]
pub(super) struct Certificates(Vec<SignedPublicKey>);

impl Certificates {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of a file, armored or not.
    ///
    /// # Errors
    /// What the file has in their place.
    pub fn add(&mut self, file: &[u8]) -> Result<(), String> {
        let before = self.0.len();
        let text = std::str::from_utf8(file).unwrap_or_default();
        if text.contains(BEGIN) {
            // One of several blocks ends where the next one begins.
            let starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
            for (at, start) in starts.iter().enumerate() {
                let block = text.get(*start..starts.get(at + 1).copied().unwrap_or(text.len())).unwrap_or_default();
                if !block.starts_with(PUBLIC) {
                    return Err(format!("it has {}; gpg --armor --export prints public keys", kind_of(block)));
                }
                let known = self.0.len();
                let (keys, _) = SignedPublicKey::from_armor_many(Cursor::new(block)).map_err(|e| e.to_string())?;
                self.extend(keys)?;
                if self.0.len() == known {
                    // Such a block holds a revocation, which would be of no effect there.
                    return Err(
                        "it has a block without a key, such as a revocation: import it with gpg --import, and \
                                export the key anew"
                            .to_owned(),
                    );
                }
            }
        } else if ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| text.starts_with(kind)) {
            return Err("it is an SSH key; write it to allowed_signers, as PRINCIPAL KEY".to_owned());
        } else if file.trim_ascii().is_empty() {
            return Err("it is empty".to_owned());
        } else {
            self.extend(SignedPublicKey::from_bytes_many(Cursor::new(file)).map_err(|error| error.to_string())?)?;
        }
        if self.0.len() == before { Err("no key in it can be read".to_owned()) } else { Ok(()) }
    }

    fn extend(&mut self, keys: impl Iterator<Item = pgp::errors::Result<SignedPublicKey>>) -> Result<(), String> {
        for key in keys {
            let key = key.map_err(|error| error.to_string())?;
            let print = key.primary_key.fingerprint();
            // Which of two copies is revoked or renewed, the other one does not say.
            if self.0.iter().any(|known| known.primary_key.fingerprint() == print) {
                return Err(format!("it has the key {print:X}, which is there already; keep its newest export alone"));
            }
            self.0.push(key);
        }
        Ok(())
    }

    /// Who made a signature.
    pub fn verify(&self, signature: &[u8], payload: &[u8], now: Timestamp) -> Result<Signer, Unverified> {
        let signature = only_signature(signature)?;
        let mut shown = signature.issuer_fingerprint().iter().map(|one| format!("{one:X}")).collect::<Vec<_>>();
        if shown.is_empty() {
            shown.extend(signature.issuer_key_id().iter().map(|id| id.to_string().to_uppercase()));
        }
        let is_issuer = |key: &dyn KeyDetails| {
            let (fingerprint, id) = (key.fingerprint(), key.legacy_key_id());
            let named = signature.issuer_fingerprint();
            // An id is short enough to have two keys.
            if named.is_empty() { signature.issuer_key_id().contains(&&id) } else { named.contains(&&fingerprint) }
        };
        for certificate in &self.0 {
            if is_issuer(&certificate.primary_key) {
                return by_primary(certificate, &signature, payload, now);
            }
            if let Some(subkey) = certificate.public_subkeys.iter().find(|subkey| is_issuer(&subkey.key)) {
                return by_subkey(certificate, subkey, &signature, payload, now);
            }
        }
        Err(Unverified::UnknownKey(if shown.is_empty() { "of nobody".to_owned() } else { shown.join(", ") }))
    }
}

/// What a block of armor is, by its first line alone: the rest may be a private key, also where its line breaks were lost.
fn kind_of(block: &str) -> String {
    let kind = block.split("-----").nth(1).unwrap_or_default();
    let kind = kind.chars().take(MOST_KIND).filter(|c| c.is_ascii_uppercase() || *c == ' ');
    format!("-----{}-----", kind.collect::<String>())
}

/// Reads the one signature that git makes. Of several each could be somebody else's.
fn only_signature(armored: &[u8]) -> Result<Signature, Unverified> {
    let malformed = |what: &dyn ToString| Unverified::Malformed(what.to_string());
    if armored.len() > MOST_SIGNATURE_BYTES {
        return Err(malformed(&format!("it has {} bytes, and {MOST_SIGNATURE_BYTES} at most are read", armored.len())));
    }
    let (mut found, _) = DetachedSignature::from_armor_many(Cursor::new(armored)).map_err(|error| malformed(&error))?;
    let first = found.next().ok_or_else(|| malformed(&"it is empty, or of an old version"))?;
    let signature = first.map_err(|error| malformed(&error))?.signature;
    if found.next().is_some() {
        return Err(malformed(&"there is more than one"));
    }
    let Some(config) = signature.config() else { return Err(malformed(&"its version is unknown")) };
    let unknown = config.hashed_subpackets().any(|part| {
        part.is_critical && matches!(part.data, SubpacketData::Other(..) | SubpacketData::Experimental(..))
    });
    if unknown {
        return Err(malformed(&"it has critical parts that are unknown"));
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(malformed(&"it is not one of a file"));
    }
    Ok(signature)
}

fn by_primary(
    certificate: &SignedPublicKey,
    signature: &Signature,
    payload: &[u8],
    now: Timestamp,
) -> Result<Signer, Unverified> {
    let key = &certificate.primary_key;
    let signer = signer(certificate, key);
    let made = matches(signature, key, payload, &signer, now)?;
    let flags = check_primary(certificate, made, &signer)?.key_flags();
    // Old keys do not say what they are for.
    if flags.sign() || !flags.certify() && !flags.encrypt_comms() && !flags.authentication() {
        Ok(signer)
    } else {
        Err(Unverified::NotForSigning(signer))
    }
}

fn by_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    payload: &[u8],
    now: Timestamp,
) -> Result<Signer, Unverified> {
    let (primary, key) = (&certificate.primary_key, &subkey.key);
    let signer = signer(certificate, key);
    let made = matches(signature, key, payload, &signer, now)?;
    check_primary(certificate, made, &signer)?;
    let of_primary = |one: &&Signature| one.verify_subkey_binding(primary, key).is_ok();
    let bound = subkey.signatures.iter().filter(of_primary);
    if bound.clone().any(|one| one.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(Unverified::RevokedKey(signer));
    }
    let binding = newest(bound.filter(|one| one.typ() == Some(SignatureType::SubkeyBinding)));
    // The subkey's own signature shows that its owner wants to be a part of this certificate.
    let agrees = |binding: &&Signature| {
        let back = binding.embedded_signature();
        binding.key_flags().sign() && back.is_some_and(|back| back.verify_primary_key_binding(key, primary).is_ok())
    };
    let Some(binding) = binding.filter(agrees) else { return Err(Unverified::NotForSigning(signer)) };
    check_time(key, binding, made, signer.clone())?;
    Ok(signer)
}

/// Whether the key made the signature, by algorithms that are safe; when it did.
fn matches<K: VerifyingKey>(
    signature: &Signature,
    key: &K,
    payload: &[u8],
    signer: &Signer,
    now: Timestamp,
) -> Result<Timestamp, Unverified> {
    if let Some(weak) = unsupported(signature, key) {
        return Err(Unverified::Unsupported(weak));
    }
    signature.verify(key, payload).map_err(|_| Unverified::Altered(signer.clone()))?;
    let made = signature.created().and_then(|created| after(created.as_secs(), 0));
    let made = made.ok_or_else(|| Unverified::Malformed("it has no date".to_owned()))?;
    let lasts = signature.signature_expiration_time().map_or(0, pgp::types::Duration::as_secs);
    let until = signature.created().filter(|_| lasts > 0).and_then(|created| after(created.as_secs(), lasts));
    match until.filter(|until| now >= *until) {
        Some(until) => Err(Unverified::ExpiredSignature { signer: signer.clone(), until }),
        None => Ok(made),
    }
}

/// Whether the certificate as a whole counted at a time; the self-signature that says what it is for.
fn check_primary<'a>(
    certificate: &'a SignedPublicKey,
    made: Timestamp,
    signer: &Signer,
) -> Result<&'a Signature, Unverified> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    let revokes = |one: &Signature| one.typ() == Some(SignatureType::KeyRevocation) && one.verify_key(key).is_ok();
    if details.revocation_signatures.iter().any(revokes) {
        return Err(Unverified::RevokedKey(signer.clone()));
    }
    let direct = details.direct_signatures.iter();
    let direct = direct.filter(|one| one.typ() == Some(SignatureType::Key) && one.verify_key(key).is_ok());
    let users = details.users.iter().flat_map(|user| certifications(user, key));
    let own = newest(direct.chain(users));
    let own = own.ok_or_else(|| Unverified::NotForSigning(signer.clone()))?;
    check_time(key, own, made, signer.clone())?;
    Ok(own)
}

/// The self-signatures of a user, unless the newest one revokes that.
fn certifications<'a, K: VerifyingKey + Serialize>(user: &'a SignedUser, key: &K) -> Vec<&'a Signature> {
    let of_key = |one: &&Signature| one.verify_certification(key, Tag::UserId, &user.id).is_ok();
    let own: Vec<&Signature> = user.signatures.iter().filter(of_key).collect();
    let revokes = |one: &Signature| one.typ() == Some(SignatureType::CertRevocation);
    if newest(own.iter().copied()).is_some_and(revokes) {
        return Vec::new();
    }
    own.into_iter().filter(|one| !revokes(one)).collect()
}

fn check_time(key: &dyn KeyDetails, own: &Signature, made: Timestamp, signer: Signer) -> Result<(), Unverified> {
    let created = key.created_at().as_secs();
    if let Some(from) = after(created, 0).filter(|from| made < *from) {
        return Err(Unverified::EarlyKey { signer, at: made, from });
    }
    let lasts = own.key_expiration_time().map_or(0, pgp::types::Duration::as_secs);
    let until = after(created, lasts).filter(|until| lasts > 0 && made >= *until);
    until.map_or(Ok(()), |until| Err(Unverified::ExpiredKey { signer, at: made, until }))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|one| one.created().map_or(0, pgp::types::Timestamp::as_secs))
}

/// Seconds since 1970, and more of them.
fn after(seconds: u32, more: u32) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(seconds) + i64::from(more)).ok()
}

fn signer(certificate: &SignedPublicKey, key: &dyn KeyDetails) -> Signer {
    let user = certificate.details.users.iter().find(|user| user.is_primary());
    let user = user.or_else(|| certificate.details.users.first());
    let name = user.map(|user| String::from_utf8_lossy(user.id.id()).into_owned());
    let name = name.unwrap_or_else(|| "a key without a user".to_owned());
    Signer { name, fingerprint: format!("{:X}", key.fingerprint()) }
}

/// What of a signature or its key is too weak.
fn unsupported(signature: &Signature, key: &dyn KeyDetails) -> Option<String> {
    let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
    let strong = matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    );
    if !strong {
        return Some(format!("the hash {hash}"));
    }
    match key.public_params() {
        PublicParams::RSA(params) => {
            use rsa::traits::PublicKeyParts as _;
            let bytes = params.key.size();
            (bytes < RSA_BYTES).then(|| format!("RSA of {} bits", bytes * 8))
        }
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => {
            None
        }
        _ if key.algorithm() == PublicKeyAlgorithm::DSA => Some("DSA".to_owned()),
        _ => Some("an unknown algorithm".to_owned()),
    }
}
