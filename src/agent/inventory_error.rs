//! Why the inventory of a sync could not be read or stored.

use thiserror::Error;

use crate::apply::{ParentError, TooLarge};
use crate::cluster::ApiError;
use crate::object::ObjectId;

/// Why the inventory of a sync could not be read or stored. Displayed whole, its cause included.
#[derive(Debug, Error)]
pub enum InventoryError {
    #[error("cannot read the inventory in {id}: {cause}")]
    Read {
        id: ObjectId,
        #[source]
        cause: Box<ApiError>,
    },
    #[error("cannot list the inventories in namespace {namespace}: {cause}")]
    List {
        namespace: String,
        #[source]
        cause: Box<ApiError>,
    },
    #[error("cannot list the ConfigMaps with the label {label}: {cause}")]
    ListShards {
        label: String,
        #[source]
        cause: Box<ApiError>,
    },
    #[error("{id}: {cause}")]
    Write {
        id: ObjectId,
        #[source]
        cause: Box<ApiError>,
    },
    #[error(transparent)]
    Unusable(#[from] ParentError),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(
        "{id} has resource version {now} and had {known}: etcd was restored to an older state, so the inventory is read anew before it is written"
    )]
    Restored { id: ObjectId, now: String, known: String },
    #[error("{0} is changed by others all the time (kubectl get --show-managed-fields shows by whom)")]
    Contended(ObjectId),
    #[error("the agent stops, and the API server did not answer in time")]
    GivenUp,
    /// What makes bytes of the inventory ended before its time.
    #[error("{0}")]
    Encoding(#[source] tokio::task::JoinError),
}
