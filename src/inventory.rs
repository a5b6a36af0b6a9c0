//! What a sync remembers in the cluster: how it looks there, how it is read and written, and what
//! errors there are. What is to be remembered, and when, `reconcile` decides.
//!
//! ```text
//! ConfigMap driftless-SYNC: the parent, an ApplySet parent (KEP-3659)     applyset, parent
//!   data.inventory        list of objects, always whole, as text          text
//!   data.status           where the sync stands, as YAML                  status
//!   binaryData.observed   version, checksum, and one row for each object  rows
//!   data.observed-in      names of the shards that hold the rows instead  shards
//! ConfigMap driftless-SYNC.observed-HASH: a shard
//!   binaryData.rows       rows of up to 10,000 objects                    rows, shards
//! ```
//!
//! `read` and `store` alone send requests. All other files are values and their encoding. Why it is
//! stored so: docs/adr/0003 and 0007.

mod applyset;
mod error;
mod parent;
mod read;
mod rows;
mod shards;
mod status;
mod store;
mod text;

pub use applyset::applyset_id;
pub use error::{InventoryError, ParentError, TooLarge};
pub use parent::{EncodedParent, Parent, config_maps, parent_id, set_id};
pub use read::{list_parents, parent_names, read_parent, read_parents};
pub use shards::Shard;
pub use store::{ParentStore, WriteOutcome, delete_shards};

#[cfg(test)]
mod tests;
