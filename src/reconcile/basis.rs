//! What a decision was made from, and whether it may still be carried out. Several things are under
//! way at once; this is the one place that says which of them may act: every transition that leads
//! to a write asks [`Machine::stands`], and what no longer stands is planned anew.

use crate::plan::{Problem, Verb};

use super::cycle::Cycle;
use super::machine::Work;
use super::relative::Frame;
use super::{Effect, EffectId, Machine, Moment};

/// What a cycle, an examination or a heal was begun from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Basis {
    /// The commit that says what is to be written.
    pub commit: String,
    /// See [`Standing::epoch`].
    pub epoch: u64,
}

/// Something that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act<'a> {
    /// Of one object, beside the cycles.
    Heal(&'a Basis),
    Apply(&'a Cycle),
    Prune(&'a Cycle),
}

/// Why something that was decided is not carried out, or not any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fallen {
    /// Another replica leads.
    Following,
    /// The process ends, or the sync is configured otherwise.
    Stopping,
    Suspended,
    /// The sync began anew since.
    Outdated,
    /// A person asked for a poll of git that is not answered yet, or what it showed is not rendered
    /// yet. What is being applied goes on; nothing else does.
    Unpolled,
    /// A newer commit is there.
    Overtaken,
    /// It is not known what git declares now.
    Doubtful,
    /// A person took back what the guard needs.
    Disapproved,
}

/// Why a sync began anew, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Anew {
    Start,
    Resume,
    Lead,
}

/// What has to be known of git before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Awaited {
    Nothing,
    /// The answer to a poll that is begun from now on.
    Poll,
    /// The same once more, since the first showed a former head.
    Confirmation,
    /// The commit that it has shown.
    Rendering,
}

/// How often a cycle may be left for a newer commit before it has written anything, until polls wait
/// for it: else a branch that moves all the time would never be applied.
const OVERTAKEN: u8 = 3;

/// What all decisions of a sync rest on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    /// Counts how often the sync began anew. What was decided before then is not carried out.
    pub epoch: u64,
    awaited: Awaited,
    pub anew: Anew,
    /// Nothing more is begun: what was learned is stored, and then that is all.
    pub stopping: bool,
    /// That was done.
    pub stored_last: bool,
    /// How many cycles in a row were left for a newer commit.
    overtaken: u8,
}

impl Standing {
    pub fn new() -> Self {
        Self { epoch: 0, awaited: Awaited::Poll, anew: Anew::Start, stopping: false, stored_last: false, overtaken: 0 }
    }

    /// Nothing that was decided so far is carried out, and first git is polled.
    pub fn begin_anew(&mut self, why: Anew) {
        self.epoch += 1;
        self.awaited = Awaited::Poll;
        self.anew = why;
        self.overtaken = 0;
    }

    /// First git is polled.
    pub fn await_poll(&mut self) {
        self.awaited = Awaited::Poll;
    }

    /// Whether a poll is awaited.
    pub fn awaits_poll(&self) -> bool {
        matches!(self.awaited, Awaited::Poll | Awaited::Confirmation)
    }

    /// A poll showed a former head, which is not believed at once. Whether another poll is awaited for it:
    /// one, so that replicas which disagree do not hold everything up for ever.
    pub fn suspected(&mut self) -> bool {
        let awaited = self.awaited == Awaited::Poll;
        if awaited {
            self.awaited = Awaited::Confirmation;
        }
        awaited
    }

    /// A poll was answered, and what it showed has to be rendered first where `ahead`.
    pub fn polled(&mut self, ahead: bool) {
        self.awaited = match self.awaited {
            Awaited::Nothing => Awaited::Nothing,
            _ if ahead => Awaited::Rendering,
            _ => Awaited::Nothing,
        };
    }

    /// A commit is rendered, or cannot be used now: what was asked for is known, unless git is `ahead` of it.
    pub fn settle(&mut self, ahead: bool) {
        if !ahead && !self.awaits_poll() {
            self.awaited = Awaited::Nothing;
        }
    }

