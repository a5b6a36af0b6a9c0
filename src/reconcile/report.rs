//! Ending a cycle: what it came to, when the next one comes, and what is reported to people.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Ended, Outcome, Part, SyncEvent};
use crate::object::Commit;
use crate::plan::{Held, Phase, Problem, Provenance, Resolved, SyncStatus, collect};

use super::cycle::Cycle;
use super::heal_queue::Running;
use super::machine::Work;
use super::{Effect, Machine, Moment, RenderedCommit};

/// How often to see whether objects became healthy: at first, and at most.
const FIRST_SETTLE_DELAY: Duration = Duration::from_millis(500);
const LONGEST_SETTLE_DELAY: Duration = Duration::from_secs(10);
/// Between these lies the longest wait after failures.
const SHORTEST_BOUND: Duration = Duration::from_secs(30);
const LONGEST_BOUND: Duration = Duration::from_mins(5);

impl Machine {
    /// Writes the parent when there is something new to remember, and concludes.
    pub(super) fn end(&mut self, cycle: Cycle, now: Moment) {
        self.store.inventory = cycle.exact(std::mem::take(&mut self.store.inventory));
        self.report_dead_end(&cycle);
        self.forget_used_proofs(&cycle);
        let (status, _) = self.assess(&cycle, now);
        match self.record(&cycle, status, now) {
            Some(id) => self.work = Work::Recording { id, cycle },
            None => self.conclude(&cycle, now),
        }
    }

    /// Reports how the cycle ended and plans the next one.
    pub(super) fn conclude(&mut self, cycle: &Cycle, now: Moment) {
        self.work = Work::Idle;
        self.schedule.last_end = Some(now.mono);
        self.schedule.last_whole = self.schedule.last_end;
        self.health.unhealthy = cycle.unhealthy().into_iter().collect();
        self.drift.rewritten.retain(|id, _| self.view.desired(id).is_some());
        self.note_overdue(cycle, now);
        let before = Arc::clone(&self.report.status);
        let (status, outcome) = self.assess(cycle, now);
        let first_time = before.synced.as_ref().map(|commit| &commit.id) != Some(&cycle.rendered.commit.id);
        let healthy = status.unhealthy.is_empty();
        self.report.status = Arc::new(status);
        self.effects.push(Effect::Emit(SyncEvent::Status(Arc::clone(&self.report.status))));
        let moves_on = self.is_behind();
        let retry_in = if moves_on { None } else { self.schedule(cycle, outcome, healthy, now) };
        if moves_on {
            self.schedule.next_cycle = Some(now.mono);
            // What has not become healthy in time, commits that come without a pause must not hide.
            if outcome != Some(Outcome::Unhealthy) {
                return;
            }
        }
        self.schedule.retry_in = retry_in;
        let Some(outcome) = outcome else { return };
        let synced = outcome == Outcome::Synced;
        if synced && let Some(since) = self.health.settling.commit.take() {
            let took = now.mono.saturating_sub(since);
            self.effects.push(Effect::Emit(SyncEvent::Took { part: Part::Settle, took }));
        }
        let commit = cycle.rendered.commit.clone();
        let lag = now.wall.duration_since(commit.time);
        let again = self.ends_again(outcome, &commit.id);
        let ended = Ended {
            again,
            outcome,
            changed: cycle.changed,
            message: self.report.status.message.clone(),
            lag: Duration::try_from(lag).ok().filter(|_| synced && first_time),
            retry_in,
            commit,
        };
        self.report_end(ended, collect(&cycle.problems), now.mono.saturating_sub(cycle.began));
    }

