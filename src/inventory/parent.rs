//! The parent: the `ConfigMap` `driftless-<sync>`, an `ApplySet` parent (KEP-3659) that holds the
//! inventory and the status of a sync, and the user requests as annotations. The list of objects
//! is always in it, whole; what was recorded of them moves out where it has no room.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::applyset::{additional_namespaces, applyset_id, contains_group_kinds, tooling, tooling_name};
use super::{ParentError, Shard, TooLarge, rows, shards, status, text};
use crate::cluster::Resource;
use crate::config::SyncName;
use crate::object::{ObjectId, entries, names};
use crate::plan::{Approval, Inventory, Recorded, SyncStatus};

/// What the API server lets the values of a `ConfigMap` take together (core `MaxSecretSize`).
pub(super) const LIMIT: usize = 1024 * 1024;

/// What a sync remembers in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The sync whose parent it is; the `ConfigMap` is called `driftless-SYNC`.
    pub sync: SyncName,
    /// The agent's namespace.
    pub namespace: Arc<str>,
    /// The objects that the sync has applied and not let go of, with what was recorded of each.
    pub inventory: Inventory,
    /// The default where none was stored or it could not be read.
    pub status: SyncStatus,
    /// Annotation `driftless.dev/approve`: the prune that a person approved ([`Approval`]).
    pub approved: Option<String>,
    /// Annotation `driftless.dev/sync-requested-at`.
    pub sync_requested: Option<String>,
    /// Annotation `driftless.dev/suspend: "true"`.
    pub suspended: bool,
    /// `None` for a parent that is not stored yet.
    pub uid: Option<String>,
    /// Resource version when it was read; `None` for a parent that is not stored yet.
    pub resource_version: Option<String>,
    /// When the agent wrote it last, by the API server's clock; `None` for one that is not stored yet.
    pub written_at: Option<Timestamp>,
    /// What was wrong with the stored inventory, in words for people: its objects are known, but
    /// nothing of what was recorded of them. Not stored.
    pub damaged: Option<String>,
}

/// A parent as the `ConfigMap`s that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedParent {
    /// To be written after the shards that it names, and before others are deleted.
    pub parent: Value,
    /// Empty for most syncs: the parent has room for some 15,000 objects.
    pub shards: Vec<Shard>,
}

/// Where parents and shards are: the resource of `ConfigMap`s.
#[must_use]
pub fn config_maps() -> Resource {
    Resource::core("configmaps", true)
}

/// The identity of the parent of a sync, where the agent is in this namespace.
#[must_use]
pub fn parent_id(namespace: &str, sync: &SyncName) -> ObjectId {
    config_map_id(namespace, &Parent::name(sync))
}

pub(super) fn config_map_id(namespace: &str, name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some(namespace), name)
}

/// The id of the `ApplySet` of a sync, where the agent is in this namespace: the value of the label
/// `applyset.kubernetes.io/part-of` on its members.
#[must_use]
pub fn set_id(namespace: &str, sync: &SyncName) -> String {
    applyset_id(&Parent::name(sync), namespace, "ConfigMap", "")
}

impl Parent {
    /// The parent of a sync that has applied nothing yet.
    #[must_use]
    pub fn new(sync: SyncName, namespace: Arc<str>) -> Self {
        Self {
            sync,
            namespace,
            inventory: Inventory::new(),
            status: SyncStatus::default(),
            approved: None,
            sync_requested: None,
            suspended: false,
            uid: None,
            resource_version: None,
            written_at: None,
            damaged: None,
        }
    }

    /// What a person approved.
    #[must_use]
    pub fn approval(&self) -> Option<Approval> {
        Approval::of(self.approved.as_deref(), self.status.approval.as_ref(), self.status.held.as_ref())
    }

    /// The name of the `ConfigMap` of a sync.
    #[must_use]
    pub fn name(sync: &SyncName) -> String {
        format!("{}{sync}", names::PARENT_PREFIX)
    }

