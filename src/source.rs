//! git: which commit a branch is at, and the files of one commit under a path.

mod snapshot;

pub use snapshot::{Limits, Snapshot, SourceFile};
