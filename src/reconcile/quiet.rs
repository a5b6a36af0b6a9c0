//! Cycles in which there is nothing to do: the same commit, and watches that see every object and
//! have reported nothing. Such a cycle ends at once, instead of going through every object again.

use std::time::Duration;

use crate::event::{Ended, Outcome};
use crate::plan::Phase;

use super::machine::Work;
use super::{Machine, Moment};

/// At least so often a cycle goes through everything, whatever the watches say.
pub(super) const WHOLE: Duration = Duration::from_mins(10);

impl Machine {
    /// Whether the last cycle left nothing to do, and nothing was received since.
    pub(super) fn is_quiet(&self, now: Moment) -> bool {
        let Some(rendered) = &self.git.rendered else { return false };
        let commit = &rendered.commit.id;
        let calm = matches!(self.work, Work::Idle)
            && self.schedule.is_quiet()
            && self.drift.heal_queue.is_empty()
            && self.health.unhealthy.is_empty()
            && self.drift.deleted_early.is_empty();
        let status = &self.report.status;
        let clean = status.phase == Phase::Synced
            && status.problems.is_empty()
            && status.unhealthy.is_empty()
            && status.held.is_none();
        calm && clean
            && self.git.head.as_ref() == Some(commit)
            && self.report.last_outcome.as_ref().is_some_and(|(outcome, of)| *outcome == Outcome::Synced && of == commit)
            && !self.git.inputs_changed
            && self.report.waiting_for.is_empty()
            && self.source_problems().is_empty()
            // An orphan that is still there may be one that another sync has come to declare.
            && self.store.inventory.len() == self.view.len()
            && self.schedule.last_whole.is_some_and(|last| now.mono < last + WHOLE)
    }

    pub(super) fn conclude_quietly(&mut self) {
        let Some(rendered) = &self.git.rendered else { return };
        let ended = Ended {
            again: true,
            outcome: Outcome::Synced,
            changed: 0,
            message: self.report.status.message.clone(),
            lag: None,
            retry_in: None,
            commit: rendered.commit.clone(),
        };
        self.report_end(ended, Vec::new(), Duration::ZERO);
    }
}
