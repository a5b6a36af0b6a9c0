//! What was recorded of each object, as bytes: a version byte, a checksum, and one row for each
//! line of the inventory's text, in its order. A row is 49 bytes: flags, UID, digest, fingerprint.
//! Where they are too many for the parent, version and checksum stay there and the rows move out.

use sha2::{Digest as _, Sha256};

use crate::object::{ObjectId, Short};
use crate::plan::{Inventory, Recorded};

const VERSION: u8 = 1;
const CHECKSUM: usize = 16;
const HASH: usize = 16;
/// Bytes before the first row.
const HEAD: usize = 1 + CHECKSUM;
pub(super) const ROW: usize = 1 + 3 * HASH;

const APPLIED: u8 = 1;
const DETACH: u8 = 2;
const UNCONFIRMED: u8 = 4;
const APPROVED: u8 = 8;

/// The rows of an inventory, sealed together with the text that names their objects.
pub(super) fn encode(inventory: &Inventory, text: &str) -> Vec<u8> {
    let mut rows = Vec::with_capacity(inventory.len() * ROW);
    for recorded in inventory.values() {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let (applied, detach) = (flag(recorded.applied, APPLIED), flag(recorded.detach, DETACH));
        rows.push(applied | detach | flag(recorded.unconfirmed, UNCONFIRMED) | flag(recorded.approved, APPROVED));
        for hash in [&recorded.uid, &recorded.digest, &recorded.fingerprint] {
            rows.extend_from_slice(&hash.0);
        }
    }
    let mut out = Vec::with_capacity(HEAD + rows.len());
    out.push(VERSION);
    out.extend_from_slice(&checksum(text, &rows));
    out.append(&mut rows);
    out
}

/// The seal (version and checksum) of encoded rows, and the rows.
pub(super) fn split(encoded: &[u8]) -> (&[u8], &[u8]) {
    encoded.split_at(HEAD.min(encoded.len()))
}

/// The entries of these identities; `None` when the bytes are not the ones that were written with
/// this text. A checksum over both, since a single flipped flag could otherwise have an object
/// deleted that was to be kept.
pub(super) fn decode(bytes: &[u8], text: &str, ids: &[ObjectId]) -> Option<Inventory> {
    let (&version, rest) = bytes.split_first()?;
    let (sum, rows) = rest.split_at_checked(CHECKSUM)?;
    if version != VERSION || rows.len() != ids.len() * ROW || sum != checksum(text, rows) {
        return None;
    }
    ids.iter().zip(rows.chunks_exact(ROW)).map(|(id, row)| Some((id.clone(), recorded(row)?))).collect()
}

fn recorded(row: &[u8]) -> Option<Recorded> {
    let (&flags, hashes) = row.split_first()?;
    let mut hashes = hashes.chunks_exact(HASH).map(|hash| hash.try_into().ok().map(Short));
    let mut hash = || hashes.next().flatten();
    Some(Recorded {
        uid: hash()?,
        digest: hash()?,
        fingerprint: hash()?,
        applied: flags & APPLIED != 0,
        detach: flags & DETACH != 0,
        unconfirmed: flags & UNCONFIRMED != 0,
        approved: flags & APPROVED != 0,
    })
}

fn checksum(text: &str, rows: &[u8]) -> [u8; CHECKSUM] {
    // The length keeps the border between the two in its place.
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
    let hash = Sha256::new().chain_update(length).chain_update(text).chain_update(rows).finalize();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}
