//! Events for tests: one of every variant, and those of a cycle in which nothing happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Ended, Event, Outcome, Part, PollResult, SyncEvent};
use crate::object::{Blame, Commit, FieldChange, HealthStatus, ObjectId};
use crate::plan::{ApplyResult, Contest, Drift, Held, Phase, Problem, PruneResult, SyncStatus};

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(super) fn web() -> ObjectId {
    ObjectId::new("apps", "Deployment", Some("shop"), "web")
}

/// Of [`web`].
pub(super) fn uid() -> Arc<str> {
    "uid-1".into()
}

pub(super) fn commit() -> Commit {
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    Commit { id: COMMIT.to_owned(), time, subject: "More of it".to_owned() }
}

pub(super) fn status(sync: &str, phase: Phase) -> SyncStatus {
    SyncStatus {
        sync: sync.to_owned(),
        phase,
        synced: Some(commit()),
        synced_at: Some(Timestamp::from_second(1_700_000_060).unwrap()),
        objects: 5,
        health: BTreeMap::from([(HealthStatus::Current, 4), (HealthStatus::Failed, 1)]),
        ..SyncStatus::default()
    }
}

/// The event that reports a status.
pub(super) fn stands(status: SyncStatus) -> Event {
    Event::of(&status.sync.as_str().into(), SyncEvent::Status(Arc::new(status)))
}

fn took(sync: &Arc<str>, part: Part) -> Event {
    Event::of(sync, SyncEvent::Took { part, took: Duration::from_millis(20) })
}

pub(super) fn polled(sync: &Arc<str>, result: PollResult) -> Event {
    let failed = result == PollResult::Failed;
    let polled = SyncEvent::Polled {
        result,
        commit: (!failed).then(|| COMMIT.to_owned()),
        error: failed.then(|| "the host does not answer".to_owned()),
        retry_in: failed.then_some(Duration::from_secs(10)),
    };
    Event::of(sync, polled)
}

pub(super) fn applied(sync: &Arc<str>, result: ApplyResult) -> Event {
    let error = (result == ApplyResult::Failed).then(|| Problem::general("refused"));
    let (object, uid) = (web(), Some(uid()));
    Event::of(sync, SyncEvent::Applied { object, uid, result, error, again: false, drifted: false })
}

/// An object of the sync `shop` that could not be applied.
pub(super) fn refused(object: ObjectId, problem: Problem) -> Event {
    let (uid, result, error) = (None, ApplyResult::Failed, Some(problem));
    Event::of(&"shop".into(), SyncEvent::Applied { object, uid, result, error, again: false, drifted: false })
}

/// A drift that was healed.
pub(super) fn drift(object: ObjectId, reason: &str, blame: Blame) -> Drift {
    Drift { object, at: commit().time, reason: reason.to_owned(), blame, healed: true }
}

pub(super) fn drifted(sync: &Arc<str>, object: ObjectId, manager: Option<&str>) -> Event {
    let change = FieldChange { path: "spec.replicas".into(), ..FieldChange::default() };
    let blame = Blame { manager: manager.map(Into::into), fields: vec![change], ..Blame::default() };
    let reason = format!("{} changed spec.replicas", manager.unwrap_or("somebody"));
    let drift = drift(object, &reason, blame);
    Event::of(sync, SyncEvent::DriftDetected { drift, uid: Some(uid()), missed: false })
}

pub(super) fn contest() -> Contest {
    Contest {
        object: web(),
        manager: Some("other-operator".into()),
        managers: Vec::new(),
        fields: vec!["spec.replicas".into()],
        heals: 5,
        until: Timestamp::from_second(1_700_000_060).unwrap(),
    }
}

pub(super) fn ended(sync: &Arc<str>, outcome: Outcome, changed: usize, lag: Option<Duration>) -> Event {
    let (commit, message) = (commit(), "5 objects are healthy".to_owned());
    let ended = Ended { outcome, commit, changed, message, lag, retry_in: None, again: false };
    Event::of(sync, SyncEvent::Ended(ended))
}

