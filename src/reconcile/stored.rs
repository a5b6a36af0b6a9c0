//! When the parent is written. What decides (which objects are the sync's own, what the guard
//! holds and what of it is approved, which commit it is about) is stored at once, since the next
//! process goes by it. What only informs is stored now and then, however often it changes; log,
//! metrics and `/status` have it at once.

use std::sync::Arc;
use std::time::Duration;

use crate::object::HealthStatus;
use crate::plan::{Inventory, Phase, Recorded, SyncStatus};

use super::cycle::Cycle;
use super::machine::Work;
use super::{Effect, EffectError, EffectId, Machine, Moment};

/// What healing learned of objects is stored after this.
const LEARNED: Duration = Duration::from_secs(1);
/// Drift, and health that moves, are stored after this: most of it is over by then.
const MOVES: Duration = Duration::from_secs(10);
/// Between two writes of what only informs lies at least this.
pub(super) const REST: Duration = Duration::from_secs(30);

/// What the parent holds, or will hold when the write that is under way is done.
pub(super) type Stored = (Inventory, Arc<SyncStatus>);

/// How soon the parent is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Due {
    Never,
    /// After this, and not sooner than [`REST`] after the last such write.
    Informs(Duration),
    AtOnce,
}

impl Machine {
    /// What healing changed in the inventory is stored soon.
    pub(super) fn store_learned(&mut self, now: Moment) {
        self.store_after(LEARNED, now);
    }

    /// Drift, or a contest, is another than the parent says.
    pub(super) fn store_drift(&mut self, now: Moment) {
        self.store_after(MOVES, now);
    }

    fn store_after(&mut self, delay: Duration, now: Moment) {
        let due = (now.mono + delay).max(self.store.last.map_or(Duration::ZERO, |last| last + REST));
        self.store.due = Some(self.store.due.map_or(due, |known| known.min(due)));
    }

    /// Stores inventory and status when that is due and no cycle is about to do so.
    pub(super) fn flush(&mut self, now: Moment) {
        self.store.due = None;
        let known = self.store.stored.as_ref();
        if known.is_some_and(|(inventory, status)| *inventory == self.store.inventory && *status == self.report.status)
        {
            return;
        }
        self.store.last = Some(now.mono);
        let id = self.write_parent(Arc::clone(&self.report.status));
        self.work = Work::Flushing { id };
    }

    pub(super) fn flushed(&mut self, id: EffectId, result: &Result<(), EffectError>, now: Moment) -> bool {
        if !matches!(self.work, Work::Flushing { id: expected } if expected == id) {
            return false;
        }
        self.work = Work::Idle;
        if result.is_err() {
            self.store.stored = None;
            self.store_after(REST, now);
        }
        true
    }

    /// Stores what a cycle came to, where that is due; `None` when it is not.
    pub(super) fn record(&mut self, cycle: &Cycle, status: SyncStatus, now: Moment) -> Option<EffectId> {
        match due(self.store.stored.as_ref(), &self.store.inventory, &status, cycle.wrote) {
            Due::Never => return None,
            Due::Informs(delay) => {
                self.store_after(delay, now);
                self.store.due.filter(|due| *due <= now.mono)?;
                self.store.last = Some(now.mono);
            }
            Due::AtOnce => {}
        }
        self.store.due = None;
        Some(self.write_parent(Arc::new(status)))
    }

    /// Asks for the parent to be written with this status and the inventory as it is now.
    pub(super) fn write_parent(&mut self, status: Arc<SyncStatus>) -> EffectId {
        let id = self.number();
        let inventory = self.store.inventory.clone();
        self.store.stored = Some((inventory.clone(), Arc::clone(&status)));
        self.effects.push(Effect::WriteParent { id, inventory, status });
        id
    }
}

/// How soon what is known is to be stored. `wrote`: a cycle has written objects, whose records
/// decide about what is found of them after a crash.
fn due(stored: Option<&Stored>, inventory: &Inventory, status: &SyncStatus, wrote: bool) -> Due {
    let Some((old, before)) = stored else {
        // A sync that has applied nothing and remembers nothing leaves no trace in the cluster.
        let nothing = inventory.is_empty() && status.phase == Phase::Pending;
        return if nothing { Due::Never } else { Due::AtOnce };
    };
    let learned = old != inventory;
    // What was announced is stored to its end.
    let ends = before.phase == Phase::Syncing && status.phase != Phase::Syncing;
    if ends || (learned && (wrote || !same_objects(old, inventory))) || !decides_the_same(before, status) {
        Due::AtOnce
    } else if learned {
        Due::Informs(LEARNED)
    } else if says_the_same(before, status) {
        Due::Never
    } else if [before.phase, status.phase].iter().all(|phase| matches!(phase, Phase::Synced | Phase::Progressing)) {
        Due::Informs(MOVES)
    } else {
        Due::Informs(Duration::ZERO)
    }
}

/// Whether both list the same objects, and the same flags of each.
fn same_objects(old: &Inventory, new: &Inventory) -> bool {
    let flags = |recorded: &Recorded| (recorded.applied, recorded.detach, recorded.unconfirmed, recorded.approved);
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| a.0 == b.0 && flags(a.1) == flags(b.1))
}

/// Whether the next process decides by the stored status as by the new one.
fn decides_the_same(stored: &SyncStatus, new: &SyncStatus) -> bool {
    fn newest(status: &SyncStatus) -> Option<&String> {
        status.attempted.as_ref().or(status.synced.as_ref()).map(|commit| &commit.id)
    }
    fn synced(status: &SyncStatus) -> Option<&String> {
        status.synced.as_ref().map(|commit| &commit.id)
    }
    stored.held == new.held
        && stored.approval == new.approval
        && newest(stored) == newest(new)
        && synced(stored) == synced(new)
        && stored.former == new.former
        && stored.provenance == new.provenance
}

/// Whether the stored status says what the new one says. How many objects are in which health
/// changes all the time while they start, and is read from the cluster by those who want to know;
/// drift has a time of its own.
fn says_the_same(stored: &SyncStatus, new: &SyncStatus) -> bool {
    let essence = |status: &SyncStatus| {
        let mut status = status.clone();
        status.health.retain(|health, _| *health == HealthStatus::Failed);
        status.unhealthy.clear();
        status.drift.clear();
        status.contested.clear();
        if status.phase == Phase::Progressing {
            status.message.clear();
        }
        status
    };
    essence(stored) == essence(new)
}