    /// The poll failed: what is enforced already goes on being so.
    pub fn poll_failed(&mut self) {
        if self.awaits_poll() {
            self.awaited = Awaited::Nothing;
        }
    }

    pub fn see(&mut self, frame: &Frame) {
        frame.epoch(&mut self.epoch);
        self.overtaken = self.overtaken.min(OVERTAKEN);
    }

    pub fn count_overtaken(&mut self) {
        self.overtaken = self.overtaken.saturating_add(1);
    }

    pub fn not_overtaken(&mut self) {
        self.overtaken = 0;
    }
}

impl Anew {
    /// What is said of what is not done until a commit can be enforced.
    pub fn nothing_enforced(self) -> &'static str {
        match self {
            Self::Start => "nothing is enforced until git was read",
            Self::Resume => "resumed; nothing is enforced until git was read",
            Self::Lead => "leads now; nothing is enforced until git was read",
        }
    }
}

impl Machine {
    /// Whether the sync may write at all.
    pub(super) fn may_act(&self) -> Result<(), Fallen> {
        if self.standing.stopping {
            return Err(Fallen::Stopping);
        }
        if !self.leads {
            return Err(Fallen::Following);
        }
        if self.is_suspended() { Err(Fallen::Suspended) } else { Ok(()) }
    }

    /// Whether what was decided still stands, so that it may be carried out, and further.
    pub(super) fn stands(&self, act: Act<'_>) -> Result<(), Fallen> {
        self.may_act()?;
        let (basis, of_head) = match act {
            Act::Heal(basis) => (basis, false),
            Act::Apply(cycle) | Act::Prune(cycle) => (&cycle.basis, true),
        };
        if basis.epoch != self.standing.epoch {
            return Err(Fallen::Outdated);
        }
        let newest = self.git.rendered.as_ref().is_some_and(|rendered| rendered.commit.id == basis.commit);
        if !newest || (of_head && self.is_behind()) {
            return Err(Fallen::Overtaken);
        }
        if self.standing.awaited != Awaited::Nothing {
            return Err(Fallen::Unpolled);
        }
        if let Act::Prune(cycle) = act {
            if self.git.head.as_ref() != Some(&basis.commit) || !self.source_problems().is_empty() {
                return Err(Fallen::Doubtful);
            }
            // An approval can be taken back until the last moment.
            if !self.still_approved(cycle, Verb::Prune) {
                return Err(Fallen::Disapproved);
            }
        }
        if let Act::Apply(cycle) = act
            && !self.still_approved(cycle, Verb::Replace)
        {
            return Err(Fallen::Disapproved);
        }
        Ok(())
    }

    /// Whether git has a newer commit than the rendered one, as far as that one can be used now.
    pub(super) fn is_behind(&self) -> bool {
        let Some(head) = &self.git.head else { return false };
        let unusable = self.git.render_error.as_ref().is_some_and(|(commit, _)| commit == head);
        let known = self.git.rendered.as_ref().is_some_and(|rendered| rendered.commit.id == *head);
        !known && !unusable && !self.is_waiting()
    }

    /// What heals that begin now are begun from; `None` while none may begin.
    pub(super) fn basis_of_heals(&self) -> Option<Basis> {
        let basis = Basis { commit: self.view.commit.clone()?, epoch: self.standing.epoch };
        self.stands(Act::Heal(&basis)).is_ok().then_some(basis)
    }

    /// Whether the next poll waits for a cycle that was left for newer commits again and again.
    pub(super) fn polls_wait(&self) -> bool {
        let writes_nothing_yet =
            matches!(self.work, Work::Rendering { .. } | Work::Observing { .. } | Work::Announcing { .. });
        self.standing.overtaken >= OVERTAKEN && writes_nothing_yet && !self.standing.awaits_poll()
    }

    /// Leaves a cycle that no longer stands; where the sync may act, another one follows.
    pub(super) fn abandon_cycle(&mut self, fallen: Fallen, now: Moment) {
        self.work = Work::Idle;
        if fallen == Fallen::Overtaken {
            self.standing.count_overtaken();
        }
        if self.may_act().is_ok() {
            self.schedule.next_cycle = Some(now.mono);
        }
    }

