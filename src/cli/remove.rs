//! `driftless remove`: ends a sync that was taken out of the configuration.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::session::{others, overdue_since, parent_of, print, sync_name};
use super::{CliError, Common, Session};
use crate::apply::{Patience, prune};
use crate::cluster::{Cluster, Discovery, Wanted};
use crate::config::{DriftPolicy, PrunePolicy};
use crate::inventory::{Parent, config_maps, delete_shards, parent_id, read_parents};
use crate::object::ObjectId;
use crate::plan::{
    Approved, NOTHING_LOOKED_UP, Plan, PlanInput, PruneResult, PrunedObject, Reason, Replaceables, Step, Verb,
    plan as decide,
};

/// How long to wait for what has to be gone before other objects are deleted. After that a person is
/// asked to try again.
const PATIENCE: Patience = Patience { wait: Duration::from_secs(15), then_let_go: false };
/// For so long a custom resource that is being deleted holds back what may serve it: the default of
/// `timeout`, since the sync is in no configuration any more.
const HELD_BACK: Duration = Duration::from_mins(5);

#[derive(Debug, Args)]
pub(super) struct RemoveArguments {
    /// The name of the sync, which is no longer in the configuration
    sync: String,
    /// Leave all its objects in the cluster, as they are
    #[arg(long)]
    keep_objects: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn remove(common: &Common, options: &RemoveArguments) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let sync = options.sync.as_str();
    if session.config.syncs.iter().any(|configured| configured.name.as_str() == sync) {
        return Err(CliError::Text(format!(
            "sync {sync} is in {}, so its agent would make its objects anew; take it out there first, and wait until the agent has read that",
            common.config.display()
        )));
    }
    let cluster = session.connect(None).await?;
    let id = parent_id(&session.namespace, &sync_name(sync)?);
    // In this order, so that what is read is not older than this.
    let before = cluster.read_one(&id, &config_maps()).await?;
    let parent = parent_of(&cluster, &session.namespace, sync).await?;
    let discovery = Arc::new(cluster.discover().await?);
    let parents = read_parents(&cluster, &parent.namespace).await?;
    let parents: Vec<Parent> = parents.into_iter().collect::<Result<_, _>>()?;
    let plan = ending(&session, &cluster, &discovery, &parent, &parents, options.keep_objects).await?;
    print(&shown(sync, &plan))?;
    if !options.keep_objects {
        print(&wanted_elsewhere(sync, &plan, &parents))?;
    }
    if !options.yes && !confirmed()? {
        print("nothing was changed\n")?;
        return Ok(1);
    }

    let report = |outcome: &PrunedObject| drop(print(&line(outcome)));
    let stop = CancellationToken::new();
    let outcomes = prune(&cluster, &discovery, &plan, PATIENCE, &stop, &report).await;
    let left = unfinished(&plan, &outcomes);
    if left > 0 {
        return Err(CliError::Text(format!(
            "sync {sync} is not ended: {left} of its objects are still there, as said above; its inventory stays, so do this again"
        )));
    }
    let after = cluster.read_one(&id, &config_maps()).await?;
    let version = |live: &Option<crate::object::Observed>| live.as_ref().map(|live| Arc::clone(&live.resource_version));
    if version(&before) != version(&after) {
        return Err(CliError::Text(format!(
            "an agent has written {id} in the meantime, so it still carries out sync {sync}; take the sync out of that agent's configuration, and do this again"
        )));
    }
    if let Some(live) = after {
        cluster.delete(&id, &config_maps(), &live.uid).await?;
    }
    delete_shards(&cluster, &parent).await?;
    print(&format!("sync {sync} is ended\n"))
}

/// What is to happen to each object, so that none of the sync's is left that still seems managed.
async fn ending(
    session: &Session,
    cluster: &Cluster,
    discovery: &Discovery,
    parent: &Parent,
    parents: &[Parent],
    keep_objects: bool,
) -> Result<Plan, CliError> {
    let ids: BTreeSet<ObjectId> = parent.inventory.keys().cloned().collect();
    let wanted = Wanted { orphans: ids.clone(), ids, ..Wanted::default() };
    let set_id = parent.set_id();
    let seen = cluster.see(discovery, &wanted, &set_id, None).await?;
    let mut others = others(&session.config, parents, &parent.sync);
    others.reserved = session.reserved(parents.iter().map(|parent| parent.sync.as_str().into()));
    let mut plan = decide(&PlanInput {
        set_id: &set_id,
        commit: "",
        desired: &[],
        looked_up: &NOTHING_LOOKED_UP,
        incomplete: None,
        observed: &seen.observed,
        unreadable: &seen.unreadable,
        crds: &discovery.crds(),
        inventory: &parent.inventory,
        prune: &PrunePolicy::default(),
        drift: DriftPolicy::Off,
        // A person is asked, with the list in sight.
        approved: Approved::Everything,
        others: &others,
        source_change: None,
        deleted_early: &BTreeSet::new(),
        overdue_since: overdue_since(HELD_BACK),
        replaceable: &Replaceables::new(),
    });
    for step in &mut plan.steps {
        step.verb = verb(step, &set_id, keep_objects);
    }
    Ok(plan)
}

