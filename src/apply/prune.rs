//! Carrying out the deleting and detaching steps of a plan, dependents first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster, Deletion, Discovery};
use crate::object::{ObjectId, Observed};
use crate::plan::{Plan, PruneResult, PrunedObject, Step, Verb, prune_waves};

/// Objects that are deleted at once.
const AT_ONCE: usize = 16;
const CHANGED: &str = "its owner or its marks were changed in the meantime, so it is decided anew";
const ANOTHER: &str = "it is another object than was seen (its UID is another), so it is decided anew";

/// Prunes. One outcome a step that prunes, and none for those that were not begun when it was stopped;
/// `report` hears each when it is known.
pub async fn prune(
    cluster: &Cluster,
    discovery: &Arc<Discovery>,
    plan: &Plan,
    stop: &CancellationToken,
    report: &(dyn Fn(&PrunedObject) + Send + Sync),
) -> Vec<PrunedObject> {
    let mut outcomes = Vec::new();
    let unreachable = AtomicBool::new(false);
    // What an object that is still there depends on.
    let mut needed: BTreeMap<ObjectId, ObjectId> = BTreeMap::new();
    for wave in prune_waves(&plan.steps) {
        let mut deletions = Vec::with_capacity(wave.len());
        for step in wave {
            deletions.push(one(cluster, discovery, step, stop, &unreachable, needed.get(&step.id).cloned()));
        }
        let mut ended = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
        while let Some(outcome) = ended.next().await {
            if let Some(outcome) = outcome {
                report(&outcome);
                outcomes.push(outcome);
            }
        }
        drop(ended);
        let stays = outcomes.iter().filter(|one| matches!(one.result, PruneResult::Failed | PruneResult::Kept));
        let stays: BTreeSet<&ObjectId> = stays.map(|one| &one.id).collect();
        for step in plan.steps.iter().filter(|step| stays.contains(&step.id)) {
            let below = step.live.iter().flat_map(|live| live.depends_on.iter());
            needed.extend(below.map(|dependency| (dependency.clone(), step.id.clone())));
        }
    }
    outcomes
}

/// Whether everything that proved the object to be ours still does.
pub(super) fn is_as_ours(now: &Observed, planned: &Observed) -> bool {
    (&now.part_of, now.digest, now.controlled, now.detach)
        == (&planned.part_of, planned.digest, planned.controlled, planned.detach)
        && now.fingerprint.is_some() == planned.fingerprint.is_some()
}

/// `None`: it was stopped before.
async fn one(
    cluster: &Cluster,
    discovery: &Discovery,
    step: &Step,
    stopped: &CancellationToken,
    unreachable: &AtomicBool,
    needed_by: Option<ObjectId>,
) -> Option<PrunedObject> {
    if stopped.is_cancelled() {
        return None;
    }
    let outcome =
        |result, gone, detail: Option<String>| Some(PrunedObject { id: step.id.clone(), result, gone, detail });
    let failed = |why: String| outcome(PruneResult::Failed, false, Some(why));
    if unreachable.load(Ordering::Relaxed) {
        return failed("the API server cannot be reached".into());
    }
    if let Some(dependent) = needed_by {
        return failed(format!("{dependent}, which depends on it, is still there"));
    }
    let Some(live) = &step.live else { return failed("it was not seen alive".into()) };
    let Some(resource) = discovery.preferred(&step.id.gk) else {
        return failed(format!("the cluster has no kind {} any more", step.id.gk));
    };
    // The plan may rest on what a watch has shown, which lags; what is deleted is looked at once more.
    match cluster.look_at(&step.id, resource).await {
        Ok(None) => return outcome(PruneResult::Deleted, true, None),
        Ok(Some(now)) if now.uid != live.uid => return outcome(PruneResult::Kept, false, Some(ANOTHER.into())),
        Ok(Some(now)) if !is_as_ours(&now, live) => return outcome(PruneResult::Kept, false, Some(CHANGED.into())),
        Ok(Some(_)) => {}
        Err(error) => return failed(error.to_string()),
    }
    if stopped.is_cancelled() {
        return None;
    }
    if step.verb == Verb::Detach {
        return match cluster.release(&step.id, resource, &live.uid).await {
            Ok(true) => outcome(PruneResult::Detached, true, None),
            Ok(false) => outcome(PruneResult::Kept, false, Some(ANOTHER.into())),
            Err(error) => failed(error.to_string()),
        };
    }
    match cluster.delete(&step.id, resource, &live.uid).await {
        Ok(Deletion::Gone) => outcome(PruneResult::Deleted, true, None),
        Ok(Deletion::Accepted) => {
            let detail = "is being deleted; its finalizers or its grace period hold it";
            outcome(PruneResult::Deleted, false, Some(detail.into()))
        }
        Ok(Deletion::AnotherUid) => outcome(PruneResult::Kept, false, Some(ANOTHER.into())),
        Err(error) => {
            if matches!(error, ApiError::Unreachable(_) | ApiError::Timeout(_)) {
                unreachable.store(true, Ordering::Relaxed);
            }
            failed(error.to_string())
        }
    }
}
