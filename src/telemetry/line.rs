//! What the log says of each event: how loud, in which words, with which fields. Pure.

use std::time::Duration;

use tracing::Level;

use crate::event::{Ended, Event, Outcome, PollResult, SyncEvent};
use crate::object::{Commit, ObjectId};
use crate::plan::{ApplyResult, Contest, Held, Problem, PruneResult};

/// One record of the log. The message says all that a person wants; the fields are for machines.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) message: String,
    pub(super) sync: Option<&'a str>,
    pub(super) object: Option<String>,
    pub(super) commit: Option<&'a str>,
    pub(super) result: Option<&'static str>,
    pub(super) manager: Option<&'a str>,
    pub(super) error: Option<String>,
    pub(super) changed: Option<usize>,
    pub(super) seconds: Option<f64>,
    pub(super) retry_seconds: Option<f64>,
}

/// How loud an event is; `None`: it is not logged. A quiet cycle stays at debug.
pub(super) fn level(event: &Event) -> Option<Level> {
    Some(match event {
        Event::Sync(_, event) => return level_of_sync(event),
        Event::Leadership { .. } | Event::ConfigLoaded { .. } | Event::Note { .. } => Level::INFO,
        Event::Warning { .. } => Level::WARN,
        Event::ConfigRejected { .. } | Event::Trouble { .. } => Level::ERROR,
    })
}

fn level_of_sync(event: &SyncEvent) -> Option<Level> {
    Some(match event {
        SyncEvent::Status(_) | SyncEvent::ContestedNow { .. } => return None,
        SyncEvent::Polled { result: PollResult::Unchanged | PollResult::Fetched, .. }
        // The end of the cycle says of all that are skipped, in few words, why.
        | SyncEvent::Applied { result: ApplyResult::Unchanged | ApplyResult::Skipped, .. }
        | SyncEvent::Applied { again: true, .. }
        | SyncEvent::Planned { create: 0, configure: 0, replace: 0, prune: 0, refuse: 0, .. }
        | SyncEvent::Ended(
            Ended { outcome: Outcome::Synced, changed: 0, lag: None, .. }
            | Ended { outcome: Outcome::Unhealthy | Outcome::Held, again: true, .. },
        )
        | SyncEvent::StandingBy { commit: None }
        | SyncEvent::Rendered { .. }
        | SyncEvent::Took { .. } => Level::DEBUG,
        SyncEvent::Started { .. }
        | SyncEvent::Planned { .. }
        | SyncEvent::Applied { result: ApplyResult::Created | ApplyResult::Configured | ApplyResult::Replaced, .. }
        | SyncEvent::DriftHealed { .. }
        | SyncEvent::DriftGone { .. }
        | SyncEvent::Uncontested { .. }
        | SyncEvent::Pruned {
            result: PruneResult::Deleted | PruneResult::Detached | PruneResult::Kept | PruneResult::Waiting,
            ..
        }
        | SyncEvent::Ended(Ended { outcome: Outcome::Synced, .. })
        | SyncEvent::Suspended { .. }
        | SyncEvent::Resumed
        | SyncEvent::StandingBy { .. }
        | SyncEvent::Forgotten => Level::INFO,
        SyncEvent::Polled { result: PollResult::Failed, .. }
        | SyncEvent::DriftDetected { .. }
        | SyncEvent::Contested { .. }
        | SyncEvent::RenderWarning { .. }
        | SyncEvent::NotApplied { .. }
        | SyncEvent::PruneHeld(_)
        | SyncEvent::EventsDropped { .. }
        | SyncEvent::Ended(Ended { outcome: Outcome::Unhealthy | Outcome::Held, .. }) => Level::WARN,
        SyncEvent::Applied { result: ApplyResult::Failed, .. }
        | SyncEvent::Pruned { result: PruneResult::Failed, .. }
        | SyncEvent::Problem(_)
        | SyncEvent::Ended(Ended { outcome: Outcome::Failed, .. }) => Level::ERROR,
    })
}

/// `None` for an event that is not logged.
pub(super) fn line(event: &Event) -> Option<Line<'_>> {
    Some(match event {
        Event::Sync(sync, event) => return line_of_sync(sync, event),
        Event::Leadership { why, .. } => general(why.clone()),
        Event::ConfigLoaded { syncs, reloaded } => {
            let again = if *reloaded { "re" } else { "" };
            let plural = if *syncs == 1 { "" } else { "s" };
            general(format!("configuration {again}loaded: {syncs} sync{plural}"))
        }
        Event::ConfigRejected { error } => {
            let line = general(format!("configuration refused, the running one stays: {error}"));
            Line { error: Some(error.clone()), ..line }
        }
        Event::Note { message } | Event::Warning { message } | Event::Trouble { message } => general(message.clone()),
    })
}

