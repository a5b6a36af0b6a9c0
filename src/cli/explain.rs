//! `driftless explain`: where an object comes from, who changed it, and what was healed.

mod find;
mod state;
mod text;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::paint::Paint;
use super::render::{read, view};
use super::session::{json, print, yaml};
use super::{CliError, Common, OutputFormat, Session, running};
use crate::apply::without_ignored;
use crate::cluster::{ApiError, Cluster, Discovery, reduce, with_causes};
use crate::config::{SyncConfig, SyncName};
use crate::inventory::{Parent, read_parents};
use crate::object::{
    Commit, DigestKey, FieldChange, Health, HealthStatus, ManagedFieldsEntry, ObjectId, Observed, Origin, additions,
    blame_drift, entries, names,
};
use crate::plan::{Contest, Desired, Drift, Phase, SyncStatus, resolve};
use state::LiveState;

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// The object: its kind (or plural, or kind.group), a slash, and its name
    #[arg(value_name = "KIND/NAME")]
    object: String,
    /// The namespace of the object; needed only where several namespaces have one of this name
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Git may take so long to say where the manifest stands. All else is known without it.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that is known of one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    object: ObjectId,
    /// `None`: it could not be read.
    exists: Option<bool>,
    health: Health,
    managers: Vec<Manager>,
    /// What people have added to it, which git does not declare.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<FieldChange>,
    /// The syncs that have it in their inventory: one, but for a moment in which it moves.
    syncs: Vec<Holder>,
}

/// One entry of `managedFields`, without characters that deceive.
#[derive(Debug, Serialize)]
struct Manager {
    #[serde(rename = "manager")]
    name: String,
    operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    /// How many fields it owns.
    fields: usize,
    /// It owns fields that git does not declare, and is known neither as a person's client nor as a
    /// controller: they are left alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
}

/// What one sync knows of the object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    sync: String,
    phase: Phase,
    /// URL without credentials.
    url: String,
    reference: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    synced: Option<Commit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    synced_at: Option<Timestamp>,
    manifest: Declared,
    state: LiveState,
    /// The state, as a clause.
    reason: String,
    /// What git declares.
    #[serde(skip)]
    declared: Option<Value>,
    /// The running agent has said what drifted; else it is what was stored, up to 30 s late.
    asked_agent: bool,
    /// When the agent stored what is said here of drift, where the running agent was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_at: Option<Timestamp>,
    /// Drift of this object, the newest last.
    drift: Vec<Drift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contested: Option<Contest>,
}

/// Where the newest commit declares the object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Declared {
    At {
        #[serde(flatten)]
        origin: Origin,
        /// 40 hexadecimal digits.
        commit: String,
    },
    /// The newest commit has it no more.
    Nowhere { commit: String },
    /// Why this is not known.
    Unknown(String),
}

/// The live object, as far as it is needed.
struct LiveObject {
    /// `None`: there is none.
    whole: Option<Value>,
    observed: Option<Observed>,
}

