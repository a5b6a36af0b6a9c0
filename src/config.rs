//! The file a person writes, strictly parsed into types that cannot be wrong, and the watch
//! that notices when it changes.

mod types;

pub use types::{Config, DriftPolicy, PrunePolicy, Reference, RepoPath, ServiceAccount, Source, SyncConfig, SyncName};
