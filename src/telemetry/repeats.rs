//! Which errors stand: an error is logged when it appears, when it changes and when it ends, and only counted
//! meanwhile. What is tried again every few seconds would fill a log with the same line otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Ended, Event, Outcome, PollResult, SyncEvent};
use crate::plan::{ApplyResult, Problem, PruneResult};

/// Errors of one sync that are known as standing. That there are more is logged once; `status` lists no more either.
const MOST: usize = 1_000;

/// What of an event is to be logged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Logging {
    /// It is an error that stands already.
    pub repeated: bool,
    /// A line of its own: what has ended with it, or is not logged from now on.
    pub line: Option<String>,
}

/// The errors that stand, of all syncs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<BTreeMap<Arc<str>, Standing>>>);

#[derive(Debug, Default)]
struct Standing {
    /// Hashes of what was logged.
    known: BTreeSet<u64>,
    /// Those that occurred since the last cycle ended.
    recent: BTreeSet<u64>,
    /// It was said that further ones are not logged.
    full: bool,
    /// Cycles that failed, one after the other, and why the last one did.
    failed: u64,
    cycle_error: Option<String>,
    /// Polls of git that failed, one after the other, and why the last one did.
    polls: u64,
    poll_error: Option<String>,
}

impl Standing {
    /// An error, which stands from now on.
    fn stand(&mut self, sync: &str, what: impl Hash) -> Logging {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        if self.known.len() >= MOST && !self.known.contains(&hash) {
            let first = !std::mem::replace(&mut self.full, true);
            let line = || format!("{sync}: more than {MOST} different errors; further ones are counted and not logged");
            return Logging { repeated: true, line: first.then(line) };
        }
        self.recent.insert(hash);
        Logging { repeated: !self.known.insert(hash), line: None }
    }
}

impl Repeats {
    /// Takes note of an event.
    pub(super) fn note(&self, event: &Event) -> Logging {
        let Event::Sync(sync, event) = event else { return Logging::default() };
        let mut syncs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let syncs = &mut *syncs;
        let repeated = |repeated| Logging { repeated, line: None };
        let about = |problem: &Problem| problem.to_string();
        match event {
            SyncEvent::Polled { result: PollResult::Failed, error, .. } => {
                let standing = of(syncs, sync);
                standing.polls += 1;
                let same = standing.polls > 1 && standing.poll_error == *error;
                standing.poll_error.clone_from(error);
                repeated(same)
            }
            SyncEvent::Polled { .. } => {
                let polls = std::mem::take(&mut of(syncs, sync).polls);
                let ended = || format!("{sync}: the git repository can be read again, after {}", attempts(polls));
                Logging { repeated: false, line: (polls > 0).then(ended) }
            }
            SyncEvent::Applied { object, result: ApplyResult::Failed, error: Some(problem), .. } => {
                let problem = Problem { object: Some(object.clone()), ..problem.clone() };
                of(syncs, sync).stand(sync, about(&problem))
            }
            SyncEvent::Pruned { object, result: PruneResult::Failed, detail } => {
                of(syncs, sync).stand(sync, ("prune", object, detail))
            }
            SyncEvent::Problem(problem) => of(syncs, sync).stand(sync, about(problem)),
            SyncEvent::Ended(Ended { outcome, message, .. }) => {
                let standing = of(syncs, sync);
                let failed = *outcome == Outcome::Failed;
                let again = failed && standing.failed > 0 && standing.cycle_error.as_ref() == Some(message);
                standing.cycle_error = failed.then(|| message.clone());
                let recent = std::mem::take(&mut standing.recent);
                standing.known.retain(|hash| recent.contains(hash));
                standing.full &= standing.known.len() >= MOST;
                if failed {
                    standing.failed += 1;
                    return repeated(again);
                }
                let before = std::mem::take(&mut standing.failed);
                let ended = || format!("{sync}: fails no longer, after {}", attempts(before));
                Logging { repeated: false, line: (before > 0).then(ended) }
            }
            SyncEvent::Forgotten => {
                syncs.remove(sync);
                Logging::default()
            }
            _ => Logging::default(),
        }
    }
}

