//! Carries out what `reconcile` asks for: one task a sync, and the daemon around them.

mod annotations;
mod apart;
mod bootstrap;
mod budget;
mod context;
mod daemon;
mod declared;
mod descriptors;
mod effects;
mod election;
mod error_deduplication;
mod events;
mod git_login;
mod handover;
mod heal;
mod hooks;
mod http_server;
mod named_data;
mod once;
mod registry;
mod rendering;
mod restored;
mod supervisor;
mod sync_task;
mod verification;

pub use apart::Apart;
pub use bootstrap::{AGENT_NAMESPACE, BootstrapError, digest_key, ensure_namespace, find_digest_key, namespace};
pub use budget::Budget;
pub use context::{Context, EventSink};
pub use daemon::{Daemon, DaemonError, HEARTBEAT, run};
pub use descriptors::take_descriptors;
pub use effects::rendering_problem;
pub use election::{Election, Holder, Tenure};
pub use events::{Events, Publisher, Publishing};
pub use git_login::{GitLogin, GitLoginError};
pub use handover::bar_without_right;
pub use http_server::HttpServer;
pub use named_data::{Home, NamedDataError};
pub use once::{Once, once};
pub use registry::Registry;
pub use rendering::{
    Caches, ClusterView, Files, Helpers, InputWatches, Made, RemoteError, Remotes, Rendering, RenderingError,
};
pub use sync_task::{Ending, SyncTask};
pub use verification::{VerifyError, verify};