/// Why something is not known of the object. The rest is.
#[derive(Debug, Error)]
enum ExplainError {
    /// What serves its kind does not answer.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("git did not answer within {} s", PATIENCE.as_secs())]
    Git,
    #[error("sync {0} is not in the configuration")]
    NotConfigured(SyncName),
    /// What is needed for the rendering, or the rendering itself.
    #[error(transparent)]
    Render(#[from] CliError),
    /// The object may be declared by what cannot be used.
    #[error("{many} of the manifests cannot be used; see driftless plan --sync {sync}")]
    Incomplete { many: usize, sync: SyncName },
}

pub(super) async fn explain(common: &Common, options: &ExplainArguments) -> Result<u8, CliError> {
    let sought = find::Sought::parse(&options.object, options.namespace.as_deref())
        .map_err(|error| CliError::Text(error.to_string()))?;
    let session = Session::open(common)?;
    let cluster = session.connect(None).await?;
    let discovery = cluster.discover().await?;
    let (mut parents, mut problems) = (Vec::new(), Vec::new());
    for parent in read_parents(&cluster, &session.namespace).await? {
        match parent {
            Ok(parent) => parents.push(parent),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let found = find::find(&parents, &discovery, &sought, &session.namespace);
    let id = found.map_err(|error| {
        let others = problems.iter().map(|problem| text::safe(problem));
        CliError::Text(std::iter::once(error.to_string()).chain(others).collect::<Vec<_>>().join("; not searched: "))
    })?;
    let holder_of =
        |sync: &SyncConfig| parents.iter().any(|one| one.sync == sync.name && one.inventory.contains_key(&id));
    let managers = session.config.syncs.iter().find(|sync| holder_of(sync)).map(|sync| Arc::clone(&sync.managers));
    let managers = managers.unwrap_or_default();
    let informed = cluster.knowing(&managers);
    let (live, running) = tokio::join!(live(&informed, &discovery, &id), running::ask(session.config.listen));
    let running = running.unwrap_or_default();
    let mut syncs = Vec::new();
    for mut parent in parents.into_iter().filter(|parent| parent.inventory.contains_key(&id)) {
        let now = running.iter().find(|status| is_of(status, &parent));
        if let Some(now) = now {
            (parent.status.drift, parent.status.contested) = (now.drift.clone(), now.contested.clone());
            parent.status.rewritten.clone_from(&now.rewritten);
        }
        let holder = holder(&session, &informed, &discovery, parent, &id, live.as_ref().ok()).await;
        let stored_at = holder.stored_at.filter(|_| now.is_none());
        syncs.push(Holder { asked_agent: now.is_some(), stored_at, ..holder });
    }
    let (exists, health) = match &live {
        Ok(live) => match &live.observed {
            Some(observed) => (Some(true), observed.health.clone()),
            None => (Some(false), Health::new(HealthStatus::NotFound, "does not exist")),
        },
        Err(error) => (None, Health::new(HealthStatus::Unknown, with_causes(error).as_str())),
    };
    if let Err(error) = &live {
        problems.push(format!("cannot read the live {id}: {}", with_causes(error)));
    }
    let live = live.ok();
    let unknown: Vec<Arc<str>> =
        live.iter().filter_map(|live| live.observed.as_ref()).flat_map(Observed::unknown_managers).cloned().collect();
    let whole = live.and_then(|live| live.whole);
    let is_unknown = |entry: &ManagedFieldsEntry<'_>| {
        entry.subresource.is_empty() && unknown.iter().any(|name| **name == *entry.manager)
    };
    let row = |entry: ManagedFieldsEntry<'_>| Manager { unknown: is_unknown(&entry), ..Manager::of(&entry) };
    let rows = whole.iter().flat_map(entries).map(row).collect();
    // What git declares counts too: the annotation of a live object may have been removed.
    let sensitive = syncs.iter().filter_map(|holder| holder.declared.as_ref()).any(|it| names::is_secret(&id.gk, it));
    let added = whole.iter().flat_map(|live| {
        let declared = syncs.iter().find_map(|holder| holder.declared.as_ref());
        let secret = sensitive || names::is_secret(&id.gk, live);
        let added = additions(&id.gk, live, &managers, declared);
        added.into_iter().map(move |addition| addition.change(live, secret))
    });
    let added = added.collect();
    let explained = Explained { object: id, exists, health, managers: rows, added, syncs };
    match common.output {
        OutputFormat::Json => print(&json(&explained)?)?,
        OutputFormat::Yaml => print(&yaml(&explained)?)?,
        OutputFormat::Text => print(&text::text(&explained, Timestamp::now(), Paint::stdout()))?,
        OutputFormat::Markdown => print(&text::markdown(&explained, Timestamp::now()))?,
    };
    for problem in &problems {
        eprintln!("error: {}", text::safe(problem));
    }
    Ok(u8::from(!problems.is_empty()))
}

impl Manager {
    fn of(entry: &ManagedFieldsEntry<'_>) -> Self {
        Self {
            name: text::safe(entry.manager),
            operation: text::safe(entry.operation),
            subresource: text::safe(entry.subresource),
            time: entry.time,
            fields: entry.count(),
            unknown: false,
        }
    }
}

/// Reads the live object.
async fn live(cluster: &Cluster, discovery: &Discovery, id: &ObjectId) -> Result<LiveObject, ExplainError> {
    let Some(resource) = discovery.preferred(&id.gk) else {
        let none = LiveObject { whole: None, observed: None };
        return discovery.unreachable(&id.gk).map_or(Ok(none), |why| Err(ExplainError::Unavailable(why)));
    };
    let whole = cluster.read(id, resource).await?;
    let observed = whole
        .as_ref()
        .and_then(|object| reduce(&id.gk, resource.namespaced, object, cluster.managers(), Timestamp::now()));
    Ok(LiveObject { whole, observed })
}

async fn holder(
    session: &Session,
    cluster: &Cluster,
    discovery: &Discovery,
    parent: Parent,
    id: &ObjectId,
    live: Option<&LiveObject>,
) -> Holder {
    let config = session.config.syncs.iter().find(|sync| sync.name == parent.sync);
    let declared = match config {
        Some(sync) => match tokio::time::timeout(PATIENCE, declared(session, cluster, discovery, sync, id)).await {
            Ok(declared) => declared,
            Err(_) => Err(ExplainError::Git),
        },
        None => Err(ExplainError::NotConfigured(parent.sync.clone())),
    };
    let recorded = parent.inventory.get(id).copied().unwrap_or_default();
    let desired = declared.as_ref().ok().and_then(|(_, desired)| desired.as_ref());
    let (state, mut reason) = match live {
        Some(live) => state::state(&parent.set_id(), &recorded, live, desired),
        None => (LiveState::Unknown, "the live object could not be read".into()),
    };
    let value = desired.map(|desired| desired.manifest.to_value());
    let whole = live.and_then(|live| live.whole.as_ref()).filter(|_| state == LiveState::Drifted);
    if let (Some(desired), Some(value), Some(whole)) = (desired, &value, whole) {
        let secret = names::is_secret(&id.gk, value) || names::is_secret(&id.gk, whole);
        // As an apply sends it, but for the digest, which is not known here.
        let mut declared = value.clone();
        without_ignored(desired, Some(whole), &mut declared);
        let (blame, _) = blame_drift(&id.gk, &declared, whole, cluster.managers(), secret);
        if !blame.fields.is_empty() {
            reason = format!("{reason}: {blame}");
        }
    }
    let rewritten = parent.status.rewritten.iter().find(|one| one.object == *id);
    if let Some(rewritten) = rewritten.filter(|_| state == LiveState::AsApplied) {
        reason = format!("{reason}; {}", rewritten.words());
    }
    let manifest = match declared {
        Ok((commit, Some(desired))) => Declared::At { origin: desired.manifest.origin.clone(), commit },
        Ok((commit, None)) => Declared::Nowhere { commit },
        Err(error) => Declared::Unknown(with_causes(&error)),
    };
    let status = parent.status;
    let mut drift: Vec<Drift> = status.drift.into_iter().filter(|drift| drift.object == *id).collect();
    let is_secret = |object: Option<&Value>| object.is_some_and(|object| names::is_secret(&id.gk, object));
    if id.gk.is("", "Secret") || is_secret(value.as_ref()) || is_secret(live.and_then(|live| live.whole.as_ref())) {
        // None is recorded; what somebody else wrote into the status is not shown either.
        for field in drift.iter_mut().flat_map(|drift| &mut drift.blame.fields) {
            (field.wanted, field.found) = (None, None);
        }
    }
    Holder {
        sync: parent.sync.to_string(),
        phase: if parent.suspended { Phase::Suspended } else { status.phase },
        url: status.url,
        reference: status.reference,
        path: status.path,
        synced: status.synced,
        synced_at: status.synced_at,
        manifest,
        state,
        reason,
        declared: value,
        asked_agent: false,
        stored_at: parent.written_at,
        drift,
        contested: status.contested.into_iter().find(|contest| contest.object == *id),
    }
}

/// Whether what an agent says of a sync is about the same one: another agent may listen at that address.
fn is_of(status: &SyncStatus, parent: &Parent) -> bool {
    let stored = &parent.status;
    status.sync == parent.sync.as_str()
        && (&status.url, &status.reference, &status.path) == (&stored.url, &stored.reference, &stored.path)
        && status.synced_at >= stored.synced_at
}

/// What the newest commit of the sync declares for the object, and which commit that is.
async fn declared(
    session: &Session,
    cluster: &Cluster,
    discovery: &Discovery,
    sync: &Arc<SyncConfig>,
    id: &ObjectId,
) -> Result<(String, Option<Desired>), ExplainError> {
    let view = view(session, cluster, sync, discovery).await?;
    let rendered = read(session, sync, None, Some(&view)).await?;
    // Digests are of no interest here.
    let key = DigestKey::new([0; 32]);
    let target = sync.target_namespace.as_deref();
    let placed =
        resolve(&rendered.manifests, target, &key, &session.reserved([]), &|gk, version| discovery.scope(gk, version));
    let desired = placed.desired.into_iter().find(|desired| desired.manifest.id == *id);
    if desired.is_none() && !(rendered.problems.is_empty() && placed.problems.is_empty()) {
        let many = rendered.problems.len() + placed.problems.len();
        return Err(ExplainError::Incomplete { many, sync: sync.name.clone() });
    }
    Ok((rendered.commit.id, desired))
}