fn of<'a>(syncs: &'a mut BTreeMap<Arc<str>, Standing>, sync: &Arc<str>) -> &'a mut Standing {
    syncs.entry(Arc::clone(sync)).or_default()
}

fn attempts(number: u64) -> String {
    format!("{number} attempt{} that failed", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use crate::telemetry::sample;

    fn problem(message: &str) -> Problem {
        Problem { object: Some(ObjectId::new("", "ConfigMap", Some("shop"), "a")), ..Problem::general(message) }
    }

    fn applied(message: &str) -> Event {
        sample::refused(ObjectId::new("", "ConfigMap", Some("shop"), "a"), problem(message))
    }

    fn of_shop(event: SyncEvent) -> Event {
        Event::of(&"shop".into(), event)
    }

    fn ended(outcome: Outcome, message: &str) -> Event {
        let (commit, message) = (sample::commit(), message.to_owned());
        let ended = Ended { outcome, commit, changed: 0, message, lag: None, retry_in: None, again: false };
        of_shop(SyncEvent::Ended(ended))
    }

    fn poll(result: PollResult) -> Event {
        let error = (result == PollResult::Failed).then(|| "refused".into());
        of_shop(SyncEvent::Polled { result, commit: None, error, retry_in: None })
    }

    #[test]
    fn an_error_is_logged_when_it_appears_and_when_it_changes_and_its_end_is_said_once() {
        let repeats = Repeats::default();
        let logged = |event: &Event| !repeats.note(event).repeated;
        let again = of_shop(SyncEvent::Problem(problem("invalid")));
        assert!(logged(&applied("invalid")) && !logged(&again), "the same at its attempt and at the end of the cycle");
        assert!(logged(&ended(Outcome::Failed, "one")));
        for _ in 0..3 {
            assert!(!logged(&applied("invalid")) && !logged(&again) && !logged(&ended(Outcome::Failed, "one")));
        }
        assert!(logged(&applied("forbidden")) && logged(&ended(Outcome::Failed, "two")));
        assert!(logged(&applied("invalid")), "it had ended meanwhile");
        let end = repeats.note(&ended(Outcome::Synced, ""));
        assert_eq!(end.line.as_deref(), Some("shop: fails no longer, after 5 attempts that failed"));
        assert_eq!(repeats.note(&ended(Outcome::Synced, "")), Logging::default());
    }

    #[test]
    fn a_git_server_that_cannot_be_read_is_reported_once_and_its_return_too() {
        let repeats = Repeats::default();
        assert!(!repeats.note(&poll(PollResult::Failed)).repeated);
        // Cycles go on meanwhile.
        repeats.note(&ended(Outcome::Synced, ""));
        assert!(repeats.note(&poll(PollResult::Failed)).repeated && repeats.note(&poll(PollResult::Failed)).repeated);
        let back = repeats.note(&poll(PollResult::Unchanged));
        assert_eq!(
            back.line.as_deref(),
            Some("shop: the git repository can be read again, after 3 attempts that failed")
        );
        assert_eq!(repeats.note(&poll(PollResult::Unchanged)), Logging::default());
    }

    #[test]
    fn no_more_than_so_many_are_remembered_of_a_sync() {
        let repeats = Repeats::default();
        let lines: Vec<_> =
            (0..2 * MOST).filter_map(|number| repeats.note(&applied(&number.to_string())).line).collect();
        assert_eq!(lines, ["shop: more than 1000 different errors; further ones are counted and not logged"]);
        assert_eq!(repeats.0.lock().unwrap()["shop"].known.len(), MOST);
        repeats.note(&of_shop(SyncEvent::Forgotten));
        assert!(repeats.0.lock().unwrap().is_empty());
    }
}
