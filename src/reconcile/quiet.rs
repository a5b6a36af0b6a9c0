//! Cycles in which there is nothing to do: the same commit, and watches that see every object and
//! have told nothing. Such a cycle ends at once, instead of going through every object again.

use std::time::Duration;

use crate::plan::Phase;

use super::machine::Work;
use super::{Effect, Machine, Moment, Notice, Outcome};

/// At least so often a cycle goes through everything, whatever the watches say.
const WHOLE: Duration = Duration::from_mins(10);

impl Machine {
    /// Whether the last cycle left nothing to do, and nothing was heard of since.
    pub(super) fn is_quiet(&self, now: Moment) -> bool {
        let Some(rendered) = &self.rendered else { return false };
        let commit = &rendered.commit.id;
        let calm = matches!(self.work, Work::Idle)
            && self.next_cycle.is_none()
            && !self.stirred
            && !self.asked
            && self.lane.is_empty()
            && self.ill.is_empty()
            && self.cut.is_empty();
        let status = &self.status;
        let clean = status.phase == Phase::Synced
            && status.problems.is_empty()
            && status.unhealthy.is_empty()
            && status.held.is_none();
        calm && clean
            && self.head.as_ref() == Some(commit)
            && self.last.as_ref().is_some_and(|(outcome, of)| *outcome == Outcome::Synced && of == commit)
            && self.waiting_for.is_empty()
            && self.source_problems().is_empty()
            // An orphan that is still there may be one that another sync has come to declare.
            && self.inventory.len() == self.view.len()
            && self.last_whole.is_some_and(|last| now.mono < last + WHOLE)
    }

    pub(super) fn conclude_quietly(&mut self) {
        let Some(rendered) = &self.rendered else { return };
        self.effects.push(Effect::Tell(Notice::Ended {
            again: true,
            outcome: Outcome::Synced,
            changed: 0,
            message: self.status.message.clone(),
            problems: Vec::new(),
            lag: None,
            retry_in: None,
            took: Duration::ZERO,
            commit: rendered.commit.clone(),
        }));
    }
}
