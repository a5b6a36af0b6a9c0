//! What all syncs of an agent together may take of git servers, processor and memory at once. Places are given in
//! the order in which they are asked for, and nobody waits for one while holding another.
//!
//! Work on small and on large repositories waits in two queues, so that a sync whose repository is small is not
//! kept waiting by one whose repository takes long, and large ones are in memory one at a time.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::config::RepoPath;
use crate::limit::{Limiter, Permit};
use crate::source::{Bundle, Git, Snapshot, SourceError, Turns};

/// Bytes of the manifests of a small repository.
const SMALL_BYTES: usize = 8 << 20;
/// Objects of a small one.
const SMALL_OBJECTS: usize = 10_000;
/// With fewer places than this, two repositories that take a while would stop all others; with more, memory has no
/// bound worth that name.
const PLACES: (usize, usize) = (2, 4);

/// Clones share the places.
#[derive(Clone, Debug)]
pub struct Budget {
    /// To call git servers for syncs.
    pub turns: Turns,
    /// To call those of remote bases.
    pub base_turns: Turns,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Of helpers at work, each with memory of its own.
    helpers: Arc<Semaphore>,
    /// Of renders that wait for other hosts and keep in memory what they have of them.
    fetching: Limiter,
}

/// Renders that fetch at once, and those that wait for one server: one that hangs leaves places for the others.
const FETCHING: usize = 4;
const FETCHING_FROM_ONE: usize = 2;

/// Bytes for the agent itself.
const AGENT_BYTES: u64 = 512 << 20;
/// Bytes that one render may take at most: the largest public charts take a quarter of it.
pub(super) const HELPER_BYTES: u64 = 768 << 20;

/// How many helpers fit into the memory of the container: one that takes more than it has is ended as a whole.
fn helpers_in(limit: Option<u64>) -> usize {
    let fit = limit.map_or(u64::MAX, |limit| limit.saturating_sub(AGENT_BYTES) / HELPER_BYTES);
    usize::try_from(fit).unwrap_or(usize::MAX)
}

/// The limit of the container's memory in bytes (cgroup v2, `memory.max`; v1, `memory.limit_in_bytes`); `None` without.
fn memory_limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// A place among the computations of an agent; given back when it is dropped.
pub(super) struct ComputePermit(Option<OwnedSemaphorePermit>);

impl ComputePermit {
    /// Computes on a thread where nobody waits for anything else.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        run(self.0, work).await
    }
}

/// A computation ended by a fault of the program.
#[derive(Debug, Error)]
#[error("a computation panicked; the log says where, and it is tried again")]
pub struct Panicked;

impl Default for Budget {
    /// As many small computations at once as there are processors, and one large one.
    fn default() -> Self {
        let (least, most) = PLACES;
        let places = available_parallelism().map_or(least, NonZero::get).clamp(least, most);
        Self {
            turns: Turns::default(),
            base_turns: Turns::of_bases(),
            small: Arc::new(Semaphore::new(places)),
            large: Arc::new(Semaphore::new(1)),
            helpers: Arc::new(Semaphore::new(helpers_in(memory_limit()).clamp(1, places))),
            fetching: Limiter::new(FETCHING, FETCHING_FROM_ONE),
        }
    }
}

impl Budget {
    /// Reads the manifests of a commit under a path.
    pub(super) async fn snapshot(
        &self,
        git: &Git,
        commit: &str,
        path: &RepoPath,
    ) -> Result<(Snapshot, ComputePermit), SourceError> {
        match git.snapshot_up_to(commit, path, SMALL_BYTES, || place(&self.small)).await? {
            (Some(snapshot), place) => return Ok((snapshot, ComputePermit(place))),
            (None, small) => drop(small),
        }
        match git.snapshot_up_to(commit, path, usize::MAX, || place(&self.large)).await? {
            (Some(snapshot), place) => Ok((snapshot, ComputePermit(place))),
            // Whatever is larger is refused with the reason.
            (None, place) => Ok((git.snapshot(commit, path).await?, ComputePermit(place))),
        }
    }

    /// Reads everything of a commit below a directory.
    pub(super) async fn bundle(
        &self,
        git: &Git,
        commit: &str,
        root: &RepoPath,
    ) -> Result<(Bundle, ComputePermit), SourceError> {
        match git.bundle_up_to(commit, root, SMALL_BYTES, || place(&self.small)).await? {
            (Some(bundle), place) => return Ok((bundle, ComputePermit(place))),
            (None, small) => drop(small),
        }
        // Whatever is larger is refused with the reason.
        let (bundle, place) = git.bundle(commit, root, || place(&self.large)).await?;
        Ok((bundle, ComputePermit(place)))
    }

    /// Everything of a commit below a directory, or `None` where it has more bytes than this.
    pub(super) async fn bundle_up_to(
        &self,
        git: &Git,
        commit: &str,
        root: &RepoPath,
        bytes: usize,
    ) -> Result<Option<(Bundle, ComputePermit)>, SourceError> {
        let (bundle, place) = git.bundle_up_to(commit, root, bytes, || place(&self.large)).await?;
        Ok(bundle.map(|bundle| (bundle, ComputePermit(place))))
    }

    /// Waits until one more helper may be at work; it may for as long as the permit is kept.
    pub(super) async fn helper(&self) -> Option<OwnedSemaphorePermit> {
        place(&self.helpers).await
    }

    /// Waits until one more render may fetch from a server (host and port); it may for as long as the permit is kept.
    pub(super) async fn fetch(&self, server: &str) -> Permit {
        self.fetching.place(server).await
    }

    /// A place for small work.
    pub(super) async fn place(&self) -> ComputePermit {
        ComputePermit(place(&self.small).await)
    }

    /// Computes something about so many objects, on a thread where nobody waits for anything else.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        objects: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let places = if objects > SMALL_OBJECTS { &self.large } else { &self.small };
        run(place(places).await, work).await
    }
}

/// The place is none only where the semaphore is closed, which it never is.
async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).acquire_owned().await.ok()
}

/// The place is held until the work has ended, whether or not somebody waits for it.
async fn run<T: Send + 'static>(
    place: Option<OwnedSemaphorePermit>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let done = spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await.map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_few_computations_go_on_at_once_and_large_ones_keep_no_small_one_waiting() {
        let budget = Budget::default();
        let (release, held) = mpsc::channel::<()>();
        let shared = budget.clone();
        let large = tokio::spawn(async move {
            let wait = move || held.recv().unwrap_or_default();
            shared.compute(SMALL_OBJECTS + 1, wait).await.is_ok()
        });
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let small = (0..50).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            budget.compute(1, move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert!(futures::future::join_all(small).await.iter().all(Result::is_ok));
        assert!(most.load(Ordering::SeqCst) <= PLACES.1, "{most:?}");
        assert!(!large.is_finished());
        drop(release);
        assert!(large.await.unwrap());
    }

    #[test]
    fn helpers_fit_into_the_memory_of_the_container() {
        assert_eq!(helpers_in(Some(2 << 30)), 2);
        assert_eq!(helpers_in(Some(256 << 20)), 0);
        assert!(helpers_in(None) > 4);
    }

    #[tokio::test]
    async fn a_computation_that_panics_gives_its_place_back() {
        let budget = Budget::default();
        for _ in 0..2 * PLACES.1 {
            assert!(budget.compute(1, || assert_eq!(1, 2, "on purpose")).await.is_err());
        }
        assert_eq!(budget.compute(1, || 3).await.ok(), Some(3));
    }
}
