//! What is known between cycles: drift and health as the status has them at once.

use jiff::SignedDuration;

use crate::event::SyncEvent;
use crate::object::HealthStatus;
use crate::plan::{Contest, Drift, Phase, SyncStatus};

use super::contest::Contested;
use super::{Effect, Machine, Moment};

impl Machine {
    /// A change that only a whole cycle can classify.
    pub(super) fn request_reconcile(&mut self) {
        self.schedule.reconcile_requested = true;
    }

    /// Lists a drift in the status. One that was reported before it was healed becomes a healed one.
    pub(super) fn record_drift(&mut self, drift: Drift, new: bool, now: Moment) {
        let mut status = (*self.report.status).clone();
        let known = status.drift.iter_mut().rev().find(|known| known.object == drift.object && !known.healed);
        match known.filter(|_| !new) {
            Some(known) => known.healed |= drift.healed,
            None => status.drift.push(drift),
        }
        let over = status.drift.len().saturating_sub(SyncStatus::MOST_DRIFT);
        status.drift.drain(..over);
        self.set_status(status);
        self.store_drift(now);
    }

    pub(super) fn restate_drift(&mut self, now: Moment) {
        let mut status = (*self.report.status).clone();
        self.list_drift(&mut status, now);
        if status != *self.report.status {
            self.set_status(status);
            self.store_drift(now);
        }
        let contested = self.drift.heal_queue.contests.len();
        self.effects.push(Effect::Emit(SyncEvent::ContestedNow { objects: contested }));
    }

    /// An object's health is another than before. Counted at once; what it means for the sync is
    /// decided by a cycle. One that fails is not hurried by it: its own retry is due.
    pub(super) fn health_changed(&mut self, old: HealthStatus, new: HealthStatus) {
        if old != new {
            let mut status = (*self.report.status).clone();
            if let Some(count) = status.health.get_mut(&old) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    status.health.remove(&old);
                }
            }
            *status.health.entry(new).or_default() += 1;
            let unhealthy = self.health.unhealthy.iter().take(SyncStatus::MOST);
            status.unhealthy = unhealthy.map(|(id, health)| (id.clone(), health.clone())).collect();
            self.set_status(status);
        }
        if self.report.status.phase != Phase::Failing {
            self.request_reconcile();
        }
    }
}

/// A contest as the status shows it.
pub(super) fn contest(contested: &Contested, now: Moment) -> Contest {
    let wait = contested.until.saturating_sub(now.mono);
    let until = SignedDuration::try_from(wait).ok().and_then(|wait| now.wall.checked_add(wait).ok());
    Contest {
        object: contested.object.clone(),
        manager: contested.manager.clone(),
        managers: if contested.managers.len() > 1 { contested.managers.clone() } else { Vec::new() },
        fields: contested.fields.clone(),
        heals: contested.heals,
        until: until.unwrap_or(now.wall),
    }
}