#[allow(clippy::too_many_lines, reason = "one arm for each event")]
fn line_of_sync<'a>(sync: &'a str, event: &'a SyncEvent) -> Option<Line<'a>> {
    Some(match event {
        SyncEvent::Status(_) | SyncEvent::ContestedNow { .. } => return None,
        SyncEvent::Polled { result, commit, error, retry_in } => {
            let commit = commit.as_deref().map(short);
            let message = polled(*result, commit, error.as_deref(), *retry_in);
            let line = Line { commit, error: error.clone(), retry_seconds: seconds(*retry_in), ..said(sync, message) };
            Line { result: Some(result.as_str()), ..line }
        }
        SyncEvent::Started { commit } => {
            let (subject, commit) = (&commit.subject, commit.short());
            Line { commit: Some(commit), ..said(sync, format!("syncing {commit}: {subject}")) }
        }
        SyncEvent::Planned { create, configure, replace, unchanged, prune, refuse } => {
            let plan = planned(&[
                (*create, "to create"),
                (*configure, "to configure"),
                (*replace, "to replace (delete and create again)"),
                (*prune, "to prune"),
                (*refuse, "refused"),
                (*unchanged, "unchanged"),
            ]);
            Line { changed: Some(create + configure + replace + prune), ..said(sync, plan) }
        }
        SyncEvent::NotApplied { note } => {
            Line { object: note.object.as_ref().map(ToString::to_string), ..said(sync, note.to_string()) }
        }
        SyncEvent::Applied { object, uid: _, result, error, again: _, drifted: _ } => {
            applied(sync, object, *result, error.as_ref())
        }
        SyncEvent::DriftDetected { drift, uid: _, missed } => {
            let seen = if *missed { ", which only the audit saw" } else { "" };
            let message = format!("drift in {}{seen}{}", drift.object, reason(Some(&drift.reason)));
            Line { manager: drift.blame.manager.as_deref(), ..of(sync, &drift.object, message) }
        }
        SyncEvent::DriftGone { object } => {
            of(sync, object, format!("{object} is as in git again, put back by somebody else"))
        }
        SyncEvent::Contested { contest, uid: _ } => contested(sync, contest),
        SyncEvent::Uncontested { object, uid: _ } => of(sync, object, format!("{object} is contested no longer")),
        SyncEvent::DriftHealed { object, after } => {
            let message = format!("{object} healed after {}", people(*after));
            Line { seconds: Some(after.as_secs_f64()), ..of(sync, object, message) }
        }
        SyncEvent::Pruned { object, result, detail } => {
            let detail = reason(detail.as_deref());
            let message = match result {
                PruneResult::Failed => format!("cannot delete {object}{detail}"),
                PruneResult::Waiting => format!("{object} is not deleted yet{detail}"),
                done => format!("{object} {}{detail}", done.as_str()),
            };
            Line { result: Some(result.as_str()), ..of(sync, object, message) }
        }
        SyncEvent::PruneHeld(Held { commit, prune, total, reason: why, .. }) => {
            let message = format!(
                "not pruning {prune} of {total} objects until somebody approves{}; to go ahead: driftless approve {sync}",
                reason(Some(why)),
            );
            Line { commit: Some(short(commit)), ..said(sync, message) }
        }
        SyncEvent::Problem(problem) => {
            let object = problem.object.as_ref().map(ToString::to_string);
            Line { object, error: Some(problem.message.clone()), ..said(sync, problem.to_string()) }
        }
        SyncEvent::Rendered { renderer, succeeded } => {
            let result = if *succeeded { "rendered" } else { "failed" };
            Line { result: Some(result), ..said(sync, format!("{renderer}: {result}")) }
        }
        SyncEvent::RenderWarning { message } => said(sync, message.clone()),
        SyncEvent::Took { part, took } => {
            let message = format!("{} took {}", part.as_str(), people(*took));
            Line { seconds: Some(took.as_secs_f64()), ..said(sync, message) }
        }
        SyncEvent::Ended(Ended { outcome, commit, changed, message, lag, retry_in, again: _ }) => {
            let commit = commit.short();
            let (result, message) = (outcome.as_str(), reason(Some(message)));
            let line = said(sync, format!("{result} {commit}{message}{}", again(*retry_in)));
            let line = Line { seconds: seconds(*lag), retry_seconds: seconds(*retry_in), ..line };
            Line { result: Some(result), commit: Some(commit), changed: Some(*changed), ..line }
        }
        SyncEvent::Suspended { by } => said(sync, format!("suspended by {by}")),
        SyncEvent::Resumed => said(sync, "resumed".to_owned()),
        SyncEvent::Forgotten => said(sync, "no longer in the configuration; its objects stay".to_owned()),
        SyncEvent::EventsDropped { events, why } => {
            let plural = if *events == 1 { " was" } else { "s were" };
            said(sync, format!("{events} Kubernetes Event{plural} not written: {why}; this log has them all"))
        }
        SyncEvent::StandingBy { commit } => {
            let commit = commit.as_ref().map(Commit::short);
            let with = commit.map(|commit| format!(" with commit {commit}")).unwrap_or_default();
            Line { commit, ..said(sync, format!("standing by{with}")) }
        }
    })
}

