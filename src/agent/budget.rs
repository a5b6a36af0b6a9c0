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
use crate::render::{Rendered, Settings, render};
use crate::source::{Git, SourceError, Turns};

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
    /// To call git servers.
    pub turns: Turns,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A rendering gave nothing.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
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
        Self { turns: Turns::default(), small: Arc::new(Semaphore::new(places)), large: Arc::new(Semaphore::new(1)) }
    }
}

impl Budget {
    /// Reads and renders the manifests of a commit under a path.
    pub(super) async fn render(
        &self,
        git: &Git,
        commit: &str,
        path: &RepoPath,
        settings: &Settings,
    ) -> Result<Rendered, ReadError> {
        let small = git.snapshot_up_to(commit, path, SMALL_BYTES, || place(&self.small)).await?;
        let (snapshot, place) = match small {
            (Some(snapshot), place) => (snapshot, place),
            (None, small) => {
                drop(small);
                match git.snapshot_up_to(commit, path, usize::MAX, || place(&self.large)).await? {
                    (Some(snapshot), place) => (snapshot, place),
                    // Whatever is larger is refused with the reason.
                    (None, place) => (git.snapshot(commit, path).await?, place),
                }
            }
        };
        let settings = settings.clone();
        Ok(run(place, move || render(&snapshot, &settings)).await?)
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

    #[tokio::test]
    async fn a_computation_that_panics_gives_its_place_back() {
        let budget = Budget::default();
        for _ in 0..2 * PLACES.1 {
            assert!(budget.compute(1, || assert_eq!(1, 2, "on purpose")).await.is_err());
        }
        assert_eq!(budget.compute(1, || 3).await.ok(), Some(3));
    }
}
