//! Storing what was learned before nothing can be stored any more: at the end of the process, when
//! the sync is configured otherwise, before leadership ends, and during a suspension.

use super::machine::Work;
use super::{Machine, Moment};

impl Machine {
    /// Whether the parent does not know yet what healing has changed, or something else waits to be
    /// stored.
    fn has_learned(&self) -> bool {
        let stored = self.store.stored.as_ref().map(|(inventory, _)| inventory);
        // Who has applied nothing leaves no trace.
        let changed = stored.map_or(!self.store.inventory.is_empty(), |stored| *stored != self.store.inventory);
        self.leads && (changed || self.store.due.is_some())
    }

    /// Stores what was learned as soon as no cycle is about to do so.
    pub(super) fn store_now(&mut self, now: Moment) {
        if self.has_learned() {
            self.store.due = Some(now.mono);
        }
    }

    pub(super) fn flush_when_due(&mut self, now: Moment) {
        if matches!(self.work, Work::Idle) && self.store.due.is_some_and(|due| now.mono >= due) {
            self.flush(now);
        }
    }

    /// Begins nothing more. What only reads is not answered any more.
    pub(super) fn stop(&mut self) {
        if std::mem::replace(&mut self.standing.stopping, true) {
            return;
        }
        if matches!(self.work, Work::Rendering { .. } | Work::Observing { .. } | Work::Healing { .. }) {
            self.work = Work::Idle;
        }
        self.git.poll = None;
        self.drift.heal_queue.running.retain(|_, running| running.is_heal());
        self.drift.audit.forget_running();
        self.drift.heal_queue.clear();
    }

    /// Stores what was learned, once, when what was under way has ended.
    pub(super) fn finish(&mut self, now: Moment) {
        self.drift.heal_queue.clear();
        let ended = matches!(self.work, Work::Idle) && self.drift.heal_queue.running.is_empty();
        if ended && self.has_learned() && !std::mem::replace(&mut self.standing.stored_last, true) {
            self.flush(now);
        }
    }
}
