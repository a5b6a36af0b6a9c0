//! From the notices of a machine, and the outcomes of applying, to events.

use std::sync::Arc;

use crate::plan::{AppliedObject, Drift, PrunedObject, Verb};
use crate::reconcile::{Notice, Outcome};
use crate::telemetry::{Event, PollResult, SyncResult, Work};

pub(super) fn outcome(outcome: Outcome) -> SyncResult {
    match outcome {
        Outcome::Synced => SyncResult::Synced,
        Outcome::Unhealthy => SyncResult::Unhealthy,
        Outcome::Held => SyncResult::Held,
        Outcome::Failed => SyncResult::Failed,
    }
}

pub(super) fn applied(sync: &Arc<str>, outcome: &AppliedObject, again: bool) -> Event {
    Event::Applied {
        sync: Arc::clone(sync),
        object: outcome.id.clone(),
        uid: outcome.uid.clone(),
        result: outcome.result,
        error: outcome.problem.clone(),
        again,
        drifted: outcome.live.as_ref().is_some_and(|live| live.added().is_some()),
    }
}

pub(super) fn pruned(sync: &Arc<str>, outcome: &PrunedObject) -> Event {
    Event::Pruned {
        sync: Arc::clone(sync),
        object: outcome.id.clone(),
        result: outcome.result,
        detail: outcome.detail.clone(),
    }
}

/// The events that a notice stands for.
pub(super) fn notice(sync: &Arc<str>, notice: Notice) -> Vec<Event> {
    let sync = Arc::clone(sync);
    match notice {
        Notice::Started { commit } => {
            vec![Event::SyncStarted { sync, commit }]
        }
        Notice::PollFailed { error, retry_in } => {
            let (error, retry_in) = (Some(error), Some(retry_in));
            vec![Event::Polled { sync, result: PollResult::Failed, commit: None, error, retry_in }]
        }
        Notice::Planned { plan } => vec![Event::Planned {
            sync,
            create: plan.count(Verb::Create),
            configure: plan.count(Verb::Configure),
            replace: plan.count(Verb::Replace),
            unchanged: plan.count(Verb::Unchanged),
            prune: plan.count(Verb::Prune),
            refuse: plan.count(Verb::Refuse),
        }],
        Notice::NotApplied { note } => vec![Event::NotApplied { sync, note }],
        Notice::Drift { drift, uid, missed } => {
            let Drift { object, at: _, reason, blame, healed } = drift;
            vec![Event::DriftDetected { sync, object, uid, reason, blame, healed, missed }]
        }
        Notice::DriftGone { object } => vec![Event::DriftGone { sync, object }],
        Notice::Contested { contest, uid } => vec![Event::Contested { sync, contest, uid }],
        Notice::Uncontested { object, uid } => vec![Event::Uncontested { sync, object, uid }],
        Notice::ContestedNow { objects } => vec![Event::ContestedNow { sync, objects }],
        Notice::Healed { object, after } => vec![Event::DriftHealed { sync, object, after }],
        Notice::Held(held) => vec![Event::PruneHeld {
            sync,
            commit: held.commit,
            prune: held.prune,
            total: held.total,
            reason: held.reason,
        }],
        Notice::Settled { took } => vec![Event::Worked { sync, work: Work::Settle, took }],
        Notice::Ended { outcome: result, commit, changed, message, problems, lag, retry_in, took, again } => {
            // A single problem is what the message of the end says already.
            let others = problems.into_iter().filter(|problem| problem.to_string() != message);
            let mut events: Vec<Event> =
                others.map(|problem| Event::Problem { sync: Arc::clone(&sync), problem }).collect();
            events.push(Event::Worked { sync: Arc::clone(&sync), work: Work::Total, took });
            events.push(Event::SyncEnded {
                sync,
                result: outcome(result),
                commit: commit.short().to_owned(),
                changed,
                message,
                lag,
                retry_in,
                again,
            });
            events
        }
        Notice::Suspended { by } => vec![Event::Suspended { sync, by }],
        Notice::Resumed => vec![Event::Resumed { sync }],
        Notice::StandingBy { commit } => vec![Event::StandingBy { sync, commit: Some(commit.id) }],
        Notice::Status(status) => vec![Event::Status { status }],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_poll_that_failed_is_reported_with_the_time_of_the_next_one() {
        let failed = Notice::PollFailed { error: "no answer".into(), retry_in: Duration::from_secs(30) };
        let events = notice(&"shop".into(), failed);
        let [Event::Polled { result: PollResult::Failed, commit: None, error: Some(error), retry_in, .. }] = &*events
        else {
            panic!("{events:?}");
        };
        assert_eq!((error.as_str(), *retry_in), ("no answer", Some(Duration::from_secs(30))));
    }
}
