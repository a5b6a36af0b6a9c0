//! From git to a rendered commit: what a poll found, and beginning a cycle with it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Reference;
use crate::event::{PollResult, SyncEvent};
use crate::object::ObjectId;
use crate::plan::Problem;

use super::backoff;
use super::basis::Fallen;
use super::cycle::Cycle;
use super::machine::Work;
use super::relative::Frame;
use super::{Effect, EffectError, EffectId, Machine, Moment, RenderedCommit, Unrendered};

/// So many former heads are known as such.
const REMEMBERED: usize = 32;
/// How soon to poll again after a start, or a request, that found a former head, and how long after the first poll that shows
/// one another has to show it.
pub(super) const SECOND_POLL: Duration = Duration::from_secs(5);

/// The poll of git that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Poll {
    id: EffectId,
    /// It began before a poll was asked for, so that its answer does not count.
    stale: bool,
    /// Another one was asked for since it began.
    again: bool,
    /// Its answer may be of before a push that was announced since it began.
    hinted: bool,
}

impl Poll {
    pub fn id(&self) -> EffectId {
        self.id
    }

    pub fn see(&mut self, frame: &Frame) {
        frame.number(&mut self.id);
    }
}

impl Machine {
    /// Whether a poll found another head. One that was left already may come from a replica of the
    /// git host that lags behind, so it is believed when polls say so in a row, and the last one not right after the first:
    /// hints and requests may have it polled twice within the time that a replica lags.
    pub(super) fn classify_head(&mut self, commit: &String, now: Duration) -> bool {
        let since = self.git.returning.take().filter(|(known, _)| known == commit).map(|(_, since)| since);
        if self.git.head.as_ref() == Some(commit) {
            return false;
        }
        let pinned = matches!(self.config.source.reference, Reference::Commit(_));
        let confirmed = since.is_some_and(|since| now.saturating_sub(since) >= SECOND_POLL);
        if confirmed || pinned || !self.git.former.contains(commit) {
            return true;
        }
        self.git.returning = Some((commit.clone(), since.unwrap_or(now)));
        false
    }

    /// The commit that was the head before the start, as the parent records it.
    fn recorded(&self) -> Option<String> {
        let commit = self.report.status.attempted.as_ref().or(self.report.status.synced.as_ref());
        commit.map(|commit| commit.id.clone()).filter(|id| !self.git.former.contains(id))
    }

    /// When the next poll is due, where none is under way.
    pub(super) fn next_poll(&self) -> Option<Duration> {
        (self.git.poll.is_none() && !self.polls_wait()).then_some(self.git.next_poll)
    }

    pub(super) fn poll_when_due(&mut self, now: Moment) {
        if self.next_poll().is_some_and(|due| now.mono >= due) {
            let id = self.number();
            self.git.poll = Some(Poll { id, stale: false, again: false, hinted: false });
            self.git.next_poll = now.mono + backoff::until_next_poll(self.config.interval, now.random);
            self.effects.push(Effect::Poll { id });
        }
    }

    /// Has git polled, and nothing written before the answer to a poll that begins from now on.
    pub(super) fn request_poll(&mut self, now: Moment) {
        match &mut self.git.poll {
            // Of requests that come faster than answers, each second one is answered.
            Some(poll) if self.standing.awaits_poll() && !poll.stale => poll.again = true,
            Some(poll) => poll.stale = true,
            None => {}
        }
        self.standing.await_poll();
        self.git.next_poll = now.mono;
    }

    /// The answer to a poll that is under way does not count.
    pub(super) fn discard_poll(&mut self) {
        if let Some(poll) = &mut self.git.poll {
            poll.stale = true;
        }
    }

