//! Standing by for another replica, and taking its place. A follower polls, fetches, renders and has
//! the watches opened, so that little is left to do when it leads; it asks for nothing that writes,
//! and nothing that it has seen decides anything: the former leader may have changed it since.

use std::sync::Arc;

use crate::event::SyncEvent;
use crate::plan::{Inventory, SyncStatus};

use super::basis::Anew;
use super::machine::{Work, identified};
use super::settling::Settling;
use super::state::{Store, rewritten_in};
use super::{Effect, EffectError, Machine, Moment, Observation, UserRequests};

impl Machine {
    /// Starts what is due for a follower.
    pub(super) fn stand_by(&mut self, now: Moment) {
        if self.is_suspended() {
            return;
        }
        self.poll_when_due(now);
        if !matches!(self.work, Work::Idle) || self.schedule.next_cycle.is_none_or(|due| now.mono < due) {
            return;
        }
        self.schedule.next_cycle = None;
        let known = self.git.rendered.as_ref().map(|rendered| &rendered.commit.id);
        // One that failed is tried again with the next poll.
        // With other inputs, too: what it has of other hosts would be outdated when it leads, and they may not answer then.
        let newer = self.git.head.clone().filter(|head| self.git.inputs_changed || known != Some(head));
        if let Some(commit) = newer {
            self.render(commit, now);
        }
    }

    /// The watches of what a commit declares are open, or it is known why not.
    pub(super) fn observed_as_follower(&mut self, result: &Result<Observation, EffectError>) {
        if let (Ok(_), Some(rendered)) = (result, &self.git.rendered) {
            let commit = rendered.commit.clone();
            self.effects.push(Effect::Emit(SyncEvent::StandingBy { commit: Some(commit) }));
        }
    }

    /// Leads from now on, and begins anew. `stored` and `requests` were read after that was certain, and
    /// are the former leader's last word: nothing that this replica assumed before counts.
    pub(super) fn lead(&mut self, stored: Option<(Inventory, SyncStatus)>, requests: UserRequests, now: Moment) {
        if self.leads {
            return;
        }
        self.leads = true;
        let status = stored.as_ref().map(|(_, status)| status.clone()).unwrap_or_default();
        self.report.status = Arc::new(identified(status, &self.config));
        self.store = Store { due: self.store.due, last: self.store.last, ..Store::new(stored) };
        self.requests = requests;
        self.take_approval();
        self.health.settling = Settling::default();
        self.drift.deleted_early.clear();
        self.drift.replaceable.clear();
        self.drift.rewritten = rewritten_in(&self.report.status);
        self.git.former = self.report.status.former.iter().cloned().collect();
        self.begin_anew(Anew::Lead, now);
        // Which commit was the head the former leader knows.
        self.git.before = None;
    }
}
