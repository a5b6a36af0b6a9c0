//! The `ConfigMap`s that remember what a sync has applied. Values and their encoding only:
//! nothing here sends a request.

mod parent;
mod rows;
mod shards;
mod status;
mod text;

pub use parent::{Parent, ParentError, TooLarge};
pub use shards::{Shard, Stored};

#[cfg(test)]
mod tests;