fn polled(result: PollResult, commit: Option<&str>, error: Option<&str>, retry_in: Option<Duration>) -> String {
    match (result, commit) {
        (PollResult::Unchanged, _) => "nothing new in git".to_owned(),
        (PollResult::Fetched, Some(commit)) => format!("fetched {commit}"),
        (PollResult::Fetched, None) => "fetched".to_owned(),
        (PollResult::Failed, _) => {
            let error = error.unwrap_or("no reason given");
            format!("cannot read the git repository: {error}{}", again(retry_in))
        }
    }
}

fn planned(counts: &[(usize, &str)]) -> String {
    let some = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = some.map(|(count, what)| format!("{count} {what}")).collect();
    format!("plan: {}", if parts.is_empty() { "no objects".to_owned() } else { parts.join(", ") })
}

fn applied<'a>(sync: &'a str, object: &ObjectId, result: ApplyResult, error: Option<&Problem>) -> Line<'a> {
    let message = match error {
        // A problem that names its object names the file too.
        Some(problem) if problem.object.is_some() => problem.to_string(),
        Some(problem) => format!("{object}: {problem}"),
        None => format!("{object} {}", result.as_str()),
    };
    let error = error.map(|problem| problem.message.clone());
    Line { result: Some(result.as_str()), error, ..of(sync, object, message) }
}

fn general<'a>(message: String) -> Line<'a> {
    Line { message, ..Line::default() }
}

fn said(sync: &str, message: String) -> Line<'_> {
    Line { sync: Some(sync), ..general(message) }
}

fn of<'a>(sync: &'a str, object: &ObjectId, message: String) -> Line<'a> {
    Line { object: Some(object.to_string()), ..said(sync, message) }
}

/// The first 12 digits of a commit.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

pub(super) fn reason(detail: Option<&str>) -> String {
    detail.filter(|detail| !detail.is_empty()).map(|detail| format!(": {detail}")).unwrap_or_default()
}

fn again(retry_in: Option<Duration>) -> String {
    retry_in.map(|wait| format!("; next try in {}", people(wait))).unwrap_or_default()
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

/// A duration as people say it: `2.8 ms`, `340 ms`, `4.2 s`, `75 s`, `12 min`.
fn people(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 10.0 => format!("{seconds:.1} s"),
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

fn contested<'a>(sync: &'a str, contest: &'a Contest) -> Line<'a> {
    let message = format!("{} is contested: {}", contest.object, quarrel(contest));
    Line { manager: contest.manager.as_deref(), ..of(sync, &contest.object, message) }
}

/// Who contests what, and what to do.
pub(super) fn quarrel(contest: &Contest) -> String {
    let other = contest.rivals().unwrap_or_else(|| "somebody".into());
    let all = if contest.managers.len() > 1 { "all" } else { "both" };
    let fields = if contest.fields.is_empty() { "it".to_owned() } else { contest.fields.join(", ") };
    format!(
        "{other} and driftless {all} write {fields}; it was healed {} times in a row, and each further heal waits longer, up to 5 minutes; stop {other}, take the fields out of git, or leave them to it by driftless.dev/ignore-fields",
        contest.heals
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::sample;

    fn message(event: &Event) -> String {
        line(event).expect("logged").message
    }

    #[test]
    fn every_event_that_has_a_level_has_a_line_with_a_message() {
        for event in sample::every_event() {
            let line = line(&event);
            assert_eq!(level(&event).is_some(), line.is_some(), "{event:?}");
            assert!(line.is_none_or(|line| !line.message.is_empty()), "{event:?}");
        }
    }

    #[test]
    fn a_quiet_cycle_says_nothing_above_debug() {
        for event in sample::quiet_cycle() {
            assert!(level(&event).is_none_or(|level| level == Level::DEBUG), "{event:?}");
        }
    }

    #[test]
    fn lines_read_as_sentences() {
        let sync: std::sync::Arc<str> = "shop".into();
        let object = ObjectId::new("apps", "Deployment", Some("shop"), "web");
        let drift = sample::drifted(&sync, object.clone(), Some("kubectl-edit"));
        assert_eq!(message(&drift), "drift in Deployment shop/web: kubectl-edit changed spec.replicas");
        let healed = Event::of(&sync, SyncEvent::DriftHealed { object, after: Duration::from_micros(2_800) });
        assert_eq!(message(&healed), "Deployment shop/web healed after 2.8 ms");
        let polled = SyncEvent::Polled {
            result: PollResult::Failed,
            commit: None,
            error: Some("the host does not answer".to_owned()),
            retry_in: Some(Duration::from_secs(30)),
        };
        let polled = Event::of(&sync, polled);
        assert_eq!(message(&polled), "cannot read the git repository: the host does not answer; next try in 30 s");
        assert_eq!(message(&Event::ConfigLoaded { syncs: 1, reloaded: true }), "configuration reloaded: 1 sync");
    }
}
