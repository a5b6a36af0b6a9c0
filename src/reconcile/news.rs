//! From git to a rendered commit: what a look found, and beginning a cycle with it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Reference;
use crate::object::ObjectId;
use crate::plan::Problem;

use super::basis::Fallen;
use super::cycle::Cycle;
use super::machine::Work;
use super::{Effect, EffectId, Machine, Moment, Notice, RenderedCommit, Unrendered};

/// So many former heads are known as such.
const REMEMBERED: usize = 32;
/// How soon to look again after a start, or a request, that found a former head.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// The poll of git that is under way.
#[derive(Debug)]
pub(super) struct Look {
    id: EffectId,
    /// It began before a poll was asked for, so that its answer does not count.
    stale: bool,
    /// Another one was asked for since it began.
    again: bool,
}

impl Machine {
    /// Whether a look found another head. One that was left already may come from a replica of the
    /// git host that lags behind, so it is believed when two looks in a row say so.
    pub(super) fn is_news(&mut self, commit: &String) -> bool {
        let again = self.returning.take().as_ref() == Some(commit);
        if self.head.as_ref() == Some(commit) {
            return false;
        }
        let pinned = matches!(self.config.source.reference, Reference::Commit(_));
        if again || pinned || !self.left.contains(commit) {
            return true;
        }
        self.returning = Some(commit.clone());
        false
    }

    /// The commit that was the head before the start, as the parent tells it.
    fn recorded(&self) -> Option<String> {
        let commit = self.status.attempted.as_ref().or(self.status.synced.as_ref());
        commit.map(|commit| commit.id.clone()).filter(|id| !self.left.contains(id))
    }

