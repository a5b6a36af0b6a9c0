//! `driftless status`: every sync and its objects, read from the cluster.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::paint::Paint;
use super::session::{json, print, yaml};
use super::{CliError, Common, Output, Session};
use crate::agent::list_parents;
use crate::apply::Parent;
use crate::cluster::{Cluster, Discovery, Wanted};
use crate::object::{Harmless, Health, HealthStatus, ObjectId};
use crate::plan::{Phase, SyncStatus};

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
struct Standing {
    #[serde(flatten)]
    status: SyncStatus,
    /// It is in the configuration.
    configured: bool,
    live: Vec<(ObjectId, Health)>,
    /// Those that this call could not read. What the agent says of the sync counts for them.
    #[serde(skip)]
    unread: BTreeSet<ObjectId>,
}

impl Standing {
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
    for parent in list_parents(&cluster, &session.namespace).await.map_err(CliError::Text)? {
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
            Standing { status, configured: true, live: Vec::new(), unread: BTreeSet::new() }
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
    let all: Vec<Standing> = standings.into_values().collect();
    match common.output {
        Output::Json => print(&json(&all)?)?,
        Output::Yaml => print(&yaml(&all)?)?,
        Output::Text => print(&text(&all, options.objects, Paint::stdout()))?,
        Output::Markdown => print(&markdown(&all))?,
    };
    for error in &broken {
        eprintln!("error: {error}");
    }
    let well = broken.is_empty() && all.iter().all(Standing::is_well);
    Ok(if well { 0 } else { 3 })
}

async fn standing(
    cluster: &Cluster,
    discovery: &Discovery,
    parent: Parent,
    configured: bool,
) -> Result<Standing, CliError> {
    let wanted = Wanted { ids: parent.inventory.keys().cloned().collect(), ..Wanted::default() };
    let seen = cluster.see(discovery, &wanted, &parent.id(), None).await?;
    let unread = wanted.ids.iter().filter(|id| seen.unreadable.of(id).is_some()).cloned().collect();
    let live = wanted.ids.into_iter().map(|id| {
        let health = match (seen.observed.get(&id), seen.unreadable.of(&id)) {
            (Some(live), _) => live.health.clone(),
            (None, Some(why)) => Health::new(HealthStatus::Unknown, why),
            (None, None) => Health::new(HealthStatus::NotFound, "does not exist"),
        };
        (id, health)
    });
    let live = live.collect();
    let mut status = parent.status;
    status.sync = parent.sync.to_string();
    if parent.suspended {
        status.phase = Phase::Suspended;
        status.message = "suspended by driftless suspend".into();
    }
    Ok(Standing { status, configured, live, unread })
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

fn text(all: &[Standing], objects: bool, paint: Paint) -> String {
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
            Harmless(&status.message)
        );
    }
    for one in all {
        out += &details(one, objects, paint);
    }
    out
}

fn details(one: &Standing, objects: bool, paint: Paint) -> String {
    let mut out = String::new();
    for (id, health) in one.live.iter().filter(|(_, health)| objects || !health.is_current()) {
        let line = format!("  {id}  {}\n", Harmless(&health.to_string()));
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
            Harmless(&held.reason)
        );
    }
    if let Some(shortened) = &one.status.shortened {
        out += &format!("  {} {shortened}\n", paint.dim("note:"));
    }
    for note in &one.status.notes {
        out += &format!("  {} {note}\n", paint.dim("note:"));
    }
    if out.is_empty() { out } else { format!("\n{}\n{out}", paint.bold(&one.status.sync)) }
}

fn markdown(all: &[Standing]) -> String {
    let mut out = String::from("| sync | phase | commit | objects | message |\n| --- | --- | --- | --- | --- |\n");
    for one in all {
        let message = Harmless(&one.status.message).to_string().replace('|', "\\|");
        let status = &one.status;
        out += &format!(
            "| {} | {} | `{}` | {} | {message} |\n",
            status.sync,
            status.phase,
            commit(status),
            one.live.len()
        );
    }
    out
}
