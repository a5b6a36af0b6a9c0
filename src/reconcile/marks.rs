//! What people ask for by annotating the parent, and a parent that is gone.

use super::basis::Anew;
use super::machine::Work;
use super::settling::Settling;
use super::{Effect, Machine, Marks, Moment, Notice};

impl Machine {
    /// Somebody deleted the parent: it is written again, out of what is known.
    pub(super) fn parent_missing(&mut self, now: Moment) {
        if !self.leads {
            self.marks = Marks::default();
            return;
        }
        self.shown = None;
        if self.stored.take().is_some() && matches!(self.work, Work::Idle) {
            self.next_cycle = Some(now.mono);
        }
        self.marked(Marks::default(), now);
    }

    pub(super) fn marked(&mut self, marks: Marks, now: Moment) {
        if marks == self.marks {
            return;
        }
        if !self.leads {
            self.marks = marks;
            return;
        }
        let asked = marks.sync_requested != self.marks.sync_requested;
        let before = self.is_suspended();
        let approved = marks.approved != self.marks.approved;
        self.marks = marks;
        self.take_approval();
        match (before, self.is_suspended()) {
            (false, true) => self.store_now(now),
            (true, false) => {
                self.told_suspended = false;
                self.effects.push(Effect::Tell(Notice::Resumed));
                // Nothing was put back meanwhile, so everything has its time anew.
                self.settling = Settling::default();
                self.begin_anew(Anew::Resume, now);
                self.tell_resumed();
            }
            _ => {}
        }
        if asked {
            self.request_look(now);
            self.backoff.reset();
        }
        self.asked |= asked || approved;
    }
}
