//! `driftless status`: every sync and its objects, read from the cluster.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::paint::Paint;
use super::plan::inline;
use super::session::{json, print, yaml};
use super::{CliError, Common, OutputFormat, Session};
use crate::cluster::{Cluster, Discovery, Wanted};
use crate::inventory::{Parent, list_parents};
use crate::object::{Displayed, Health, HealthStatus, ObjectId};
use crate::plan::{Phase, SyncStatus};

/// Drifts of a sync that are shown as text, the newest first.
const DRIFTS: usize = 5;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Only this sync
    #[arg(long, value_name = "NAME")]
    sync: Option<String>,
    /// List every object, not only those that are not healthy
    #[arg(long)]
    objects: bool,
}

/// One sync as it stands.
#[derive(Debug, Serialize)]
struct SyncOverview {
    #[serde(flatten)]
    status: SyncStatus,
    /// It is in the configuration.
    configured: bool,
    live: Vec<(ObjectId, Health)>,
    /// Those that this call could not read. What the agent says of the sync counts for them.
    #[serde(skip)]
    unread: BTreeSet<ObjectId>,
}

impl SyncOverview {
    fn is_well(&self) -> bool {
        let objects = self.live.iter().all(|(id, health)| health.is_current() || self.unread.contains(id));
        match self.status.phase {
            // A person wanted it so.
            Phase::Suspended => true,
            phase => phase == Phase::Synced && objects,
        }
    }
}

pub(super) async fn status(common: &Common, options: &StatusArguments) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let wanted: Vec<String> = session.config.syncs.iter().map(|sync| sync.name.to_string()).collect();
    let cluster = session.connect(None).await?;
    let discovery = cluster.discover().await?;
    let mut standings = BTreeMap::new();
    let mut broken = Vec::new();
    for parent in list_parents(&cluster, &session.namespace).await? {
        match parent {
            Ok(parent) => {
                let name = parent.sync.to_string();
                let configured = wanted.contains(&name);
                standings.insert(name, standing(&cluster, &discovery, parent, configured).await?);
            }
            Err(error) => broken.push(error),
        }
    }
    for sync in &session.config.syncs {
        standings.entry(sync.name.to_string()).or_insert_with(|| {
            let message = "not synced yet: the agent has written nothing about it".into();
            let status = SyncStatus {
                sync: sync.name.to_string(),
                message,
                url: sync.source.display_url(),
                reference: sync.source.reference.to_string(),
                path: sync.path.to_string(),
                ..SyncStatus::default()
            };
            SyncOverview { status, configured: true, live: Vec::new(), unread: BTreeSet::new() }
        });
    }
    if let Some(only) = &options.sync {
        standings.retain(|name, _| name == only);
        if standings.is_empty() {
            return Err(CliError::Text(format!(
                "there is no sync {only:?}, neither in the configuration nor in namespace {}",
                session.namespace
            )));
        }
    }
    let all: Vec<SyncOverview> = standings.into_values().collect();
    match common.output {
        OutputFormat::Json => print(&json(&all)?)?,
        OutputFormat::Yaml => print(&yaml(&all)?)?,
        OutputFormat::Text => print(&text(&all, options.objects, Paint::stdout()))?,
        OutputFormat::Markdown => print(&markdown(&all))?,
    };
    for error in &broken {
        eprintln!("error: {error}");
    }
    let well = broken.is_empty() && all.iter().all(SyncOverview::is_well);
    Ok(if well { 0 } else { 3 })
}

async fn standing(
    cluster: &Cluster,
    discovery: &Discovery,
    parent: Parent,
    configured: bool,
) -> Result<SyncOverview, CliError> {
    let wanted = Wanted { ids: parent.inventory.keys().cloned().collect(), ..Wanted::default() };
    let seen = cluster.see(discovery, &wanted, &parent.set_id(), None).await?;
    let unread = wanted.ids.iter().filter(|id| seen.unreadable.of(id).is_some()).cloned().collect();
    let live = wanted.ids.into_iter().map(|id| {
        let health = match (seen.observed.get(&id), seen.unreadable.of(&id)) {
            (Some(live), _) => live.health.clone(),
            (None, Some(why)) => Health::new(HealthStatus::Unknown, why),
            (None, None) => Health::new(HealthStatus::NotFound, "does not exist"),
        };
        (id, health)
    });
    let mut live: Vec<(ObjectId, Health)> = live.collect();
    let mut status = parent.status;
    for (id, health) in &mut live {
        if is_over(id, health, &status) {
            *health = Health::new(HealthStatus::Current, "has ended, and was removed after its time to live");
        }
    }
    status.sync = parent.sync.to_string();
    if parent.suspended {
        status.phase = Phase::Suspended;
        status.message = "suspended by driftless suspend".into();
    }
    Ok(SyncOverview { status, configured, live, unread })
}

