//! Why the inventory of a sync could not be read or stored.

use thiserror::Error;

use crate::apply::{ParentError, TooLarge};
use crate::cluster::ApiError;
use crate::object::ObjectId;

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
