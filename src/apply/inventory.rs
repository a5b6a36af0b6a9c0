//! The `ConfigMap` that remembers what a sync has applied. Values and their encoding only:
//! nothing here sends a request.

mod parent;
mod rows;
mod status;
mod text;

pub use parent::{Parent, ParentError, TooLarge};

#[cfg(test)]
mod tests;
