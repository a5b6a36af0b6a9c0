//! The one value of what the syncs of an agent know of each other, shared by their tasks.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::SyncName;
use crate::plan::Phase;
use crate::reconcile::Fleet;

/// Shared by all syncs of an agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    fleet: Arc<Mutex<Fleet>>,
    phases: watch::Sender<()>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { fleet: Arc::default(), phases: watch::Sender::new(()) }
    }
}

impl Registry {
    /// Asks or changes what is known. Nothing may be awaited in `act`.
    pub fn with<T>(&self, act: impl FnOnce(&mut Fleet) -> T) -> T {
        // Every change is complete before anything can panic, so a panic elsewhere leaves no half of one.
        act(&mut self.fleet.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes where a sync stands, and notifies those who wait for others.
    pub fn set_phase(&self, sync: &SyncName, phase: Phase) {
        if self.with(|fleet| fleet.set_phase(sync, phase)) {
            self.phases.send_replace(());
        }
    }

    /// Forgets a sync that is not configured any more.
    pub fn leave(&self, sync: &SyncName) {
        self.with(|fleet| fleet.leave(sync));
        self.phases.send_replace(());
    }

    /// Is notified when the phase of any sync changes.
    #[must_use]
    pub fn phases(&self) -> watch::Receiver<()> {
        self.phases.subscribe()
    }
}
