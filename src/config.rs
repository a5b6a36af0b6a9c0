//! The file a person writes, strictly parsed into types that cannot be wrong, and the watch
//! that notices when it changes.

mod address;
mod dependencies;
mod duration;
mod error;
mod file;
mod load;
mod names;
mod parse;
mod remotes;
mod render;
mod repository;
mod types;
mod watch;
mod yaml;

pub use duration::{DurationError, format_duration, parse_duration};
pub use error::{ConfigError, ConfigProblem};
pub use file::schema;
pub use load::{Loaded, load};
pub use parse::parse;
pub use remotes::{Endpoint, RemoteChart, RemoteHost};
pub use render::{
    DataKind, DataRef, DecryptConfig, HelmConfig, Patch, PatchTarget, Post, RenderConfig, Renderer, SandboxMode,
    Substitution, ValuesFrom,
};
pub use repository::RepositoryKey;
pub use types::{
    AuditPolicy, Config, DriftPolicy, HooksConfig, PrunePolicy, Reference, RepoPath, ServiceAccount, Source,
    SourceAuth, SyncConfig, SyncName, Verify, VerifyKeys, VerifyMode,
};
pub use watch::{Watch, watch};
