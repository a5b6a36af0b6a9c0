//! The rows of a large inventory, cut into shards, each in a `ConfigMap` of its own.
//!
//! A shard is named after its content and never changed. A new inventory is written beside the old
//! one; only the parent, in one write, says which of them counts. So a crash between two writes
//! leaves the old inventory whole, or the new one, and never a mixture.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Parent, rows};
use crate::config::SyncName;
use crate::object::{Digest, names};

/// Bytes of rows in one shard: those of 10,000 objects. In an etcd request (1.5 MiB) there is room
/// for more, but a changed object has its whole shard written anew.
const SIZE: usize = 10_000 * rows::ROW;
/// Key in the parent's data: the names of its shards in their order, one a line.
pub(super) const KEY: &str = "observed-in";
/// Key in a shard's binary data.
const ROWS: &str = "rows";
const HASH_DIGITS: usize = 32;

/// One further `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Name of the `ConfigMap`: the parent's, `.observed-`, and 32 hexadecimal digits of the hash of its rows.
    pub name: String,
    sync: SyncName,
    namespace: Arc<str>,
    /// As base64.
    rows: String,
}

impl Shard {
    /// The label selector of the shards of a sync, those of former inventories included.
    pub(super) fn selector(sync: &SyncName) -> String {
        format!("{}={sync}", names::OBSERVED_OF)
    }

    /// For a server-side apply under our field manager. With the UID of its parent, it is deleted
    /// with that by Kubernetes' garbage collector.
    #[must_use]
    pub fn to_apply(&self, parent_uid: Option<&str>) -> Value {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": *self.namespace,
                "labels": {names::OBSERVED_OF: self.sync.as_str(), names::MANAGED_BY: names::FIELD_MANAGER},
            },
            "binaryData": {ROWS: self.rows},
        });
        if let Some(uid) = parent_uid {
            let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": Parent::name(&self.sync), "uid": uid});
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        object
    }

    /// Whether a live `ConfigMap` is this shard, and goes with the parent of this UID.
    pub(super) fn is(&self, live: &Value, parent_uid: Option<&str>) -> bool {
        let owners = live.pointer("/metadata/ownerReferences").and_then(Value::as_array).map(Vec::as_slice);
        let owners = owners.unwrap_or_default();
        let owned = parent_uid.map_or(owners.is_empty(), |uid| owners.iter().any(|owner| owner["uid"] == *uid));
        owned && live["metadata"]["name"] == *self.name && live["binaryData"][ROWS] == *self.rows
    }

    /// Whether a `ConfigMap` of this name can only be a shard of this sync.
    pub(super) fn is_name_of(sync: &SyncName, name: &str) -> bool {
        let hash = name.strip_prefix(&*Parent::name(sync)).and_then(|rest| rest.strip_prefix(names::SHARD_INFIX));
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        hash.is_some_and(|hash| hash.len() == HASH_DIGITS && hash.bytes().all(digit))
    }
}

/// The shards of a sync that exist, and the parent that goes with them.
pub(super) struct LiveShards {
    parent_uid: Option<String>,
    /// UIDs by name. Those that the last inventory needs have the parent as owner.
    uids: BTreeMap<String, String>,
}

impl LiveShards {
    /// Out of the live `ConfigMap`s that [`Shard::selector`] finds. Shards are distinguished from other
    /// `ConfigMap`s by their name, and needed ones that are not what they should be (edited, or of another
    /// parent) count as missing.
    pub fn of(live: &[Value], sync: &SyncName, needed: &[Shard], parent_uid: Option<String>) -> Self {
        let mut uids = BTreeMap::new();
        for object in live {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let name = text("name");
            let shard = needed.iter().find(|shard| shard.name == name);
            let good = shard.is_none_or(|shard| shard.is(object, parent_uid.as_deref()));
            if good && Shard::is_name_of(sync, name) {
                uids.insert(name.into(), text("uid").into());
            }
        }
        Self { parent_uid, uids }
    }

    pub fn parent_uid(&self) -> Option<&str> {
        self.parent_uid.as_deref()
    }

    pub fn contains(&self, shard: &Shard) -> bool {
        self.uids.contains_key(&shard.name)
    }

    pub fn insert(&mut self, name: String, uid: String) {
        self.uids.insert(name, uid);
    }

    /// The parent has this UID. Whether that is another one, so that the needed shards are missing again: they
    /// do not have it as owner.
    pub fn change_parent(&mut self, uid: &str, needed: &[Shard]) -> bool {
        let changed = self.parent_uid.as_deref() != Some(uid);
        if changed {
            self.parent_uid = Some(uid.into());
            self.uids.retain(|name, _| !needed.iter().any(|shard| shard.name == *name));
        }
        changed
    }

    /// Removes and returns, by name and UID, those that are not needed.
    pub fn take_unneeded(&mut self, needed: &[Shard]) -> Vec<(String, String)> {
        self.uids.extract_if(.., |name, _| !needed.iter().any(|shard| shard.name == *name)).collect()
    }
}

/// Cuts rows into shards; the last one is the smallest.
pub(super) fn cut(rows: &[u8], sync: &SyncName, namespace: &Arc<str>) -> Vec<Shard> {
    let shard = |rows: &[u8]| {
        let hash = u128::from_be_bytes(Digest::of(rows).short().0);
        let name = format!("{}{}{hash:0HASH_DIGITS$x}", Parent::name(sync), names::SHARD_INFIX);
        Shard { name, sync: sync.clone(), namespace: Arc::clone(namespace), rows: STANDARD.encode(rows) }
    };
    rows.chunks(SIZE).map(shard).collect()
}

/// What the parent says of its shards.
pub(super) fn list(shards: &[Shard]) -> String {
    shards.iter().flat_map(|shard| [&*shard.name, "\n"]).collect()
}

/// The shards that a live parent names. What cannot be one is passed over, so that no edit makes
/// us read other `ConfigMap`s; the checksum misses it.
pub(super) fn listed(live: &Value) -> impl Iterator<Item = &str> {
    let sync = live["metadata"]["labels"][names::SYNC_LABEL].as_str().and_then(SyncName::parse);
    let names = live["data"][KEY].as_str().unwrap_or_default().lines().map(str::trim);
    names.filter(move |name| sync.as_ref().is_some_and(|sync| Shard::is_name_of(sync, name)))
}

/// Adds the rows of all shards that a live parent names; an error is the name of the first shard
/// that is not there or has none.
pub(super) fn gather<'a>(live: &'a Value, shards: &[Value], rows: &mut Vec<u8>) -> Result<(), &'a str> {
    for name in listed(live) {
        let shard = shards.iter().find(|shard| shard["metadata"]["name"] == *name);
        let text = shard.and_then(|shard| shard["binaryData"][ROWS].as_str());
        rows.append(&mut text.and_then(|text| STANDARD.decode(text).ok()).ok_or(name)?);
    }
    Ok(())
}