    /// Has what no longer stands come to its end: what waits is left, and what is under way begins
    /// no further object.
    pub(super) fn interrupt_fallen(&mut self, now: Moment) {
        let fallen = match &self.work {
            Work::Healing { cycle } => self.stands(Act::Apply(cycle)).err(),
            Work::Applying { cycle, .. } => self.stands(Act::Apply(cycle)).err().filter(|why| *why != Fallen::Unpolled),
            Work::Pruning { cycle, .. } => self.stands(Act::Prune(cycle)).err(),
            _ => None,
        };
        match (&mut self.work, fallen) {
            (Work::Healing { .. }, Some(fallen)) => self.abandon_cycle(fallen, now),
            (Work::Applying { id, cycle } | Work::Pruning { id, cycle }, Some(_)) if !cycle.interrupted => {
                cycle.interrupted = true;
                let id = *id;
                self.effects.push(Effect::Interrupt { id });
            }
            _ => {}
        }
        let heals =
            self.drift.heal_queue.running.iter().filter(|(_, running)| running.is_heal() && !running.interrupted);
        let fallen: Vec<EffectId> =
            heals.filter(|(_, running)| self.stands(Act::Heal(&running.basis)).is_err()).map(|(id, _)| *id).collect();
        for id in fallen {
            if let Some(running) = self.drift.heal_queue.running.get_mut(&id) {
                running.interrupted = true;
            }
            self.effects.push(Effect::Interrupt { id });
        }
    }

    /// Begins as a start does: git is polled, and until then nothing is known of what it declares.
    /// What is under way comes to its end, and what was decided from it is not carried out.
    pub(super) fn begin_anew(&mut self, why: Anew, now: Moment) {
        self.standing.begin_anew(why);
        self.git.before = self.git.head.take().or(self.git.before.take());
        self.git.prepared = self.git.rendered.take().or(self.git.prepared.take()).filter(|rendered| {
            // What the cluster holds may be another thing by now.
            !self.git.inputs_changed && !rendered.reads.any
        });
        (self.git.returning, self.git.render_error, self.git.poll_error) = (None, None, None);
        self.view = super::view::View::default();
        self.drift.heal_queue.clear();
        self.discard_poll();
        self.git.next_poll = now.mono;
        self.git.poll_backoff.reset();
        self.schedule.backoff.reset();
        self.schedule.next_cycle = None;
        (self.schedule.person_asked, self.schedule.reconcile_requested) = (false, false);
    }

    /// What stands between git and the knowledge of what to enforce, where nothing is enforced.
    pub(super) fn unenforced(&self) -> Vec<Problem> {
        let explained = |problem: Problem| {
            let message = format!("{}: {}", self.standing.anew.nothing_enforced(), problem.message);
            Problem { message, ..problem }
        };
        self.source_problems().into_iter().map(explained).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_is_awaited_ends_with_what_it_shows_rendered_or_unusable() {
        let mut standing = Standing::new();
        standing.polled(true);
        standing.settle(true);
        assert_eq!(standing.awaited, Awaited::Rendering, "the answer is about another commit");
        standing.settle(false);
        assert_eq!(standing.awaited, Awaited::Nothing);
        standing.polled(true);
        assert_eq!(standing.awaited, Awaited::Nothing, "an ordinary poll holds nothing up");
        standing.await_poll();
        standing.settle(false);
        assert!(standing.awaits_poll(), "a rendering of before is no answer");
        assert!(standing.suspected() && standing.awaits_poll());
        assert!(!standing.suspected(), "replicas that disagree do not hold it up for ever");
        standing.polled(false);
        assert_eq!(standing.awaited, Awaited::Nothing);
    }

    #[test]
    fn who_begins_anew_polls_first() {
        let mut standing = Standing::new();
        standing.poll_failed();
        let before = standing.epoch;
        standing.begin_anew(Anew::Resume);
        assert!(standing.awaits_poll() && standing.epoch > before);
    }
}