/// Whether a Job that is gone is as it should be: the agent, which knows its manifest and watches it, does not miss it.
fn is_over(id: &ObjectId, health: &Health, status: &SyncStatus) -> bool {
    id.gk.is("batch", "Job")
        && health.status == HealthStatus::NotFound
        && status.phase == Phase::Synced
        && !status.unhealthy.iter().any(|(other, _)| other == id)
}

fn commit(status: &SyncStatus) -> String {
    status.synced.as_ref().map_or_else(|| "-".into(), |commit| commit.short().to_owned())
}

/// The time since, in its largest unit or two: `3m12s`.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(span) = since.and_then(|since| now.since((Unit::Hour, since)).ok()) else {
        return "-".into();
    };
    match (span.get_hours(), span.get_minutes(), span.get_seconds()) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, _) if hours < 48 => format!("{hours}h{minutes}m"),
        (hours, ..) => format!("{}d{}h", hours / 24, hours % 24),
    }
}

fn text(all: &[SyncOverview], objects: bool, paint: Paint) -> String {
    if all.is_empty() {
        return "there are no syncs, neither in the configuration nor in the cluster\n".into();
    }
    let width = all.iter().map(|one| one.status.sync.len()).max().unwrap_or(0).max(4);
    let mut out = paint.dim(&format!(
        "{:<width$}  {:<11}  {:<12}  {:>7}  {:>7}  {}",
        "SYNC", "PHASE", "COMMIT", "OBJECTS", "SINCE", "MESSAGE"
    ));
    out.push('\n');
    for one in all {
        let status = &one.status;
        let phase = format!("{:<11}", status.phase.as_str());
        let phase = match status.phase {
            Phase::Synced => paint.green(&phase),
            Phase::Failing | Phase::Unhealthy => paint.red(&phase),
            _ => paint.yellow(&phase),
        };
        let gone = if one.configured { "" } else { "not in the configuration; " };
        out += &format!(
            "{:<width$}  {phase}  {:<12}  {:>7}  {:>7}  {gone}{}\n",
            status.sync,
            commit(status),
            one.live.len(),
            age(status.synced_at, Timestamp::now()),
            Displayed(&status.message)
        );
    }
    for one in all {
        out += &details(one, objects, paint);
    }
    out
}

fn details(one: &SyncOverview, objects: bool, paint: Paint) -> String {
    let mut out = String::new();
    for (id, health) in one.live.iter().filter(|(_, health)| objects || !health.is_current()) {
        let line = format!("  {id}  {}\n", Displayed(&health.to_string()));
        out += &if health.is_current() { line } else { paint.yellow(&line) };
    }
    let collected = !objects && !one.status.summary.is_empty();
    for problem in if collected { &one.status.summary } else { &one.status.problems } {
        out += &format!("  {} {problem}\n", paint.red("error:"));
    }
    if let Some(held) = &one.status.held {
        out += &format!(
            "  {} {} of {} objects wait for: driftless approve {} ({})\n",
            paint.yellow("held:"),
            held.prune,
            held.total,
            one.status.sync,
            Displayed(&held.reason)
        );
    }
    for contest in &one.status.contested {
        out += &format!("  {} {} {}\n", paint.red("contested:"), contest.object, Displayed(&contest.words()));
    }
    for rewritten in &one.status.rewritten {
        let line = format!("{}: {}", rewritten.object, rewritten.words());
        out += &format!("  {} {}\n", paint.yellow("rewritten:"), Displayed(&line));
    }
    if one.status.rewritten_more > 0 {
        let more = one.status.rewritten_more;
        out += &format!(
            "  {} of {more} more objects the cluster keeps other values than git declares\n",
            paint.dim("note:")
        );
    }
    let now = Timestamp::now();
    for drift in one.status.drift.iter().rev().take(DRIFTS) {
        let done = if drift.healed { "healed" } else { "reported only" };
        let age = age(Some(drift.at), now);
        let text = format!("{}, {done} {age} ago: {}", drift.object, drift.cause());
        out += &format!("  {} {}\n", paint.yellow("drift:"), Displayed(&text));
    }
    if one.status.drift.len() > DRIFTS {
        let more = one.status.drift.len() - DRIFTS;
        out += &format!("  {} {more} older drifts are in --output json\n", paint.dim("note:"));
    }
    if let Some(shortened) = &one.status.shortened {
        out += &format!("  {} {}\n", paint.dim("note:"), Displayed(shortened));
    }
    for note in &one.status.notes {
        out += &format!("  {} {note}\n", paint.dim("note:"));
    }
    if out.is_empty() { out } else { format!("\n{}\n{out}", paint.bold(&one.status.sync)) }
}

