//! Carrying out the deleting and detaching steps of a plan, dependents first.

use std::sync::Arc;

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Deletion, Discovery};
use crate::plan::{Plan, PruneResult, PrunedObject, Step, Verb, prune_waves};

/// Objects that are deleted at once.
const AT_ONCE: usize = 16;
const ANOTHER: &str = "it was created again by somebody else in the meantime (its UID is another)";

/// Prunes. One outcome a step that prunes; `report` hears each when it is known.
pub async fn prune(
    cluster: &Cluster,
    discovery: &Arc<Discovery>,
    plan: &Plan,
    stop: &CancellationToken,
    report: &(dyn Fn(&PrunedObject) + Send + Sync),
) -> Vec<PrunedObject> {
    let mut outcomes = Vec::new();
    for wave in prune_waves(&plan.steps) {
        let mut deletions = Vec::with_capacity(wave.len());
        for step in wave {
            deletions.push(one(cluster, discovery, step, stop));
        }
        let mut ended = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
        while let Some(outcome) = ended.next().await {
            report(&outcome);
            outcomes.push(outcome);
        }
    }
    outcomes
}

async fn one(cluster: &Cluster, discovery: &Discovery, step: &Step, stopped: &CancellationToken) -> PrunedObject {
    let outcome = |result, gone, detail: Option<String>| PrunedObject { id: step.id.clone(), result, gone, detail };
    let failed = |why: String| outcome(PruneResult::Failed, false, Some(why));
    if stopped.is_cancelled() {
        return failed("driftless was stopped before it was deleted".into());
    }
    let Some(live) = &step.live else { return failed("it was not seen alive".into()) };
    let Some(resource) = discovery.preferred(&step.id.gk) else {
        return failed(format!("the cluster has no kind {} any more", step.id.gk));
    };
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
        Err(error) => failed(error.to_string()),
    }
}