    /// The identity of the `ConfigMap`.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        parent_id(&self.namespace, &self.sync)
    }

    /// The id of its `ApplySet` ([`set_id`]).
    #[must_use]
    pub fn set_id(&self) -> String {
        set_id(&self.namespace, &self.sync)
    }

    /// The `ConfigMap`s for server-side applies under our field manager: the parent with labels,
    /// annotations of the `ApplySet`, inventory and status, and the shards that it refers to, if
    /// any. The same parent always gives the same bytes.
    ///
    /// The annotations that people set (approve, sync, suspend) are left out, since they belong to
    /// the field manager of the command line: what we do not apply, we do not own and never remove.
    /// So are UID and resource version: the caller adds them where it wants the write guarded.
    ///
    /// # Errors
    /// The list of objects and the status take more than 1 MiB.
    pub fn to_apply(&self) -> Result<EncodedParent, TooLarge> {
        let inventory = text::encode(&self.inventory);
        let observed = rows::encode(&self.inventory, &inventory);
        let mut status = status::encode(&self.status, status::MOST_BYTES);
        let (kept, moved) = if inventory.len() + status.len() + observed.len() <= LIMIT {
            (&*observed, Vec::new())
        } else {
            let (seal, rows) = rows::split(&observed);
            (seal, shards::cut(rows, &self.sync, &self.namespace))
        };
        let names = if moved.is_empty() { String::new() } else { shards::list(&moved) };
        let taken = inventory.len() + kept.len() + names.len();
        // It only informs, so it takes no more than what all else leaves.
        if taken + status.len() > LIMIT {
            status = status::encode(&self.status, LIMIT.saturating_sub(taken));
        }
        let bytes = taken + status.len();
        let mut data = json!({"inventory": inventory, "status": status});
        if !names.is_empty() {
            data[shards::KEY] = names.into();
        }
        if bytes > LIMIT {
            return Err(TooLarge { sync: self.sync.clone(), objects: self.inventory.len(), bytes });
        }
        let namespaces = self.inventory.keys().filter_map(|id| id.namespace.as_deref());
        let mut annotations = json!({
            names::APPLYSET_TOOLING: tooling(),
            names::APPLYSET_GROUP_KINDS: contains_group_kinds(self.inventory.keys().map(|id| &id.gk)),
        });
        if let Some(namespaces) = additional_namespaces(namespaces, &self.namespace) {
            annotations[names::APPLYSET_NAMESPACES] = namespaces.into();
        }
        let parent = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": Self::name(&self.sync),
                "namespace": *self.namespace,
                "labels": {
                    names::APPLYSET_ID: self.set_id(),
                    names::SYNC_LABEL: self.sync.as_str(),
                    names::MANAGED_BY: names::FIELD_MANAGER,
                },
                "annotations": annotations,
            },
            "data": data,
            "binaryData": {"observed": STANDARD.encode(kept)},
        });
        Ok(EncodedParent { parent, shards: moved })
    }

    /// The names of the further `ConfigMap`s that a live parent refers to: none for most.
    #[must_use]
    pub fn shard_names(live: &Value) -> BTreeSet<String> {
        shards::listed(live).map(Into::into).collect()
    }

    /// Reads a live `ConfigMap`, and with it the live shards that it refers to, as far as there are
    /// such. The recorded hashes are only believed when they are the ones that
    /// were written with this very list of objects; otherwise every entry is `Recorded::default()`, and
    /// `damaged` says why: that costs requests, but decides nothing wrongly. A status that cannot be
    /// read is dropped, since it only informs.
    ///
    /// # Errors
    /// The `ConfigMap` is another tool's or another sync's, or its list of objects cannot be read.
    pub fn from_live(live: &Value, shards: &[Value]) -> Result<Self, ParentError> {
        let string = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let within = |map: &str, key: &str| live.pointer(map)?.get(key)?.as_str().filter(|text| !text.is_empty());
        let annotation = |key: &str| within("/metadata/annotations", key);
        let label = |key: &str| within("/metadata/labels", key);

        let name = string("/metadata/name").ok_or(ParentError::Incomplete("metadata.name"))?;
        let namespace = string("/metadata/namespace").ok_or(ParentError::Incomplete("metadata.namespace"))?;
        let parent = format!("{namespace}/{name}");

        let tool = annotation(names::APPLYSET_TOOLING).ok_or_else(|| ParentError::NoTool { parent: parent.clone() })?;
        if tooling_name(tool) != names::FIELD_MANAGER {
            return Err(ParentError::OtherTool { parent, tool: tool.into() });
        }
        let found = label(names::SYNC_LABEL).unwrap_or_default();
        let sync = SyncName::parse(found).filter(|sync| name.strip_prefix(names::PARENT_PREFIX) == Some(sync.as_str()));
        let Some(sync) = sync else { return Err(ParentError::Sync { parent, found: found.into() }) };
        let (found, expected) =
            (label(names::APPLYSET_ID).unwrap_or_default(), applyset_id(name, namespace, "ConfigMap", ""));
        if found != expected {
            return Err(ParentError::Id { parent, found: found.into(), expected });
        }

        let (inventory, damaged) =
            read_inventory(live, shards).map_err(|what| ParentError::Damaged { parent, what })?;
        Ok(Self {
            sync,
            namespace: namespace.into(),
            inventory,
            status: string("/data/status").map(status::decode).unwrap_or_default(),
            approved: annotation(names::APPROVE).map(Into::into),
            sync_requested: annotation(names::SYNC_REQUESTED).map(Into::into),
            suspended: annotation(names::SUSPEND) == Some("true"),
            uid: string("/metadata/uid").map(Into::into),
            resource_version: string("/metadata/resourceVersion").map(Into::into),
            written_at: entries(live).iter().filter(|entry| entry.is_ours()).filter_map(|entry| entry.time).max(),
            damaged,
        })
    }
}

/// The inventory and what was wrong with it; an error when it may not list every object.
fn read_inventory(live: &Value, further: &[Value]) -> Result<(Inventory, Option<String>), text::TextError> {
    let text = live.pointer("/data/inventory").and_then(Value::as_str).ok_or(text::TextError::Missing)?;
    let ids = text::decode(text)?;
    let observed = live.pointer("/binaryData/observed").and_then(Value::as_str);
    let mut bytes = observed.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let found = shards::gather(live, further, &mut bytes);
    // The checksum alone decides, over all that was gathered: whatever is missing, too much, from
    // another write or in another order does not pass it.
    if let Some(inventory) = rows::decode(&bytes, text, &ids) {
        return Ok((inventory, None));
    }
    let distinct: BTreeSet<_> = ids.into_iter().collect();
    let why = match found {
        Ok(()) => "does not fit the list of them (edited by hand, or of another version of driftless)".into(),
        Err(name) => format!("is incomplete (the ConfigMap {name} is missing, or is not what it was)"),
    };
    let damaged = format!(
        "what was recorded of its {} objects {why}: each is applied again, and none is pruned before that",
        distinct.len()
    );
    Ok((distinct.into_iter().map(|id| (id, Recorded::default())).collect(), Some(damaged)))
}
