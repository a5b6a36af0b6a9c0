//! The state of one sync by its owners. Each holds what belongs together; [`Machine`](super::Machine) routes inputs to them,
//! and decides what needs to know of several.
//!
//! What may run beside what:
//!
//! | under way | beside it | not beside it |
//! | --- | --- | --- |
//! | a poll of git | everything | a second poll |
//! | a cycle (render, observe, write the parent, apply, prune) | polls, heals and audits of objects that it does not write now | a second cycle |
//! | a write of the parent | polls, examinations, heals | a second write of the parent |
//! | a heal of an object | everything about other objects | an apply, a prune, an audit or a second heal of the same object |
//! | an audit of an object | everything about other objects | a second audit; a write of the same object |
//!
//! Which decisions may still be carried out says `basis`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::config::AuditPolicy;
use crate::event::Outcome;
use crate::object::{Health, ObjectId};
use crate::plan::{Held, Inventory, Replaceables, SyncStatus};

use super::audit::Audit;
use super::backoff::Backoff;
use super::git_state::{Poll, SECOND_POLL};
use super::heal_queue::HealQueue;
use super::quiet::WHOLE;
use super::relative::Frame;
use super::settling::Settling;
use super::stored::{REST, Stored};
use super::{EffectError, Moment, RenderedCommit};

/// A cycle that was requested by what was learned, and not by the schedule, comes at most so often.
const REQUESTED: Duration = Duration::from_secs(1);
/// And after a failure more and more seldom up to this: each tries all that failed once more.
const SLOWEST_REQUESTED: Duration = Duration::from_secs(10);

/// What is known of git: polls, commits and their renderings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GitState {
    /// The poll that is under way.
    pub poll: Option<Poll>,
    pub next_poll: Duration,
    pub poll_error: Option<EffectError>,
    pub poll_backoff: Backoff,
    /// The commit that could not be rendered, and why.
    pub render_error: Option<(String, String)>,
    /// Commits that were gone when they were to be fetched, one after the other.
    pub gone: u32,
    pub gone_backoff: Backoff,
    /// The newest commit that a poll found.
    pub head: Option<String>,
    /// What was the head before the sync began anew.
    pub before: Option<String>,
    /// Commits that were the head before.
    pub former: VecDeque<String>,
    /// One of them that the last poll found again, and when it was first found.
    pub returning: Option<(String, Duration)>,
    pub rendered: Option<Arc<RenderedCommit>>,
    /// What the rendering has read of the cluster may have changed since.
    pub inputs_changed: bool,
    /// The rendering that is under way was asked for by such a change.
    pub renders_inputs: bool,
    /// A commit that is rendered already, should git say that it is the one to enforce.
    pub prepared: Option<Arc<RenderedCommit>>,
}

impl GitState {
    pub fn new(former: VecDeque<String>, now: Duration) -> Self {
        Self {
            poll: None,
            next_poll: now,
            poll_error: None,
            poll_backoff: Backoff::default(),
            render_error: None,
            gone: 0,
            gone_backoff: Backoff::default(),
            head: None,
            before: None,
            former,
            returning: None,
            rendered: None,
            inputs_changed: false,
            renders_inputs: false,
            prepared: None,
        }
    }

    pub fn see(&mut self, frame: &Frame) {
        self.poll.iter_mut().for_each(|poll| poll.see(frame));
        frame.due(&mut self.next_poll);
        self.returning.iter_mut().for_each(|(_, since)| frame.since(since, SECOND_POLL));
        // It matters whether it is the first.
        self.gone = self.gone.min(2);
    }
}

/// When cycles come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Schedule {
    /// When to go through the cluster again without a new commit; `None`: with the next poll.
    pub next_cycle: Option<Duration>,
    pub backoff: Backoff,
    /// When something that is being deleted ceases to hold back the deletion of others.
    pub overdue_at: Option<Duration>,
    /// What was learned asks for a cycle.
    pub reconcile_requested: bool,
    /// When the last cycle ended.
    pub last_end: Option<Duration>,
    /// When the last cycle ended that went through everything.
    pub last_whole: Option<Duration>,
    /// The delay before the retry, when that cycle failed.
    pub retry_in: Option<Duration>,
    /// A person asked for a cycle; one that is under way does not count, since it may have observed before.
    pub person_asked: bool,
}

impl Schedule {
    pub fn see(&mut self, frame: &Frame) {
        self.next_cycle.iter_mut().chain(&mut self.overdue_at).for_each(|at| frame.due(at));
        self.last_end.iter_mut().for_each(|end| frame.since(end, SLOWEST_REQUESTED));
        self.last_whole.iter_mut().for_each(|end| frame.since(end, WHOLE));
    }

    /// When a cycle may come that was requested by what was learned.
    pub fn requested_at(&self, now: Moment) -> Duration {
        let rest = self.retry_in.map_or(REQUESTED, |delay| (delay / 4).clamp(REQUESTED, SLOWEST_REQUESTED));
        now.mono.max(self.last_end.map_or(Duration::ZERO, |end| end + rest))
    }

    /// Plans what was requested, where no cycle is under way.
    pub fn plan_requested(&mut self, now: Moment) {
        if std::mem::take(&mut self.person_asked) {
            self.next_cycle = Some(now.mono);
        }
        if std::mem::take(&mut self.reconcile_requested) {
            let at = self.requested_at(now);
            self.next_cycle = Some(self.next_cycle.map_or(at, |known| known.min(at)));
        }
    }

