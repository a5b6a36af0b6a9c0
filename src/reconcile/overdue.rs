//! How long an object that is being deleted holds back the deletion of others which may serve it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::plan::{Awaited, Reason};

use super::cycle::Cycle;
use super::machine::Work;
use super::{Machine, Moment};

/// When to go through the cluster again where something was put off and no watch reports a change of it.
const NEXT_SIGHT: Duration = Duration::from_secs(10);

/// The same where a workload is rolling out.
const AFTER_ROLLOUT: Duration = Duration::from_mins(1);

impl Machine {
    /// What has been deleted since then, or longer, holds back nothing any more. The API server's clock
    /// says since when that is, so that it counts on after a restart.
    pub(super) fn overdue_since(&self, now: Moment) -> Timestamp {
        let timeout = SignedDuration::try_from(self.config.timeout).unwrap_or(SignedDuration::MAX);
        now.wall.checked_sub(timeout).unwrap_or(Timestamp::MIN)
    }

    /// Notes when the first of those objects becomes overdue for which something waits.
    pub(super) fn note_overdue(&mut self, cycle: &Cycle, now: Moment) {
        let plan = &cycle.plan;
        let holds_back = plan.steps.iter().filter_map(|step| match &step.reason {
            Reason::Awaits { object, why: Awaited::First, .. } => plan.step(object),
            _ => None,
        });
        let since = holds_back.filter_map(|step| step.live.as_ref()?.terminating.as_ref()?.since).min();
        let left = since.map(|since| since.duration_since(self.overdue_since(now)));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        // Since when the deletions of this cycle are under way, the next one sees.
        let left = left.or((cycle.put_off > cycle.rolling_out).then_some(NEXT_SIGHT));
        // Watches report the end of a rollout, so this is for what they miss.
        let left = left.or((cycle.rolling_out > 0).then_some(AFTER_ROLLOUT));
        self.schedule.overdue_at = left.map(|left| now.mono + left);
    }

    /// Asks for a cycle once that has come.
    pub(super) fn request_when_overdue(&mut self, now: Moment) {
        if matches!(self.work, Work::Idle) && self.schedule.overdue_at.is_some_and(|due| now.mono >= due) {
            self.schedule.overdue_at = None;
            self.request_reconcile();
        }
    }
}
