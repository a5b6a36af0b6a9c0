//! The `ConfigMap`s that remember what a sync has applied. Values and their encoding only:
//! nothing here sends a request.

mod parent;
mod pieces;
mod rows;
mod status;
mod text;

pub use parent::{Parent, ParentError, TooLarge};
pub use pieces::{Piece, Stored};

#[cfg(test)]
mod tests;
