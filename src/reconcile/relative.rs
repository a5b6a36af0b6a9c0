//! A machine as it is seen from a moment: with times as ages and delays, and the numbers of effects counted from one. Two that
//! behave alike from then on are equal and hash alike, though one is a day older, so that a search of all orders of events
//! sees a state that it knows when it comes to it again.
//!
//! While it runs, a machine keeps times of one clock and numbers that never come again: an answer that
//! comes late, or twice, must not be taken for that of another effect.

use std::collections::BTreeMap;
use std::time::Duration;

use super::basis::Basis;
use super::cycle::Cycle;
use super::machine::Work;
use super::{EffectId, Machine};

/// The moment from which a relative machine is seen. Far from zero, so that what began before it has a time.
pub const ORIGIN: Duration = Duration::from_hours(10 * 365 * 24);

/// From where a machine is seen.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    now: Duration,
    epoch: u64,
    numbers: BTreeMap<EffectId, EffectId>,
}

impl Frame {
    /// When something is due. What is due already is due at the origin, however long it has been.
    pub fn due(&self, at: &mut Duration) {
        *at = at.saturating_sub(self.now).saturating_add(ORIGIN);
    }

    /// Since when something is so. Ages beyond `longest` count as `longest`.
    pub fn since(&self, since: &mut Duration, longest: Duration) {
        let age = self.now.saturating_sub(*since).min(longest);
        *since = ORIGIN.saturating_sub(age);
    }

    /// The same where the whole age is measured, to be reported.
    pub fn began(&self, began: &mut Duration) {
        self.since(began, Duration::MAX);
    }

    /// The number of an effect that is under way.
    pub fn number(&self, id: &mut EffectId) {
        *id = self.numbers.get(id).copied().unwrap_or_default();
    }

    /// Which epoch does not matter, but whether it is the current one.
    pub fn epoch(&self, epoch: &mut u64) {
        *epoch = u64::from(*epoch == self.epoch);
    }

    pub fn basis(&self, basis: &mut Basis) {
        self.epoch(&mut basis.epoch);
    }

    fn cycle(&self, cycle: &mut Cycle) {
        self.basis(&mut cycle.basis);
        self.began(&mut cycle.began);
    }

    fn work(&self, work: &mut Work) {
        match work {
            Work::Idle => {}
            Work::Rendering { id, began, epoch, .. } => {
                self.number(id);
                self.began(began);
                self.epoch(epoch);
            }
            Work::Healing { cycle } => self.cycle(cycle),
            Work::Observing { id, cycle }
            | Work::Announcing { id, cycle }
            | Work::Applying { id, cycle }
            | Work::Approving { id, cycle }
            | Work::Pruning { id, cycle }
            | Work::Recording { id, cycle } => {
                self.number(id);
                self.cycle(cycle);
            }
            Work::Flushing { id } => self.number(id),
        }
    }
}

impl Machine {
    /// The numbers of the effects that are under way, in their order. In [`Machine::relative`] they are 1, 2, 3 and so on.
    #[must_use]
    pub fn under_way(&self) -> Vec<EffectId> {
        let heals = self.drift.heal_queue.running.keys().copied();
        let mut numbers: Vec<EffectId> = heals.chain(self.work.number()).collect();
        numbers.extend(self.git.poll.as_ref().map(super::git_state::Poll::id));
        numbers.extend(self.drift.audit.number());
        numbers.sort_unstable();
        numbers
    }

    /// The same machine as it is seen from a moment, which is [`ORIGIN`] for it. `now` is monotonic, and not before the
    /// last step. With the same inputs, numbered by [`Machine::under_way`], it asks for the same effects.
    #[must_use]
    pub fn relative(&self, now: Duration) -> Self {
        let mut seen = self.clone();
        let numbers = (1..).zip(self.under_way()).map(|(new, old)| (old, new)).collect();
        let frame = Frame { now, epoch: self.standing.epoch, numbers };
        seen.next_id = EffectId::try_from(frame.numbers.len()).unwrap_or(EffectId::MAX);
        frame.work(&mut seen.work);
        seen.standing.see(&frame);
        seen.git.see(&frame);
        seen.schedule.see(&frame);
        seen.store.see(&frame);
        seen.drift.heal_queue.see(&frame);
        seen.drift.audit.see(&frame);
        seen.health.settling.see(&frame, self.config.timeout);
        seen
    }
}