    /// Whether nobody asks for a cycle.
    pub fn is_quiet(&self) -> bool {
        self.next_cycle.is_none() && !self.reconcile_requested && !self.person_asked
    }
}

/// The parent: what it holds, and what is still to be stored in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub inventory: Inventory,
    pub stored: Option<Stored>,
    /// What the parent says is held, as of the last write that succeeded: what people can see.
    pub shown: Option<Held>,
    /// When to store what only informs, and when that was done last.
    pub due: Option<Duration>,
    pub last: Option<Duration>,
}

impl Store {
    pub fn see(&mut self, frame: &Frame) {
        self.due.iter_mut().for_each(|due| frame.due(due));
        self.last.iter_mut().for_each(|last| frame.since(last, REST));
    }

    pub fn new(stored: Option<(Inventory, SyncStatus)>) -> Self {
        let inventory = stored.as_ref().map(|(inventory, _)| inventory.clone()).unwrap_or_default();
        let shown = stored.as_ref().and_then(|(_, status)| status.held.clone());
        let stored = stored.map(|(inventory, status)| (inventory, Arc::new(status)));
        Self { inventory, stored, shown, due: None, last: None }
    }
}

/// What people are shown, and what was reported already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Report {
    pub status: Arc<SyncStatus>,
    /// The syncs that this one waits for.
    pub waiting_for: Vec<String>,
    pub suspension_reported: bool,
    /// How the last cycle ended, and for which commit, as it was reported.
    pub last_outcome: Option<(Outcome, String)>,
    /// Managers of which it is said that they are on neither list.
    pub unknown_managers: BTreeSet<Arc<str>>,
}

impl Report {
    pub fn new(status: SyncStatus) -> Self {
        Self {
            status: Arc::new(status),
            waiting_for: Vec::new(),
            suspension_reported: false,
            last_outcome: None,
            unknown_managers: BTreeSet::new(),
        }
    }
}

/// Drift, and what was learned of single objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DriftState {
    /// Where single objects are healed.
    pub heal_queue: HealQueue,
    pub audit: Audit,
    /// Jobs that were seen to be deleted before they had ended.
    pub deleted_early: BTreeSet<ObjectId>,
    /// What the API server does not let be changed in place, and would let be created again: what the next plan is to
    /// know.
    pub replaceable: Replaceables,
    /// Declared fields that have another value after an apply.
    pub rewritten: BTreeMap<ObjectId, Vec<String>>,
}

impl DriftState {
    pub fn new(audit: AuditPolicy, stored: &SyncStatus) -> Self {
        Self {
            heal_queue: HealQueue::default(),
            audit: Audit::new(audit),
            deleted_early: BTreeSet::new(),
            replaceable: Replaceables::new(),
            rewritten: rewritten_in(stored),
        }
    }

    /// Remembers which declared fields the server has rewritten. Whether that is another answer than before.
    pub fn note_rewritten(&mut self, object: &ObjectId, fields: &[String]) -> bool {
        if fields.is_empty() {
            return self.rewritten.remove(object).is_some();
        }
        self.rewritten.insert(object.clone(), fields.to_vec()).is_none_or(|before| before != fields)
    }
}

/// What a stored status says of fields that were rewritten.
pub(super) fn rewritten_in(stored: &SyncStatus) -> BTreeMap<ObjectId, Vec<String>> {
    stored.rewritten.iter().map(|one| (one.object.clone(), one.fields.clone())).collect()
}

/// Health of what git declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct HealthState {
    /// Declared objects that are not healthy.
    pub unhealthy: BTreeMap<ObjectId, Health>,
    /// What is waited for to become healthy.
    pub settling: Settling,
    pub settle_cycles: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { mono: Duration::from_secs(seconds), wall: jiff::Timestamp::UNIX_EPOCH, random: 0 }
    }

    #[test]
    fn a_requested_cycle_comes_at_once_and_then_after_a_rest_that_grows_with_the_retry() {
        let mut schedule = Schedule::default();
        assert!(schedule.is_quiet());
        schedule.reconcile_requested = true;
        assert!(!schedule.is_quiet());
        schedule.plan_requested(at(5));
        assert_eq!(schedule.next_cycle, Some(Duration::from_secs(5)), "no cycle came before");
        schedule.last_end = Some(Duration::from_secs(5));
        assert_eq!(schedule.requested_at(at(5)), Duration::from_secs(6));
        for (retry, rest) in [(1, 1), (20, 5), (600, 10)] {
            schedule.retry_in = Some(Duration::from_secs(retry));
            assert_eq!(schedule.requested_at(at(5)), Duration::from_secs(5 + rest), "{retry}");
        }
        schedule.person_asked = true;
        schedule.plan_requested(at(7));
        assert_eq!(schedule.next_cycle, Some(Duration::from_secs(7)), "a person does not wait");
        assert!(!schedule.person_asked && !schedule.reconcile_requested);
    }

    #[test]
    fn a_store_begins_with_what_the_parent_holds() {
        let held = Held { commit: "c".into(), ..Held::default() };
        let status = SyncStatus { held: Some(held.clone()), ..SyncStatus::default() };
        let store = Store::new(Some((Inventory::new(), status)));
        assert_eq!(store.shown, Some(held));
        assert!(store.stored.is_some() && store.due.is_none());
        assert!(Store::new(None).stored.is_none());
    }
}
