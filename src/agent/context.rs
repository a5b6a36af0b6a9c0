//! What all syncs of one agent share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::RwLock;

use super::{Budget, Caches, Helpers, Registry, Remotes};
use crate::cluster::{Cluster, Discovery, Leadership};
use crate::event::Event;
use crate::object::DigestKey;
use crate::reconcile::Moment;

/// Receives every event.
pub type EventSink = Arc<dyn Fn(&Event) + Send + Sync>;

/// The cluster, what is known of it, and who is notified of what happens. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Connection with the agent's own rights. A sync with a service account derives one from it that impersonates.
    pub cluster: Cluster,
    /// Of the syncs that act with the agent's own rights.
    pub discovery: Arc<RwLock<Arc<Discovery>>>,
    /// Where parents and key are.
    pub namespace: Arc<str>,
    /// Key of the digests of Secrets, read or created when the agent starts.
    pub key: DigestKey,
    /// What the syncs know of each other: phases, parents, what each declares and holds.
    pub registry: Registry,
    /// Whether this agent may write; `cluster` sends no write without.
    pub leadership: Leadership,
    /// For clones and what was fetched: `dataDir`, or a temporary one where `run --once` cannot write there.
    pub data_dir: Arc<PathBuf>,
    /// What all syncs together may do at once.
    pub budget: Budget,
    /// What the syncs have rendered last.
    pub caches: Caches,
    /// The programs that render and decrypt.
    pub helpers: Arc<Helpers>,
    /// What renders need of other hosts.
    pub remotes: Remotes,
    /// Receives the events of all syncs.
    pub emit: EventSink,
    /// The zero of monotonic time.
    pub started: Instant,
}

impl Context {
    /// The current moment: monotonic time since `started`, the wall clock, and a random number for delays.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { mono: self.started.elapsed(), wall: Timestamp::now(), random: fastrand::u64(..) }
    }
}