    /// Reports the end of a cycle: what went wrong, how long it took (zero where there was nothing to do), and what it
    /// came to.
    pub(super) fn report_end(&mut self, ended: Ended, problems: Vec<Problem>, took: Duration) {
        // A single problem is what the message of the end says already.
        let others = problems.into_iter().filter(|problem| problem.to_string() != ended.message);
        self.effects.extend(others.map(|problem| Effect::Emit(SyncEvent::Problem(problem))));
        self.effects.push(Effect::Emit(SyncEvent::Took { part: Part::Total, took }));
        self.effects.push(Effect::Emit(SyncEvent::Ended(ended)));
    }

    /// The longest wait after failures. A cycle that retries what failed also heals what drifted, so
    /// this is not much more than the interval.
    pub(super) fn longest_delay(&self) -> Duration {
        self.config.interval.clamp(SHORTEST_BOUND, LONGEST_BOUND)
    }

    /// Whether the last cycle ended the same way; notes how this one does.
    fn ends_again(&mut self, outcome: Outcome, commit: &str) -> bool {
        let end = (outcome, commit.to_owned());
        self.report.last_outcome.replace(end.clone()) == Some(end)
    }

    /// When to go through the cluster again; the result is the delay of a retry.
    fn schedule(&mut self, cycle: &Cycle, outcome: Option<Outcome>, healthy: bool, now: Moment) -> Option<Duration> {
        match outcome {
            Some(Outcome::Failed) => {
                let delay = self.schedule.backoff.next_delay(self.longest_delay(), now.random);
                self.schedule.next_cycle = Some(now.mono + delay);
                return Some(delay);
            }
            Some(Outcome::Synced | Outcome::Held) if healthy || !self.config.wait => {
                self.schedule.backoff.reset();
                self.health.settle_cycles = 0;
                self.schedule.next_cycle = None;
            }
            _ => {
                self.schedule.backoff.reset();
                let delay =
                    FIRST_SETTLE_DELAY.saturating_mul(1 << self.health.settle_cycles.min(8)).min(LONGEST_SETTLE_DELAY);
                self.health.settle_cycles = if cycle.changed > 0 { 0 } else { self.health.settle_cycles + 1 };
                self.schedule.next_cycle = Some(now.mono + delay);
            }
        }
        None
    }

