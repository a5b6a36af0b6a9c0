//! Carries out what `reconcile` asks for: one task a sync, and the daemon around them.

mod context;
mod daemon;
mod declared;
mod driver;
mod effects;
mod election;
mod events;
mod foundation;
mod front;
mod handover;
mod heal;
mod once;
mod parents;
mod registry;
mod restored;
mod store;
mod told;
mod translate;

pub use context::{Context, Sink};
pub use daemon::{Daemon, DaemonError, HEARTBEAT, run};
pub use driver::{Driver, Ending};
pub use effects::rendering_problem;
pub use election::{Election, Holder, Tenure};
pub use events::{Events, Publisher, Publishing};
pub use foundation::{AGENT_NAMESPACE, FoundationError, digest_key, ensure_namespace, find_digest_key, namespace};
pub use front::Front;
pub use handover::{Takeable, bar_without_right};
pub use once::{Once, once};
pub use parents::{config_maps, list_parents, read_parent, read_parents};
pub use registry::Registry;
pub use store::ParentStore;
