//! Events for tests: one of every variant, and those of a cycle in which nothing happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Event, PollResult, SyncResult, Work};
use crate::object::{Blame, Commit, FieldChange, HealthStatus, ObjectId};
use crate::plan::{ApplyResult, PruneResult};
use crate::plan::{Contest, Held, Phase, Problem, SyncStatus};

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

pub(super) fn polled(sync: &Arc<str>, result: PollResult) -> Event {
    let failed = result == PollResult::Failed;
    Event::Polled {
        sync: sync.clone(),
        result,
        commit: (!failed).then(|| COMMIT.to_owned()),
        error: failed.then(|| "the host does not answer".to_owned()),
        retry_in: failed.then_some(Duration::from_secs(10)),
    }
}

pub(super) fn applied(sync: &Arc<str>, result: ApplyResult) -> Event {
    let error = (result == ApplyResult::Failed).then(|| Problem::general("refused"));
    Event::Applied { sync: sync.clone(), object: web(), uid: Some(uid()), result, error, again: false, drifted: false }
}

/// An object of the sync `shop` that could not be applied.
pub(super) fn refused(object: ObjectId, problem: Problem) -> Event {
    let (uid, result, error) = (None, ApplyResult::Failed, Some(problem));
    Event::Applied { sync: "shop".into(), object, uid, result, error, again: false, drifted: false }
}

pub(super) fn drifted(sync: &Arc<str>, object: ObjectId, manager: Option<&str>) -> Event {
    let change = FieldChange { path: "spec.replicas".into(), ..FieldChange::default() };
    let blame = Blame { manager: manager.map(Into::into), fields: vec![change], ..Blame::default() };
    let reason = format!("{} changed spec.replicas", manager.unwrap_or("somebody"));
    Event::DriftDetected { sync: sync.clone(), object, uid: Some(uid()), reason, blame, healed: true, missed: false }
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

pub(super) fn ended(sync: &Arc<str>, result: SyncResult, changed: usize, lag: Option<Duration>) -> Event {
    let (commit, message) = (COMMIT.to_owned(), "5 objects are healthy".to_owned());
    Event::SyncEnded { sync: sync.clone(), result, commit, changed, message, lag, retry_in: None, again: false }
}

/// At least one event of every variant, and of every result.
pub(super) fn every_event() -> Vec<Event> {
    let sync: &Arc<str> = &"shop".into();
    let mut events = vec![
        Event::ConfigRejected { error: "driftless.yaml:3:5: unknown key".to_owned() },
        Event::ConfigLoaded { syncs: 2, reloaded: false },
        Event::Rendered { sync: sync.clone(), renderer: "helm", succeeded: true },
        Event::RenderWarning { sync: sync.clone(), message: "chart shop is deprecated".to_owned() },
        Event::Note { message: "listening on 127.0.0.1:8080".to_owned() },
        Event::Warning { message: "a daemon may run as well".to_owned() },
        Event::Trouble { message: "the API server cannot be reached".to_owned() },
        Event::SyncStarted { sync: sync.clone(), commit: commit() },
        Event::Planned { sync: sync.clone(), create: 1, configure: 2, replace: 0, unchanged: 3, prune: 4, refuse: 5 },
        drifted(sync, web(), Some("kubectl-edit")),
        Event::DriftHealed { sync: sync.clone(), object: web(), after: Duration::from_millis(3) },
        Event::DriftDetected {
            sync: sync.clone(),
            object: web(),
            uid: None,
            reason: "differs from git".to_owned(),
            blame: Blame::default(),
            healed: true,
            missed: true,
        },
        Event::DriftGone { sync: sync.clone(), object: web() },
        Event::Contested { sync: sync.clone(), contest: contest(), uid: Some(uid()) },
        Event::Uncontested { sync: sync.clone(), object: web(), uid: Some(uid()) },
        Event::ContestedNow { sync: sync.clone(), objects: 1 },
        Event::PruneHeld {
            sync: sync.clone(),
            commit: COMMIT.to_owned(),
            prune: 12,
            total: 40,
            reason: "30 % is more than 20 %".to_owned(),
        },
        Event::Problem { sync: sync.clone(), problem: Problem::general("the path does not exist") },
        Event::EventsDropped { sync: sync.clone(), events: 7, why: "too many at once".to_owned() },
        Event::Suspended { sync: sync.clone(), by: "the configuration" },
        Event::Resumed { sync: sync.clone() },
    ];
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
    events.extend(PruneResult::ALL.map(|result| Event::Pruned {
        sync: sync.clone(),
        object: web(),
        result,
        detail: Some("for a reason".to_owned()),
    }));
    events.extend(Work::ALL.map(|work| Event::Worked { sync: sync.clone(), work, took: Duration::from_millis(20) }));
    events.extend(
        [SyncResult::Synced, SyncResult::Unhealthy, SyncResult::Held, SyncResult::Failed]
            .map(|result| ended(sync, result, 3, Some(Duration::from_secs(20)))),
    );
    let held =
        Held { commit: COMMIT.to_owned(), prune: 12, total: 40, reason: "too many".to_owned(), ..Held::default() };
    let status = SyncStatus { held: Some(held), ..status(sync, Phase::Held) };
    events.push(Event::Status { status: Arc::new(status) });
    events.push(Event::SyncForgotten { sync: "gone".into() });
    events.push(Event::StandingBy { sync: "gone".into(), commit: None });
    events.push(Event::StandingBy { sync: "gone".into(), commit: Some(COMMIT.to_owned()) });
    events.push(Event::Leadership { leads: true, holder: Some("here".into()), why: "leads".to_owned() });
    events
}

/// What is reported when nothing changed anywhere.
pub(super) fn quiet_cycle() -> Vec<Event> {
    let sync: &Arc<str> = &"shop".into();
    vec![
        polled(sync, PollResult::Unchanged),
        Event::Worked { sync: sync.clone(), work: Work::Poll, took: Duration::from_millis(20) },
        Event::Planned { sync: sync.clone(), create: 0, configure: 0, replace: 0, unchanged: 5, prune: 0, refuse: 0 },
        applied(sync, ApplyResult::Unchanged),
        ended(sync, SyncResult::Synced, 0, None),
        Event::Status { status: Arc::new(status(sync, Phase::Synced)) },
    ]
}
