//! From git to a rendered commit: what a look found, and beginning a cycle with it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Reference;
use crate::object::ObjectId;
use crate::plan::Problem;

use super::cycle::Cycle;
use super::machine::Work;
use super::{Effect, EffectId, Machine, Moment, Notice, RenderedCommit};

/// So many former heads are known as such.
const REMEMBERED: usize = 32;
/// How soon to look again after a start that found a former head.
const SECOND_LOOK: Duration = Duration::from_secs(5);

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

    pub(super) fn looked(&mut self, id: EffectId, result: Result<String, String>, watched: bool, now: Moment) {
        if self.look != Some(id) {
            return;
        }
        self.look = None;
        match result {
            Ok(commit) => {
                self.look_backoff.reset();
                if self.look_error.take().is_some() {
                    self.next_cycle = Some(now.mono);
                }
                if self.is_news(&commit) {
                    // A newer commit wins over one that waits or fails.
                    self.left.retain(|left| *left != commit);
                    let before = self.head.replace(commit).or_else(|| self.recorded());
                    self.left.extend(before.filter(|before| self.head.as_ref() != Some(before)));
                    if self.left.len() > REMEMBERED {
                        self.left.pop_front();
                    }
                    self.render_error = None;
                    self.backoff.reset();
                    self.next_cycle = Some(now.mono);
                } else if self.head.is_none() {
                    // After a start, with nothing to enforce until it is known which one it is.
                    self.next_look = self.next_look.min(now.mono + SECOND_LOOK);
                }
            }
            Err(error) => {
                let retry_in = self.look_backoff.next_delay(self.config.interval.max(Duration::from_secs(2)));
                self.next_look = now.mono + retry_in;
                self.effects.push(Effect::Tell(Notice::LookFailed { error: error.clone(), retry_in }));
                self.look_error = Some(error);
                if self.rendered.is_none() && self.leads {
                    self.fail_without_commit(now);
                }
            }
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
            self.tell_waiting(now);
            self.effects.extend(newer.map(|commit| Effect::Declare { commit }));
            if let Some(rendered) = self.rendered.clone() {
                self.observe(rendered, now.mono);
            }
            return;
        }
        if let Some(commit) = newer {
            let id = self.number();
            self.work = Work::Rendering { id, commit: commit.clone(), began: now.mono };
            self.effects.push(Effect::Render { id, commit });
        } else if let Some(rendered) = self.rendered.clone() {
            self.observe(rendered, now.mono);
        }
    }

    pub(super) fn rendered_commit(&mut self, id: EffectId, result: Result<Arc<RenderedCommit>, String>, now: Moment) {
        let Work::Rendering { id: expected, commit, began } = &self.work else { return };
        if *expected != id {
            return;
        }
        let (commit, began) = (commit.clone(), *began);
        // A commit under another id would count as overtaken for ever, and be rendered without pause.
        let result = result.and_then(|rendered| match &rendered.commit.id {
            id if *id == commit => Ok(rendered),
            id => Err(format!("another one was rendered in its place: {id}")),
        });
        match result {
            Ok(rendered) => {
                self.render_error = None;
                self.rendered = Some(Arc::clone(&rendered));
                self.settling = None;
                self.settle_polls = 0;
                if self.is_suspended() {
                    self.work = Work::Idle;
                    return;
                }
                if !self.leads {
                    return self.observe(rendered, began);
                }
                self.status_syncing(&rendered);
                self.effects.push(Effect::Tell(Notice::Started { commit: rendered.commit.clone() }));
                self.observe(rendered, began);
            }
            Err(error) => {
                self.render_error = Some((commit, error));
                if self.is_suspended() || !self.leads {
                    self.work = Work::Idle;
                } else if let Some(last_good) = self.rendered.clone() {
                    self.observe(last_good, began);
                } else {
                    self.work = Work::Idle;
                    self.fail_without_commit(now);
                }
            }
        }
    }

    pub(super) fn observe(&mut self, rendered: Arc<RenderedCommit>, began: Duration) {
        let id = self.number();
        let inventory: Vec<ObjectId> = self.inventory.keys().cloned().collect();
        self.effects.push(Effect::Observe { id, rendered: Arc::clone(&rendered), inventory });
        self.work = Work::Observing { id, cycle: Cycle::new(rendered, began) };
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