    pub(super) fn polled(&mut self, id: EffectId, result: Result<String, EffectError>, watched: bool, now: Moment) {
        let Some(Poll { stale, again, hinted, .. }) = self.git.poll.take_if(|poll| poll.id == id) else { return };
        if hinted {
            self.git.next_poll = now.mono;
        }
        if stale || self.standing.stopping || self.is_suspended() {
            return;
        }
        match result {
            Ok(commit) => {
                self.git.poll_backoff.reset();
                if self.git.poll_error.take().is_some() {
                    self.schedule.next_cycle = Some(now.mono);
                }
                if self.classify_head(&commit, now.mono) {
                    // A newer commit wins over one that waits or fails.
                    self.git.former.retain(|left| *left != commit);
                    let before =
                        self.git.head.replace(commit).or_else(|| self.git.before.take()).or_else(|| self.recorded());
                    self.git.former.extend(before.filter(|before| self.git.head.as_ref() != Some(before)));
                    if self.git.former.len() > REMEMBERED {
                        self.git.former.pop_front();
                    }
                    self.git.render_error = None;
                    self.schedule.backoff.reset();
                    self.schedule.next_cycle = Some(now.mono);
                }
                let suspected = self.git.returning.is_some() && self.standing.suspected();
                if suspected || self.git.head.is_none() {
                    // Nothing is written until it is known which one it is.
                    self.git.next_poll = self.git.next_poll.min(now.mono + SECOND_POLL);
                } else {
                    self.standing.polled(self.is_behind());
                }
            }
            Err(error) => {
                let retry_in = if hinted {
                    Duration::ZERO
                } else {
                    self.git.poll_backoff.next_delay(self.config.interval.max(Duration::from_secs(2)), now.random)
                };
                self.git.next_poll = now.mono + retry_in;
                self.standing.poll_failed();
                self.effects.push(Effect::Emit(SyncEvent::Polled {
                    result: PollResult::Failed,
                    commit: None,
                    error: Some(error.to_string()),
                    retry_in: Some(retry_in),
                }));
                self.git.poll_error = Some(error);
                if self.git.rendered.is_none() && self.leads {
                    self.fail_without_commit(now);
                }
            }
        }
        if again {
            self.standing.await_poll();
            self.git.next_poll = now.mono;
        }
        if watched && self.is_quiet(now) {
            return self.conclude_quietly();
        }
        // Also after a failed poll: the last good commit stays enforced.
        if self.schedule.next_cycle.is_none() {
            self.schedule.next_cycle = Some(now.mono);
        }
    }

    /// Polls now, and once more where a poll is under way. Nothing waits for the answer: no more is known than that there may
    /// be something new.
    pub(super) fn hinted(&mut self, now: Moment) {
        if self.is_suspended() || self.standing.stopping {
            return;
        }
        match &mut self.git.poll {
            Some(poll) => poll.hinted = true,
            None => self.git.next_poll = self.git.next_poll.min(now.mono),
        }
    }

    /// A poll that failed is not worth waiting for.
    pub(super) fn credentials_changed(&mut self, now: Moment) {
        if self.git.poll_error.is_some() {
            self.git.poll_backoff.reset();
            self.git.next_poll = now.mono;
        }
    }

    /// The same commit is rendered again, and enforced as it is meanwhile. One that could not be used may be usable now.
    pub(super) fn render_inputs_changed(&mut self, now: Moment) {
        self.git.inputs_changed = true;
        self.git.prepared = None;
        if self.git.rendered.is_some() || self.git.render_error.is_some() {
            self.schedule.next_cycle = Some(now.mono);
        }
    }

    /// Begins a cycle: with rendering when there is a newer commit, or other inputs, else with the cluster.
    pub(super) fn begin(&mut self, now: Moment) {
        let newer = self.git.head.clone().filter(|head| {
            self.git.inputs_changed || self.git.rendered.as_ref().is_none_or(|known| known.commit.id != *head)
        });
        if self.is_waiting() {
            self.standing.settle(self.is_behind());
            self.report_waiting();
            self.effects.extend(newer.map(|commit| Effect::Declare { commit }));
            if let Some(rendered) = self.git.rendered.clone() {
                self.observe(rendered, now.mono);
            }
            return;
        }
        if let Some(commit) = newer {
            match self.git.prepared.take_if(|prepared| prepared.commit.id == commit) {
                Some(prepared) => self.take_up(prepared, now.mono, now),
                None => self.render(commit, now),
            }
        } else if let Some(rendered) = self.git.rendered.clone() {
            self.observe(rendered, now.mono);
        }
    }

    pub(super) fn render(&mut self, commit: String, now: Moment) {
        let id = self.number();
        let epoch = self.standing.epoch;
        self.work = Work::Rendering { id, commit: commit.clone(), began: now.mono, epoch };
        // Should they change from here on, this is said again.
        self.git.renders_inputs = std::mem::take(&mut self.git.inputs_changed);
        self.effects.push(Effect::Render { id, commit });
    }

