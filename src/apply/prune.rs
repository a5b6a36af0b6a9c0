//! Carrying out the deleting and detaching steps of a plan, in the order that its deletions have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApiError, Cluster, Deletion, Discovery};
use crate::object::ObjectId;
use crate::plan::{Deletions, Plan, PruneResult, PrunedObject, Recheck, Step, Verb, left_of};
use crate::retry::Pauses;

/// Objects that are deleted at once.
const AT_ONCE: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What to do about objects that wait for another one which is still there after its deletion.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long to check whether it is gone. Zero: once, since somebody else is notified of its end.
    pub wait: Duration,
    /// After that, delete what waits for it only because it goes first.
    pub then_let_go: bool,
}

/// What has come to an end.
enum Done<'p> {
    /// `None`: it was stopped before.
    Pruned(Option<PrunedObject>),
    /// What is still there of an object: nothing, or its finalizers; or the read has failed.
    Observed(&'p Step, Result<Option<Vec<String>>, ()>, Pauses),
}

/// Prunes. One outcome a step that prunes, and none for those that were not begun when it was stopped;
/// and one of each object that was being deleted before and is gone now. `report` receives those of the
/// former when they are known.
pub async fn prune(
    cluster: &Cluster,
    discovery: &Arc<Discovery>,
    plan: &Plan,
    patience: Patience,
    stopped: &CancellationToken,
    report: &(dyn Fn(&PrunedObject) + Send + Sync),
) -> Vec<PrunedObject> {
    let mut outcomes: BTreeMap<ObjectId, PrunedObject> = BTreeMap::new();
    let permits = &Semaphore::new(AT_ONCE);
    let unreachable = AtomicBool::new(false);
    let mut deletions = Deletions::new(plan);
    let until = Instant::now() + patience.wait;
    let mut under_way = 0;
    let mut running: FuturesUnordered<BoxFuture<'_, Done<'_>>> = FuturesUnordered::new();
    loop {
        while under_way < AT_ONCE
            && !stopped.is_cancelled()
            && let Some(step) = deletions.begin()
        {
            under_way += 1;
            running.push(Box::pin(async { Done::Pruned(one(cluster, discovery, step, stopped, &unreachable).await) }));
        }
        while let Some(step) = deletions.to_await() {
            let pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
            running.push(Box::pin(observe(cluster, discovery, step, (Duration::ZERO, pauses), stopped, permits)));
        }
        match running.next().await {
            None => break,
            Some(Done::Pruned(outcome)) => {
                under_way -= 1;
                if let Some(outcome) = outcome {
                    deletions.ended(&outcome);
                    report(&outcome);
                    outcomes.insert(outcome.id.clone(), outcome);
                }
            }
            Some(Done::Observed(step, seen, mut pauses)) => {
                if matches!(seen, Ok(None)) && step.desired.is_none() {
                    // It was reported when its deletion was accepted, in this prune or an earlier one.
                    let id = step.id.clone();
                    let outcome = PrunedObject { id, result: PruneResult::Deleted, gone: true, detail: None };
                    outcomes.insert(step.id.clone(), outcome);
                }
                if let Ok(finalizers) = seen
                    && !deletions.observed(&step.id, finalizers)
                {
                    continue;
                }
                let over = stopped.is_cancelled() || unreachable.load(Ordering::Relaxed);
                let pause = pauses.next_pause();
                if !over && Instant::now() + pause < until {
                    running.push(Box::pin(observe(cluster, discovery, step, (pause, pauses), stopped, permits)));
                } else if !over && patience.then_let_go {
                    deletions.let_go();
                }
            }
        }
    }
    let waiting = if stopped.is_cancelled() { Vec::new() } else { deletions.waiting() };
    for (at, reason) in waiting {
        let (id, detail) = (plan.steps[at].id.clone(), Some(reason.to_string()));
        let outcome = PrunedObject { id, result: PruneResult::Waiting, gone: false, detail };
        report(&outcome);
        outcomes.insert(outcome.id.clone(), outcome);
    }
    outcomes.into_values().collect()
}

/// Whether an object is still there after its deletion, read after a pause. The pauses that may follow come back.
async fn observe<'p>(
    cluster: &Cluster,
    discovery: &Discovery,
    step: &'p Step,
    (pause, pauses): (Duration, Pauses),
    stopped: &CancellationToken,
    permits: &Semaphore,
) -> Done<'p> {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stopped.cancelled() => {}
    }
    // It is never closed; a read without a permit would do no harm.
    let _permit = permits.acquire().await;
    // What is of a kind that is not served any more is gone, or nobody can know.
    let Some(resource) = discovery.preferred(&step.id.gk) else { return Done::Observed(step, Err(()), pauses) };
    let seen = match cluster.read_one(&step.id, resource).await {
        Ok(now) => Ok(left_of(step.live.as_ref(), now)),
        Err(_) => Err(()),
    };
    Done::Observed(step, seen, pauses)
}

/// `None`: it was stopped before.
async fn one(
    cluster: &Cluster,
    discovery: &Discovery,
    step: &Step,
    stopped: &CancellationToken,
    unreachable: &AtomicBool,
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
    let Some(live) = &step.live else { return failed("it was not seen alive".into()) };
    let Some(resource) = discovery.preferred(&step.id.gk) else {
        return failed(format!("the cluster has no kind {} any more", step.id.gk));
    };
    let kept = |recheck: Recheck| outcome(PruneResult::Kept, false, recheck.reason_to_keep().map(Into::into));
    let recheck = match cluster.read_one(&step.id, resource).await {
        Ok(now) => Recheck::of(live, now.as_ref()),
        Err(error) => return failed(error.to_string()),
    };
    match recheck {
        Recheck::Holds => {}
        Recheck::Gone => return outcome(PruneResult::Deleted, true, None),
        Recheck::Another | Recheck::Changed => return kept(recheck),
    }
    if stopped.is_cancelled() {
        return None;
    }
    if step.verb == Verb::Detach {
        return match cluster.release(&step.id, resource, &live.uid).await {
            Ok(true) => outcome(PruneResult::Detached, true, None),
            Ok(false) => kept(Recheck::Another),
            Err(error) => failed(error.to_string()),
        };
    }
    match cluster.delete(&step.id, resource, &live.uid).await {
        Ok(Deletion::Gone) => outcome(PruneResult::Deleted, true, None),
        Ok(Deletion::Accepted) => {
            let detail = "is being deleted; its finalizers or its grace period hold it";
            outcome(PruneResult::Deleted, false, Some(detail.into()))
        }
        Ok(Deletion::AnotherUid) => kept(Recheck::Another),
        Err(error) => {
            if matches!(error, ApiError::Unreachable(_) | ApiError::Timeout(_)) {
                unreachable.store(true, Ordering::Relaxed);
            }
            failed(error.to_string())
        }
    }
}