    /// Where the sync stands after a cycle; no outcome while objects are still waited for.
    fn assess(&mut self, cycle: &Cycle, now: Moment) -> (SyncStatus, Option<Outcome>) {
        let mut status = (*self.report.status).clone();
        let commit = &cycle.rendered.commit;
        let unhealthy = cycle.unhealthy();
        status.objects = self.store.inventory.len();
        let forgotten = self.git.former.len().saturating_sub(SyncStatus::MOST_FORMER);
        status.former = self.git.former.iter().skip(forgotten).cloned().collect();
        status.health.clear();
        for health in cycle.health.values() {
            *status.health.entry(health.status).or_default() += 1;
        }
        let collected = collect(&cycle.problems);
        status.problems = bounded(&cycle.problems);
        status.summary = if collected.len() < cycle.problems.len() { bounded(&collected) } else { Vec::new() };
        status.notes = bounded(&cycle.notes);
        status.unhealthy = unhealthy.iter().take(SyncStatus::MOST).cloned().collect();
        status.held = self.held(cycle);
        if cycle.is_whole() {
            status.provenance = Some(Provenance::of(&self.config, &cycle.rendered.rendering));
        }
        self.list_drift(&mut status, now);
        let outcome = self.outcome(cycle, unhealthy.is_empty(), now.mono);
        if outcome.is_none() || outcome == Some(Outcome::Unhealthy) {
            self.health.settling.commit.get_or_insert(now.mono);
        }
        let objects = cycle.health.len();
        status.phase = match outcome {
            None => Phase::Progressing,
            Some(Outcome::Synced) => Phase::Synced,
            Some(Outcome::Unhealthy) => Phase::Unhealthy,
            Some(Outcome::Held) => Phase::Held,
            Some(Outcome::Failed) => Phase::Failing,
        };
        status.message = match outcome {
            None if cycle.cut_short => format!("commit {} was left before all of it was carried out", commit.short()),
            None if cycle.undecided > 0 => undecided(cycle.undecided),
            None => format!("waiting for {} of {} to become healthy", unhealthy.len(), counted(objects)),
            Some(Outcome::Synced) => format!("{} as in commit {}", counted(objects), commit.short()),
            Some(Outcome::Unhealthy) => {
                let first = unhealthy.first().map(|(id, health)| format!(": {id} {health}")).unwrap_or_default();
                format!("{} of {} did not become healthy in time{first}", unhealthy.len(), counted(objects))
            }
            Some(Outcome::Held) => cycle.plan.held.as_ref().map(|held| held.reason.clone()).unwrap_or_default(),
            Some(Outcome::Failed) => {
                let problems = match &collected[..] {
                    [] if cycle.undecided > 0 => undecided(cycle.undecided),
                    [] => String::new(),
                    [only] => only.to_string(),
                    [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
                };
                problems + &self.way_out(cycle)
            }
        };
        let applied = matches!(outcome, Some(Outcome::Synced));
        // As the parent records it, so that a restart which changes nothing writes nothing.
        let repeated = self.store.stored.as_ref().map(|(_, stored)| stored).filter(|stored| {
            stored.phase == Phase::Synced && stored.synced.as_ref().is_some_and(|synced| synced.id == commit.id)
        });
        if applied {
            status.synced = Some(commit.clone());
            status.synced_at = repeated.map_or(Some(now.wall), |stored| stored.synced_at);
        }
        status.attempted = Some(commit.clone()).filter(|_| !applied);
        if applied && self.is_waiting() && self.git.head.as_ref() != Some(&commit.id) {
            (status.phase, status.message) = (Phase::Pending, self.waiting_message());
        }
        (status, outcome)
    }

    /// What the guard holds. While something keeps it from being computed, it stands as it was.
    pub(super) fn held(&self, cycle: &Cycle) -> Option<Held> {
        let before = self.report.status.held.as_ref().filter(|held| held.commit == cycle.rendered.commit.id);
        let held = cycle.plan.held.as_ref().or(cycle.obstacles.dead_end.as_ref());
        held.or(before.filter(|_| cycle.plan.blocked.is_some())).cloned()
    }

    fn outcome(&mut self, cycle: &Cycle, healthy: bool, now: Duration) -> Option<Outcome> {
        let timeout = self.config.timeout;
        // Of a cluster that could not be read, nothing is known to be well.
        if !(cycle.plan.steps.is_empty() && cycle.plan.blocked.is_some()) {
            self.health.settling.wait_for(cycle.waited(self.config.wait), now);
        }
        if cycle.undecided > 0 || !(cycle.cut_short || cycle.plan.blocked.is_some()) {
            self.health.settling.decide(cycle.undecided > 0, now);
        }
        if !cycle.problems.is_empty() {
            return Some(Outcome::Failed);
        }
        if cycle.cut_short {
            return None;
        }
        if cycle.undecided > 0 {
            return self.health.settling.is_undecided_for(timeout, now).then_some(Outcome::Failed);
        }
        if healthy && cycle.rolling_out > 0 {
            // They have rolled out meanwhile: what waited for that goes in the next cycle.
            return None;
        }
        if (healthy || !self.config.wait) && cycle.namespace_terminating == 0 {
            return Some(if cycle.plan.held.is_some() { Outcome::Held } else { Outcome::Synced });
        }
        self.health.settling.is_overdue(timeout, now).then_some(Outcome::Unhealthy)
    }

    /// The sync fails, and there is no commit whose objects could be kept as they are.
    pub(super) fn fail_without_commit(&mut self, now: Moment) {
        let problems = self.unenforced();
        let delay = self.schedule.backoff.next_delay(self.longest_delay(), now.random);
        self.schedule.next_cycle = Some(now.mono + delay);
        let message = problems.first().map(ToString::to_string).unwrap_or_default();
        let mut status = (*self.report.status).clone();
        status.phase = Phase::Failing;
        status.message.clone_from(&message);
        status.problems = bounded(&problems);
        status.summary.clear();
        let commit = Commit { id: self.git.head.clone().unwrap_or_default(), time: now.wall, subject: String::new() };
        self.set_status(status);
        let again = self.ends_again(Outcome::Failed, &commit.id);
        let ended =
            Ended { again, outcome: Outcome::Failed, commit, changed: 0, message, lag: None, retry_in: Some(delay) };
        self.report_end(ended, problems, Duration::ZERO);
    }

    pub(super) fn status_syncing(&mut self, rendered: &RenderedCommit) {
        let mut status = (*self.report.status).clone();
        status.phase = Phase::Syncing;
        status.message = format!("working on commit {}", rendered.commit.short());
        status.attempted = Some(rendered.commit.clone());
        self.set_status(status);
    }

    pub(super) fn report_plan(&mut self, cycle: &Cycle, resolved: &Resolved) {
        for note in bounded(&resolved.notes).into_iter().filter(|note| !self.report.status.notes.contains(note)) {
            self.effects.push(Effect::Emit(SyncEvent::NotApplied { note }));
        }
        if cycle.plan.changes() {
            self.effects.push(Effect::Emit(SyncEvent::planned(&cycle.plan)));
        }
        if let Some(held) = &cycle.plan.held
            && self.report.status.held.as_ref() != Some(held)
        {
            self.effects.push(Effect::Emit(SyncEvent::PruneHeld(held.clone())));
        }
    }

    fn waiting_message(&self) -> String {
        format!("waiting for the syncs it depends on: {}", self.report.waiting_for.join(", "))
    }

    pub(super) fn report_waiting(&mut self) {
        let message = self.waiting_message();
        if self.report.status.phase == Phase::Pending && self.report.status.message == message {
            return;
        }
        let status = SyncStatus { phase: Phase::Pending, message, ..(*self.report.status).clone() };
        self.set_status(status);
    }

    pub(super) fn report_suspended(&mut self) {
        let already = self.report.suspension_reported && self.report.status.phase == Phase::Suspended;
        // What was begun before may still write.
        let ended = matches!(self.work, Work::Idle) && !self.drift.heal_queue.running.values().any(Running::is_heal);
        if already || !ended {
            return;
        }
        let by = if self.config.suspend { "the configuration" } else { "driftless suspend" };
        let message = format!("suspended by {by}; nothing is applied, healed or pruned");
        let status = SyncStatus { phase: Phase::Suspended, message, ..(*self.report.status).clone() };
        if !std::mem::replace(&mut self.report.suspension_reported, true) {
            self.effects.push(Effect::Emit(SyncEvent::Suspended { by }));
        }
        self.set_status(status);
    }

    pub(super) fn report_resumed(&mut self) {
        let message = self.standing.anew.nothing_enforced().to_owned();
        let status = SyncStatus { phase: Phase::Pending, message, ..(*self.report.status).clone() };
        self.set_status(status);
    }

    pub(super) fn set_status(&mut self, status: SyncStatus) {
        self.report.status = Arc::new(status);
        self.effects.push(Effect::Emit(SyncEvent::Status(Arc::clone(&self.report.status))));
    }
}

/// The API server showed something else than its caches had: they lag, or somebody is at work.
fn undecided(orphans: usize) -> String {
    format!(
        "before its prune, {} proved to be another or changed since it was seen, which is decided anew",
        counted(orphans)
    )
}

/// `1 object`, `2 objects`.
fn counted(objects: usize) -> String {
    format!("{objects} object{}", if objects == 1 { "" } else { "s" })
}

fn bounded(problems: &[Problem]) -> Vec<Problem> {
    problems.iter().take(SyncStatus::MOST).cloned().map(Problem::clipped).collect()
}