/// At least one event of every variant, and of every result.
pub(super) fn every_event() -> Vec<Event> {
    let sync: &Arc<str> = &"shop".into();
    let mut events = vec![
        Event::ConfigRejected { error: "driftless.yaml:3:5: unknown key".to_owned() },
        Event::ConfigLoaded { syncs: 2, reloaded: false },
        Event::Note { message: "listening on 127.0.0.1:8080".to_owned() },
        Event::Warning { message: "a daemon may run as well".to_owned() },
        Event::Trouble { message: "the API server cannot be reached".to_owned() },
        drifted(sync, web(), Some("kubectl-edit")),
    ];
    let held = Held {
        commit: COMMIT.to_owned(),
        prune: 12,
        total: 40,
        reason: "30 % is more than 20 %".to_owned(),
        ..Held::default()
    };
    let of_shop = [
        SyncEvent::Rendered { renderer: "helm", succeeded: true },
        SyncEvent::RenderWarning { message: "chart shop is deprecated".to_owned() },
        SyncEvent::Started { commit: commit() },
        SyncEvent::Planned { create: 1, configure: 2, replace: 0, unchanged: 3, prune: 4, refuse: 5 },
        SyncEvent::NotApplied { note: Problem::general("the field is not known to the server") },
        SyncEvent::DriftHealed { object: web(), after: Duration::from_millis(3) },
        SyncEvent::DriftDetected { drift: drift(web(), "differs from git", Blame::default()), uid: None, missed: true },
        SyncEvent::DriftGone { object: web() },
        SyncEvent::Contested { contest: contest(), uid: Some(uid()) },
        SyncEvent::Uncontested { object: web(), uid: Some(uid()) },
        SyncEvent::ContestedNow { objects: 1 },
        SyncEvent::PruneHeld(held.clone()),
        SyncEvent::Problem(Problem::general("the path does not exist")),
        SyncEvent::EventsDropped { events: 7, why: "too many at once".to_owned() },
        SyncEvent::Suspended { by: "the configuration" },
        SyncEvent::Resumed,
    ];
    events.extend(of_shop.map(|event| Event::of(sync, event)));
    events.extend([PollResult::Unchanged, PollResult::Fetched, PollResult::Failed].map(|result| polled(sync, result)));
    events.extend(
        [
            ApplyResult::Created,
            ApplyResult::Configured,
            ApplyResult::Unchanged,
            ApplyResult::Replaced,
            ApplyResult::Failed,
            ApplyResult::Skipped,
        ]
        .map(|result| applied(sync, result)),
    );
    events.extend(PruneResult::ALL.map(|result| {
        Event::of(sync, SyncEvent::Pruned { object: web(), result, detail: Some("for a reason".to_owned()) })
    }));
    events.extend(Part::ALL.map(|part| took(sync, part)));
    events.extend(
        [Outcome::Synced, Outcome::Unhealthy, Outcome::Held, Outcome::Failed]
            .map(|outcome| ended(sync, outcome, 3, Some(Duration::from_secs(20)))),
    );
    events.push(stands(SyncStatus { held: Some(held), ..status("shop", Phase::Held) }));
    let of_gone = [
        SyncEvent::Forgotten,
        SyncEvent::StandingBy { commit: None },
        SyncEvent::StandingBy { commit: Some(commit()) },
    ];
    events.extend(of_gone.map(|event| Event::of(&"gone".into(), event)));
    events.push(Event::Leadership { leads: true, holder: Some("here".into()), why: "leads".to_owned() });
    events
}

/// What is reported when nothing changed anywhere.
pub(super) fn quiet_cycle() -> Vec<Event> {
    let sync: &Arc<str> = &"shop".into();
    let planned = SyncEvent::Planned { create: 0, configure: 0, replace: 0, unchanged: 5, prune: 0, refuse: 0 };
    vec![
        polled(sync, PollResult::Unchanged),
        took(sync, Part::Poll),
        Event::of(sync, planned),
        applied(sync, ApplyResult::Unchanged),
        ended(sync, Outcome::Synced, 0, None),
        stands(status("shop", Phase::Synced)),
    ]
}
