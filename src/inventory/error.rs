//! Why an inventory cannot be read or stored: a request failed, or what is there, or is to be
//! there, cannot be a parent.

use thiserror::Error;

use super::parent::LIMIT;
use super::text::TextError;
use crate::cluster::ApiError;
use crate::config::SyncName;
use crate::object::{ObjectId, names};

/// Why the inventory of a sync could not be read or stored. Displayed whole, its cause included.
#[derive(Debug, Error)]
pub enum InventoryError {
    /// A parent or a shard cannot be read.
    #[error("cannot read the inventory in {id}: {cause}")]
    Read {
        /// The `ConfigMap` that was to be read.
        id: ObjectId,
        /// Why the request failed.
        #[source]
        cause: Box<ApiError>,
    },
    /// The parents of a namespace cannot be listed.
    #[error("cannot list the inventories in namespace {namespace}: {cause}")]
    List {
        /// Namespace of the parents.
        namespace: String,
        /// Why the LIST failed.
        #[source]
        cause: Box<ApiError>,
    },
    /// The shards of a sync cannot be listed; done before its first write and after one that failed.
    #[error("cannot list the ConfigMaps with the label {label}: {cause}")]
    ListShards {
        /// Label selector: `driftless.dev/observed-of=SYNC`.
        label: String,
        /// Why the LIST failed.
        #[source]
        cause: Box<ApiError>,
    },
    /// A parent or a shard cannot be written, or a read that the write depends on failed.
    #[error("{id}: {cause}")]
    Write {
        /// The `ConfigMap` that was to be written.
        id: ObjectId,
        /// Why the request failed.
        #[source]
        cause: Box<ApiError>,
    },
    /// A `ConfigMap` that is named or labelled as a parent cannot be taken for one.
    #[error(transparent)]
    Unusable(#[from] ParentError),
    /// The inventory's list of objects does not fit into one `ConfigMap`; nothing was written.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The parent is older than what was read or written last, so it was not written over.
    #[error(
        "{id} has resource version {now} and had {known}: etcd was restored to an older state, so the inventory is read anew before it is written"
    )]
    Restored {
        /// The parent.
        id: ObjectId,
        /// Resource version of the live parent.
        now: String,
        /// Resource version when it was read or written last.
        known: String,
    },
    /// The parent changed during each of 5 tries to write it.
    #[error("{0} is changed by others all the time (kubectl get --show-managed-fields shows by whom)")]
    Contended(ObjectId),
    /// The agent shuts down, and the write had no answer within 10 seconds of that.
    #[error("the agent stops, and the API server did not answer in time")]
    GivenUp,
    /// What makes bytes of the inventory ended before its time.
    #[error("{0}")]
    Encoding(#[source] tokio::task::JoinError),
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
        #[source]
        what: TextError,
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
