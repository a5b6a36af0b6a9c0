//! The parent: the `ConfigMap` `driftless-<sync>`, an `ApplySet` parent (KEP-3659) that holds the
//! inventory and the status of a sync, and the user requests as annotations. The list of objects
//! is always in it, whole; what was recorded of them moves out where it has no room.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;

use super::{Stored, rows, shards, status, text};
use crate::apply::applyset::{additional_namespaces, applyset_id, contains_group_kinds, tooling, tooling_name};
use crate::config::SyncName;
use crate::object::{entries, names};
use crate::plan::{Approval, Inventory, Recorded, SyncStatus};

/// What the API server lets the values of a `ConfigMap` take together (core `MaxSecretSize`).
const LIMIT: usize = 1024 * 1024;

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

/// A `ConfigMap` that cannot be taken for the parent of a sync. Nothing may be written to it, and
/// nothing pruned: an inventory that could not be read is not an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParentError {
    /// It lacks this field: `metadata.name` or `metadata.namespace`.
    #[error("a ConfigMap without {0} cannot be the parent of a sync")]
    Incomplete(&'static str),
    /// Its annotation `applyset.kubernetes.io/tooling` (KEP-3659) is missing or empty.
    #[error(
        "the ConfigMap {parent} cannot hold a sync's inventory: {} is missing or empty, so it is not known to be driftless's; delete it if nobody needs it, or rename the sync",
        names::APPLYSET_TOOLING
    )]
    NoTool {
        /// The `ConfigMap`: `NAMESPACE/NAME`.
        parent: String,
    },
    /// Its annotation `applyset.kubernetes.io/tooling` (KEP-3659) names another tool.
    #[error(
        "the ConfigMap {parent} belongs to the tool {tool} ({} says so); delete it with that tool, or rename the sync",
        names::APPLYSET_TOOLING
    )]
    OtherTool {
        /// The `ConfigMap`: `NAMESPACE/NAME`.
        parent: String,
        /// Value of the annotation.
        tool: String,
    },
    /// Its label `applyset.kubernetes.io/id` is not the id that its name and namespace give (KEP-3659).
    #[error(
        "the ConfigMap {parent} has the label {}={found}, but an ApplySet parent of its name has {expected}; if it was copied or renamed, delete it, else set the label right",
        names::APPLYSET_ID
    )]
    Id {
        /// The `ConfigMap`: `NAMESPACE/NAME`.
        parent: String,
        /// Value of the label; empty where it is missing.
        found: String,
        /// Id that its name and namespace give.
        expected: String,
    },
    /// Its label `driftless.dev/sync` is missing or invalid, or it is not called `driftless-` and the label.
    #[error(
        "the ConfigMap {parent} is not named after its label {}={found}; set the label right, or delete the ConfigMap if it is a copy",
        names::SYNC_LABEL
    )]
    Sync {
        /// The `ConfigMap`: `NAMESPACE/NAME`.
        parent: String,
        /// Value of the label; empty where it is missing.
        found: String,
    },
    /// Its list of objects, `data.inventory`, is missing or cannot be decoded.
    #[error(
        "the inventory in the ConfigMap {parent} cannot be read: {what}; nothing is pruned until it is put right (kubectl edit) or the ConfigMap is deleted, after which driftless lists what git declares and forgets what git no longer declares"
    )]
    Damaged {
        /// The `ConfigMap`: `NAMESPACE/NAME`.
        parent: String,
        /// What is wrong with the list.
        what: String,
    },
}

/// A list of objects that no `ConfigMap` can hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the inventory of sync {sync} lists {objects} objects, whose names and the sync's status take {bytes} bytes, more than the {LIMIT} that the values of one ConfigMap may take together; split it into several syncs with a path each"
)]
pub struct TooLarge {
    /// The sync whose inventory it is.
    pub sync: SyncName,
    /// Number of objects in the inventory.
    pub objects: usize,
    /// Of the parent's values together, as the API server counts them.
    pub bytes: usize,
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

    /// The id of the set: the value of the label `applyset.kubernetes.io/part-of` on its members.
    #[must_use]
    pub fn id(&self) -> String {
        applyset_id(&Self::name(&self.sync), &self.namespace, "ConfigMap", "")
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
    pub fn to_apply(&self) -> Result<Stored, TooLarge> {
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
                    names::APPLYSET_ID: self.id(),
                    names::SYNC_LABEL: self.sync.as_str(),
                    names::MANAGED_BY: names::FIELD_MANAGER,
                },
                "annotations": annotations,
            },
            "data": data,
            "binaryData": {"observed": STANDARD.encode(kept)},
        });
        Ok(Stored { parent, shards: moved })
    }

    /// The names of the further `ConfigMap`s that a live parent refers to: none for most.
    #[must_use]
    pub fn shards(live: &Value) -> BTreeSet<String> {
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
fn read_inventory(live: &Value, further: &[Value]) -> Result<(Inventory, Option<String>), String> {
    let text = live.pointer("/data/inventory").and_then(Value::as_str).ok_or("data.inventory is missing")?;
    let ids = text::decode(text).map_err(|error| error.to_string())?;
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