/// As a commit that declares nothing would have it, but what stays is let go of.
fn verb(step: &Step, set_id: &str, keep_objects: bool) -> Verb {
    let ours = step.live.as_ref().is_some_and(|live| live.part_of.as_deref() == Some(set_id));
    match step.verb {
        Verb::Prune if !keep_objects => Verb::Prune,
        // Here, what has to wait for others is waited with.
        Verb::Wait if matches!(step.reason, Reason::Awaits { .. }) && !keep_objects => Verb::Prune,
        Verb::Wait if !matches!(step.reason, Reason::Awaits { .. }) => Verb::Wait,
        _ if ours => Verb::Detach,
        Verb::Keep if matches!(step.reason, Reason::Unreadable { .. }) => Verb::Keep,
        _ => Verb::Forget,
    }
}

fn shown(sync: &str, plan: &Plan) -> String {
    let count = |verb: Verb| plan.steps.iter().filter(|step| step.verb == verb).count();
    let mut text = format!(
        "ending sync {sync}: {} to delete, {} to leave in the cluster, no longer managed\n",
        count(Verb::Prune),
        count(Verb::Detach)
    );
    for step in &plan.steps {
        let (word, why) = match step.verb {
            Verb::Prune => ("delete", String::new()),
            Verb::Detach if step.reason == Reason::RemovedFromGit => ("leave", String::new()),
            Verb::Forget if step.live.is_none() => continue,
            Verb::Detach => ("leave", because(&step.reason)),
            Verb::Forget => ("not ours", because(&step.reason)),
            _ => ("wait for", because(&step.reason)),
        };
        let _ = writeln!(text, "  {word:9} {}{why}", step.id);
    }
    text
}

/// What is about to be deleted although another sync declares it, which its status reports: the sync
/// was renamed, and its objects would be made anew.
fn wanted_elsewhere(sync: &str, plan: &Plan, parents: &[Parent]) -> String {
    let deleted: BTreeSet<&ObjectId> =
        plan.steps.iter().filter(|step| step.verb == Verb::Prune).map(|step| &step.id).collect();
    let reason = Reason::Unconfigured { sync: sync.into() }.to_string();
    let waits = |parent: &Parent| {
        let mut problems = parent.status.problems.iter();
        problems
            .any(|problem| problem.message == reason && problem.object.as_ref().is_some_and(|id| deleted.contains(id)))
    };
    let waiting: Vec<&str> = parents.iter().filter(|parent| waits(parent)).map(|parent| parent.sync.as_str()).collect();
    if waiting.is_empty() {
        return String::new();
    }
    format!(
        "objects that would be deleted are declared by sync {}, which would make them anew; to hand them over as they are: driftless remove {sync} --keep-objects\n",
        waiting.join(", ")
    )
}

/// The reason as it reads for an object that no commit has removed.
fn because(reason: &Reason) -> String {
    let text = match reason {
        Reason::KeptKind => "deleting it would delete data".to_owned(),
        other => other.to_string(),
    };
    let text = text.strip_prefix("removed from git, and ").unwrap_or(&text);
    format!(" ({})", text.strip_prefix("kept, since ").unwrap_or(text))
}

fn line(outcome: &PrunedObject) -> String {
    let detail = outcome.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let word = match outcome.result {
        PruneResult::Deleted => "deleted",
        PruneResult::Detached => "left",
        PruneResult::Kept => "not touched",
        PruneResult::Waiting => "not deleted yet",
        PruneResult::Failed => "failed",
    };
    format!("{word} {}{detail}\n", outcome.id)
}

/// How many objects are not yet as they are to be.
fn unfinished(plan: &Plan, outcomes: &[PrunedObject]) -> usize {
    let waiting = plan.steps.iter().filter(|step| matches!(step.verb, Verb::Keep | Verb::Wait)).map(|step| &step.id);
    let mut left: BTreeSet<&ObjectId> = waiting.collect();
    for outcome in outcomes {
        if outcome.gone {
            left.remove(&outcome.id)
        } else {
            left.insert(&outcome.id)
        };
    }
    left.len()
}

/// Asks whoever sits in front of it.
fn confirmed() -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Text("nobody is there to be asked; to go ahead: --yes".into()));
    }
    print("go ahead? [y/N] ")?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::Text(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