    /// When the next poll is due, where none is under way.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (self.look.is_none() && !self.polls_wait()).then_some(self.next_look)
    }

    pub(super) fn look_when_due(&mut self, now: Moment) {
        if self.next_look().is_some_and(|due| now.mono >= due) {
            let id = self.number();
            self.look = Some(Look { id, stale: false, again: false });
            self.next_look = now.mono + self.look_backoff.until_next_poll(self.config.interval);
            self.effects.push(Effect::Look { id });
        }
    }

    /// Has git polled, and nothing written before the answer to a poll that begins from now on.
    pub(super) fn request_look(&mut self, now: Moment) {
        match &mut self.look {
            // Of requests that come faster than answers, each second one is answered.
            Some(look) if self.standing.awaits_poll() && !look.stale => look.again = true,
            Some(look) => look.stale = true,
            None => {}
        }
        self.standing.await_poll();
        self.next_look = now.mono;
    }

    /// The answer to a poll that is under way does not count.
    pub(super) fn discard_look(&mut self) {
        if let Some(look) = &mut self.look {
            look.stale = true;
        }
    }

    pub(super) fn looked(&mut self, id: EffectId, result: Result<String, String>, watched: bool, now: Moment) {
        let Some(Look { stale, again, .. }) = self.look.take_if(|look| look.id == id) else { return };
        if stale || self.standing.stopping || self.is_suspended() {
            return;
        }
        match result {
            Ok(commit) => {
                self.look_backoff.reset();
                if self.look_error.take().is_some() {
                    self.next_cycle = Some(now.mono);
                }
                if self.is_news(&commit) {
                    // A newer commit wins over one that waits or fails.
                    self.left.retain(|left| *left != commit);
                    let before = self.head.replace(commit).or_else(|| self.before.take()).or_else(|| self.recorded());
                    self.left.extend(before.filter(|before| self.head.as_ref() != Some(before)));
                    if self.left.len() > REMEMBERED {
                        self.left.pop_front();
                    }
                    self.render_error = None;
                    self.backoff.reset();
                    self.next_cycle = Some(now.mono);
                }
                let doubted = self.returning.is_some() && self.standing.doubted();
                if doubted || self.head.is_none() {
                    // Nothing is written until it is known which one it is.
                    self.next_look = self.next_look.min(now.mono + SECOND_LOOK);
                } else {
                    self.standing.polled(self.is_behind());
                }
            }
            Err(error) => {
                let retry_in = self.look_backoff.next_delay(self.config.interval.max(Duration::from_secs(2)));
                self.next_look = now.mono + retry_in;
                self.standing.poll_failed();
                self.effects.push(Effect::Tell(Notice::LookFailed { error: error.clone(), retry_in }));
                self.look_error = Some(error);
                if self.rendered.is_none() && self.leads {
                    self.fail_without_commit(now);
                }
            }
        }
        if again {
            self.standing.await_poll();
            self.next_look = now.mono;
        }
        if watched && self.is_quiet(now) {
            return self.conclude_quietly();
        }
        // Also after a failed look: the last good commit stays enforced.
        if self.next_cycle.is_none() {
            self.next_cycle = Some(now.mono);
        }
    }

    /// Begins a cycle: with rendering when there is a newer commit, else with the cluster.
    pub(super) fn begin(&mut self, now: Moment) {
        let newer =
            self.head.clone().filter(|head| self.rendered.as_ref().is_none_or(|known| known.commit.id != *head));
        if self.is_waiting() {
            self.standing.settle(self.is_behind());
            self.tell_waiting(now);
            self.effects.extend(newer.map(|commit| Effect::Declare { commit }));
            if let Some(rendered) = self.rendered.clone() {
                self.observe(rendered, now.mono);
            }
            return;
        }
        if let Some(commit) = newer {
            match self.prepared.take_if(|prepared| prepared.commit.id == commit) {
                Some(prepared) => self.take_up(prepared, now.mono, now),
                None => self.render(commit, now),
            }
        } else if let Some(rendered) = self.rendered.clone() {
            self.observe(rendered, now.mono);
        }
    }

    pub(super) fn render(&mut self, commit: String, now: Moment) {
        let id = self.number();
        let epoch = self.standing.epoch;
        self.work = Work::Rendering { id, commit: commit.clone(), began: now.mono, epoch };
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
        if epoch != self.standing.epoch {
            // What a commit declares does not change with what became of the sync since.
            self.prepared = result.ok().or(self.prepared.take());
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
        self.render_error = None;
        self.gone = 0;
        self.gone_backoff.reset();
        self.rendered = Some(Arc::clone(&rendered));
        self.prepared = None;
        self.settling.commit = None;
        self.settle_polls = 0;
        self.standing.settle(self.is_behind());
        if self.is_suspended() {
            return;
        }
        if !self.leads {
            return self.observe(rendered, began);
        }
        if self.is_behind() {
            return self.replan(Fallen::Overtaken, now);
        }
        self.status_syncing(&rendered);
        self.effects.push(Effect::Tell(Notice::Started { commit: rendered.commit.clone() }));
        self.observe(rendered, began);
    }

    /// The branch was elsewhere already when its commit was to be fetched, so it is polled again: at
    /// once, and when that shows no other one, ever more slowly.
    fn moved_on(&mut self, commit: String, error: String, began: Duration, now: Moment) {
        self.gone = self.gone.saturating_add(1);
        let first = self.gone == 1;
        let pause = if first { Duration::ZERO } else { self.gone_backoff.next_delay(self.longest_delay()) };
        self.next_look = self.next_look.min(now.mono + pause);
        if !first {
            self.unusable(commit, error, began, now);
        }
    }

    fn unusable(&mut self, commit: String, error: String, began: Duration, now: Moment) {
        self.render_error = Some((commit, error));
        self.standing.settle(self.is_behind());
        if self.is_suspended() || !self.leads {
            return;
        }
        if self.is_behind() {
            return self.replan(Fallen::Overtaken, now);
        }
        if let Some(last_good) = self.rendered.clone() {
            self.observe(last_good, began);
        } else {
            self.fail_without_commit(now);
        }
    }

    pub(super) fn observe(&mut self, rendered: Arc<RenderedCommit>, began: Duration) {
        let id = self.number();
        let inventory: Vec<ObjectId> = self.inventory.keys().cloned().collect();
        self.effects.push(Effect::Observe { id, rendered: Arc::clone(&rendered), inventory });
        self.work = Work::Observing { id, cycle: Cycle::new(rendered, self.standing.epoch, began) };
    }

    /// What stands between the newest commit and the knowledge of what it declares.
    pub(super) fn source_problems(&self) -> Vec<Problem> {
        let render = self.render_error.as_ref().map(|(commit, error)| {
            let enforced = self.rendered.as_ref().map(|rendered| rendered.commit.short());
            let enforced = enforced.map(|last| format!("; {last} stays enforced")).unwrap_or_default();
            Problem::general(format!("cannot use commit {}: {error}{enforced}", commit.get(..12).unwrap_or(commit)))
        });
        self.look_error.iter().map(Problem::general).chain(render).collect()
    }
}