fn markdown(all: &[SyncOverview]) -> String {
    let mut out = String::from("| sync | phase | commit | objects | message |\n| --- | --- | --- | --- | --- |\n");
    for one in all {
        let message = inline(&Displayed(&one.status.message).to_string());
        let status = &one.status;
        out += &format!(
            "| {} | {} | `{}` | {} | {message} |\n",
            status.sync,
            status.phase,
            commit(status),
            one.live.len()
        );
    }
    for one in all {
        // The same lines as in text, but the objects, of which there may be thousands.
        let whole = SyncOverview { live: Vec::new(), unread: BTreeSet::new(), status: one.status.clone(), ..*one };
        for line in details(&whole, false, Paint::off()).lines().filter_map(|line| line.strip_prefix("  ")) {
            out += &format!("\n- {}: {}\n", one.status.sync, inline(line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Blame;
    use crate::plan::{Contest, Drift};

    #[test]
    fn contests_and_the_newest_drifts_are_shown() {
        let object = ObjectId::new("apps", "Deployment", Some("shop"), "web");
        let blame = Blame { manager: Some("kubectl-edit".into()), ..Blame::default() };
        let drift = |reason: usize| Drift {
            object: object.clone(),
            at: Timestamp::now(),
            reason: format!("reason {reason}"),
            blame: blame.clone(),
            healed: true,
        };
        let contest = Contest {
            object: object.clone(),
            manager: Some("other".into()),
            managers: Vec::new(),
            fields: vec!["spec.paused".into()],
            heals: 7,
            until: Timestamp::now(),
        };
        let status = SyncStatus {
            sync: "shop".into(),
            drift: (0..DRIFTS + 2).map(drift).collect(),
            contested: vec![contest],
            ..SyncStatus::default()
        };
        let one = SyncOverview { status, configured: true, live: Vec::new(), unread: BTreeSet::new() };
        let text = details(&one, false, Paint::off());
        assert!(text.contains("contested: Deployment shop/web with other over spec.paused; healed 7 times"), "{text}");
        assert!(text.contains("drift: Deployment shop/web, healed 0s ago: reason 6; "), "{text}");
        let listed = markdown(&[one]);
        assert!(listed.contains("\n- shop: contested: Deployment shop/web with other"), "{listed}");
        assert!(listed.contains("- shop: drift: "), "{listed}");
        assert!(
            text.contains("kubectl-edit") && text.contains("2 older drifts") && !text.contains("reason 1"),
            "{text}"
        );
    }

    #[test]
    fn a_job_that_the_agent_does_not_miss_is_over() {
        let id = |kind: &str| ObjectId::new(if kind == "Job" { "batch" } else { "" }, kind, Some("shop"), "a");
        let gone = Health::new(HealthStatus::NotFound, "does not exist");
        let synced = SyncStatus { phase: Phase::Synced, ..SyncStatus::default() };
        assert!(is_over(&id("Job"), &gone, &synced) && !is_over(&id("ConfigMap"), &gone, &synced));
        assert!(!is_over(
            &id("Job"),
            &gone,
            &SyncStatus { unhealthy: vec![(id("Job"), gone.clone())], ..synced.clone() }
        ));
        assert!(!is_over(&id("Job"), &gone, &SyncStatus { phase: Phase::Failing, ..synced }));
    }
}
