//! Which errors stand: an error is logged when it appears, when it changes and when it ends, and only counted
//! meanwhile. What is tried again every few seconds would fill a log with the same line otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::{Event, PollResult, SyncResult};
use crate::plan::{ApplyResult, Problem, PruneResult};

/// Errors of one sync that are known as standing. That there are more is logged once; `status` lists no more either.
const MOST: usize = 1_000;

/// What of an event is to be logged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
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
    /// Those that were heard since the last cycle ended.
    heard: BTreeSet<u64>,
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
    fn hear(&mut self, sync: &str, what: impl Hash) -> Heard {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        if self.known.len() >= MOST && !self.known.contains(&hash) {
            let first = !std::mem::replace(&mut self.full, true);
            let line = || format!("{sync}: more than {MOST} different errors; further ones are counted and not logged");
            return Heard { repeated: true, line: first.then(line) };
        }
        self.heard.insert(hash);
        Heard { repeated: !self.known.insert(hash), line: None }
    }
}

impl Repeats {
    /// Takes note of an event.
    pub(super) fn hear(&self, event: &Event) -> Heard {
        let mut syncs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let syncs = &mut *syncs;
        let repeated = |repeated| Heard { repeated, line: None };
        let about = |problem: &Problem| problem.to_string();
        match event {
            Event::Polled { sync, result: PollResult::Failed, error, .. } => {
                let standing = of(syncs, sync);
                standing.polls += 1;
                let same = standing.polls > 1 && standing.poll_error == *error;
                standing.poll_error.clone_from(error);
                repeated(same)
            }
            Event::Polled { sync, .. } => {
                let polls = std::mem::take(&mut of(syncs, sync).polls);
                let ended = || format!("{sync}: the git repository can be read again, after {}", attempts(polls));
                Heard { repeated: false, line: (polls > 0).then(ended) }
            }
            Event::Applied { sync, object, result: ApplyResult::Failed, error: Some(problem), .. } => {
                let problem = Problem { object: Some(object.clone()), ..problem.clone() };
                of(syncs, sync).hear(sync, about(&problem))
            }
            Event::Pruned { sync, object, result: PruneResult::Failed, detail } => {
                of(syncs, sync).hear(sync, ("prune", object, detail))
            }
            Event::Problem { sync, problem } => of(syncs, sync).hear(sync, about(problem)),
            Event::SyncEnded { sync, result, message, .. } => {
                let standing = of(syncs, sync);
                let failed = *result == SyncResult::Failed;
                let again = failed && standing.failed > 0 && standing.cycle_error.as_ref() == Some(message);
                standing.cycle_error = failed.then(|| message.clone());
                let heard = std::mem::take(&mut standing.heard);
                standing.known.retain(|hash| heard.contains(hash));
                standing.full &= standing.known.len() >= MOST;
                if failed {
                    standing.failed += 1;
                    return repeated(again);
                }
                let before = std::mem::take(&mut standing.failed);
                let ended = || format!("{sync}: fails no longer, after {}", attempts(before));
                Heard { repeated: false, line: (before > 0).then(ended) }
            }
            Event::SyncForgotten { sync } => {
                syncs.remove(sync);
                Heard::default()
            }
            _ => Heard::default(),
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
    use crate::observe::sample;

    fn problem(message: &str) -> Problem {
        Problem { object: Some(ObjectId::new("", "ConfigMap", Some("shop"), "a")), ..Problem::general(message) }
    }

    fn applied(message: &str) -> Event {
        sample::refused(ObjectId::new("", "ConfigMap", Some("shop"), "a"), problem(message))
    }

    fn ended(result: SyncResult, message: &str) -> Event {
        Event::SyncEnded {
            sync: "shop".into(),
            result,
            commit: "c".into(),
            changed: 0,
            message: message.into(),
            lag: None,
            retry_in: None,
            again: false,
        }
    }

    fn poll(result: PollResult) -> Event {
        let error = (result == PollResult::Failed).then(|| "refused".into());
        Event::Polled { sync: "shop".into(), result, commit: None, error, retry_in: None }
    }

    #[test]
    fn an_error_is_news_when_it_appears_and_when_it_changes_and_its_end_is_said_once() {
        let repeats = Repeats::default();
        let news = |event: &Event| !repeats.hear(event).repeated;
        let again = Event::Problem { sync: "shop".into(), problem: problem("invalid") };
        assert!(news(&applied("invalid")) && !news(&again), "the same at its attempt and at the end of the cycle");
        assert!(news(&ended(SyncResult::Failed, "one")));
        for _ in 0..3 {
            assert!(!news(&applied("invalid")) && !news(&again) && !news(&ended(SyncResult::Failed, "one")));
        }
        assert!(news(&applied("forbidden")) && news(&ended(SyncResult::Failed, "two")));
        assert!(news(&applied("invalid")), "it had ended meanwhile");
        let end = repeats.hear(&ended(SyncResult::Synced, ""));
        assert_eq!(end.line.as_deref(), Some("shop: fails no longer, after 5 attempts that failed"));
        assert_eq!(repeats.hear(&ended(SyncResult::Synced, "")), Heard::default());
    }

    #[test]
    fn a_git_server_that_cannot_be_read_is_told_once_and_its_return_too() {
        let repeats = Repeats::default();
        assert!(!repeats.hear(&poll(PollResult::Failed)).repeated);
        // Cycles go on meanwhile.
        repeats.hear(&ended(SyncResult::Synced, ""));
        assert!(repeats.hear(&poll(PollResult::Failed)).repeated && repeats.hear(&poll(PollResult::Failed)).repeated);
        let back = repeats.hear(&poll(PollResult::Unchanged));
        assert_eq!(
            back.line.as_deref(),
            Some("shop: the git repository can be read again, after 3 attempts that failed")
        );
        assert_eq!(repeats.hear(&poll(PollResult::Unchanged)), Heard::default());
    }

    #[test]
    fn no_more_than_so_many_are_remembered_of_a_sync() {
        let repeats = Repeats::default();
        let lines: Vec<_> =
            (0..2 * MOST).filter_map(|number| repeats.hear(&applied(&number.to_string())).line).collect();
        assert_eq!(lines, ["shop: more than 1000 different errors; further ones are counted and not logged"]);
        assert_eq!(repeats.0.lock().unwrap()["shop"].known.len(), MOST);
        repeats.hear(&Event::SyncForgotten { sync: "shop".into() });
        assert!(repeats.0.lock().unwrap().is_empty());
    }
}
