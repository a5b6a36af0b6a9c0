//! Standing by for another replica, and taking its place. A follower looks, fetches, renders and has
//! the watches opened, so that little is left to do when it leads; it asks for nothing that writes,
//! and nothing that it has seen decides anything: the former leader may have changed it since.

use std::sync::Arc;

use crate::plan::{Inventory, SyncStatus};

use super::basis::Anew;
use super::machine::{Work, identified};
use super::settling::Settling;
use super::{Effect, Machine, Marks, Moment, Notice, Observation};

impl Machine {
    /// Starts what is due for a follower.
    pub(super) fn stand_by(&mut self, now: Moment) {
        if self.is_suspended() {
            return;
        }
        self.look_when_due(now);
        if !matches!(self.work, Work::Idle) || self.next_cycle.is_none_or(|due| now.mono < due) {
            return;
        }
        self.next_cycle = None;
        let known = self.rendered.as_ref().map(|rendered| &rendered.commit.id);
        // One that failed is tried again with the next look.
        let newer = self.head.clone().filter(|head| known != Some(head));
        if let Some(commit) = newer {
            self.render(commit, now);
        }
    }

    /// The watches of what a commit declares are open, or it is known why not.
    pub(super) fn observed_as_follower(&mut self, result: &Result<Observation, String>) {
        if let (Ok(_), Some(rendered)) = (result, &self.rendered) {
            let commit = rendered.commit.clone();
            self.effects.push(Effect::Tell(Notice::StandingBy { commit }));
        }
    }

    /// Leads from now on, and begins anew. `stored` and `marks` were read after that was certain, and
    /// are the former leader's last word: nothing that this replica assumed before counts.
    pub(super) fn lead(&mut self, stored: Option<(Inventory, SyncStatus)>, marks: Marks, now: Moment) {
        if self.leads {
            return;
        }
        self.leads = true;
        let (inventory, status) = stored.clone().unwrap_or_default();
        self.inventory = inventory;
        self.status = Arc::new(identified(status, &self.config));
        self.shown = stored.as_ref().and_then(|(_, status)| status.held.clone());
        self.stored = stored.map(|(inventory, status)| (inventory, Arc::new(status)));
        self.marks = marks;
        self.take_approval();
        self.settling = Settling::default();
        self.cut.clear();
        self.replaceable.clear();
        self.left = self.status.former.iter().cloned().collect();
        self.begin_anew(Anew::Lead, now);
        // Which commit was the head the former leader knows.
        self.before = None;
    }
}
