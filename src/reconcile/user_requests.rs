//! What people ask for by annotating the parent, and a parent that is gone.

use crate::event::SyncEvent;

use super::basis::Anew;
use super::machine::Work;
use super::settling::Settling;
use super::{Effect, Machine, Moment, UserRequests};

impl Machine {
    /// Somebody deleted the parent: it is written again, out of what is known.
    pub(super) fn parent_missing(&mut self, now: Moment) {
        if !self.leads {
            self.requests = UserRequests::default();
            return;
        }
        self.store.shown = None;
        if self.store.stored.take().is_some() && matches!(self.work, Work::Idle) {
            self.schedule.next_cycle = Some(now.mono);
        }
        self.requested(UserRequests::default(), now);
    }

    pub(super) fn requested(&mut self, requests: UserRequests, now: Moment) {
        if requests == self.requests {
            return;
        }
        if !self.leads {
            self.requests = requests;
            return;
        }
        let asked = requests.sync_requested != self.requests.sync_requested;
        let before = self.is_suspended();
        let approved = requests.approved != self.requests.approved;
        self.requests = requests;
        self.take_approval();
        match (before, self.is_suspended()) {
            (false, true) => self.store_now(now),
            (true, false) => {
                self.report.suspension_reported = false;
                self.effects.push(Effect::Emit(SyncEvent::Resumed));
                // Nothing was put back meanwhile, so everything has its time anew.
                self.health.settling = Settling::default();
                self.begin_anew(Anew::Resume, now);
                self.report_resumed();
            }
            _ => {}
        }
        if asked {
            // Who asks for a sync means all that goes into it.
            self.git.inputs_changed |= self.git.rendered.as_ref().is_some_and(|rendered| rendered.reads.any);
            self.request_poll(now);
            self.schedule.backoff.reset();
        }
        self.schedule.person_asked |= asked || approved;
    }
}