    pub(super) fn rendered_commit(
        &mut self,
        id: EffectId,
        result: Result<Arc<RenderedCommit>, Unrendered>,
        now: Moment,
    ) {
        let Work::Rendering { id: expected, commit, began, epoch } = &self.work else { return };
        if *expected != id {
            return;
        }
        let (commit, began, epoch) = (commit.clone(), *began, *epoch);
        self.work = Work::Idle;
        // A commit under another id would count as overtaken for ever, and be rendered without pause.
        let result = result.and_then(|rendered| match &rendered.commit.id {
            id if *id == commit => Ok(rendered),
            id => Err(Unrendered::Failed(format!("another one was rendered in its place: {id}"))),
        });
        if result.is_err() {
            // What has changed is still to be taken up.
            self.git.inputs_changed |= self.git.renders_inputs;
        }
        if epoch != self.standing.epoch {
            // What a commit declares does not change with what became of the sync since.
            self.git.prepared = result.ok().or(self.git.prepared.take());
            return;
        }
        match result {
            Ok(rendered) => self.take_up(rendered, began, now),
            Err(Unrendered::Moved(error)) => self.moved_on(commit, error, began, now),
            Err(Unrendered::Failed(error)) => self.unusable(commit, error, began, now),
        }
    }

    /// Goes on with a commit that is rendered.
    fn take_up(&mut self, rendered: Arc<RenderedCommit>, began: Duration, now: Moment) {
        self.git.render_error = None;
        if let Some(known) = self.git.rendered.clone().filter(|known| known.is_same(&rendered))
            && self.leads
            && !self.is_suspended()
            && !self.is_behind()
        {
            self.standing.settle(false);
            return self.observe(known, began);
        }
        self.git.gone = 0;
        self.git.gone_backoff.reset();
        self.git.rendered = Some(Arc::clone(&rendered));
        self.git.prepared = None;
        self.health.settling.commit = None;
        self.health.settle_cycles = 0;
        self.standing.settle(self.is_behind());
        if self.is_suspended() {
            return;
        }
        if !self.leads {
            return self.observe(rendered, began);
        }
        if self.is_behind() {
            return self.abandon_cycle(Fallen::Overtaken, now);
        }
        self.status_syncing(&rendered);
        self.effects.push(Effect::Emit(SyncEvent::Started { commit: rendered.commit.clone() }));
        self.observe(rendered, began);
    }

    /// The branch was elsewhere already when its commit was to be fetched, so it is polled again: at
    /// once, and when that shows no other one, ever more slowly.
    fn moved_on(&mut self, commit: String, error: String, began: Duration, now: Moment) {
        self.git.gone = self.git.gone.saturating_add(1);
        let first = self.git.gone == 1;
        let pause =
            if first { Duration::ZERO } else { self.git.gone_backoff.next_delay(self.longest_delay(), now.random) };
        self.git.next_poll = self.git.next_poll.min(now.mono + pause);
        if !first {
            self.unusable(commit, error, began, now);
        }
    }

    fn unusable(&mut self, commit: String, error: String, began: Duration, now: Moment) {
        // To be tried again with the next cycle, as a commit that was never rendered is.
        self.git.inputs_changed |= self.git.rendered.as_ref().is_some_and(|known| known.commit.id == commit);
        self.git.render_error = Some((commit, error));
        self.standing.settle(self.is_behind());
        if self.is_suspended() || !self.leads {
            return;
        }
        if self.is_behind() {
            return self.abandon_cycle(Fallen::Overtaken, now);
        }
        if let Some(last_good) = self.git.rendered.clone() {
            self.observe(last_good, began);
        } else {
            self.fail_without_commit(now);
        }
    }

    pub(super) fn observe(&mut self, rendered: Arc<RenderedCommit>, began: Duration) {
        let id = self.number();
        let inventory: Vec<ObjectId> = self.store.inventory.keys().cloned().collect();
        self.effects.push(Effect::Observe { id, rendered: Arc::clone(&rendered), inventory });
        self.work = Work::Observing { id, cycle: Cycle::new(rendered, self.standing.epoch, began) };
    }

    /// What stands between the newest commit and the knowledge of what it declares.
    pub(super) fn source_problems(&self) -> Vec<Problem> {
        let render = self.git.render_error.as_ref().map(|(commit, error)| {
            let enforced = self.git.rendered.as_ref().map(|rendered| rendered.commit.short());
            let enforced = enforced.map(|last| format!("; {last} stays enforced")).unwrap_or_default();
            let short = commit.get(..12).unwrap_or(commit);
            let again = self.git.rendered.as_ref().is_some_and(|rendered| rendered.commit.id == *commit);
            Problem::general(if again {
                format!("cannot render commit {short} anew: {error}; what it rendered to before stays enforced")
            } else {
                format!("cannot use commit {short}: {error}{enforced}")
            })
        });
        self.git.poll_error.iter().map(|error| Problem::general(error.to_string())).chain(render).collect()
    }
}
