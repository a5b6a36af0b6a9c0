//! The async face of a [`Remote`]: blocking calls on threads of their own, with time limits.
//!
//! Calls to a server wait for their turn among those of all syncs ([`Turns`]); what only reads the clone does not.
//!
//! One `Git` has one thread at most. A call that is given up, because its time is over or because nobody waits
//! for it any more, asks the thread to end and leaves it behind; until it has ended, further calls are answered
//! with [`SourceError::Busy`], so that a server that hangs costs one thread and not one a minute. A `Git` that is made for
//! one fetch, of a remote base, cannot do that; there the turns bound the threads.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::bundle::{Bundle, Dependencies, Layout};
use super::error::SourceError;
use super::libgit2::GitRemote;
use super::login::Login;
use super::remote::{Remote, Revision};
use super::snapshot::{Limits, Snapshot};
use super::turns::{Turns, server};
use crate::config::{RepoPath, Source, SyncConfig};
use crate::object::Commit;

/// How long a call waits for its turn.
const TURN: Duration = Duration::from_mins(2);
/// A call that gave nothing after this long is one of a server, or of a repository, that hangs.
const SLOW: Duration = Duration::from_secs(5);

/// How long callers wait, once it is their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a poll.
    pub poll: Duration,
    /// For a fetch, and for reading, which may have to clone anew.
    pub fetch: Duration,
}

impl Default for Timeouts {
    /// 30 seconds for a poll, 5 minutes for a fetch.
    fn default() -> Self {
        Self { poll: Duration::from_secs(30), fetch: Duration::from_mins(5) }
    }
}

/// One reference of one repository. Cheap to clone; clones share the thread.
#[derive(Clone)]
pub struct Git {
    shared: Arc<SharedClone>,
}

struct SharedClone {
    remote: Box<dyn Remote>,
    thread: String,
    url: String,
    timeouts: Timeouts,
    /// Host and port of the URL.
    server: String,
    turns: Turns,
    /// The last call to the server took long and gave nothing.
    slow: AtomicBool,
    turn: Arc<Semaphore>,
    state: Mutex<CloneState>,
}

#[derive(Default)]
struct CloneState {
    calls: u64,
    /// The call that has the thread.
    running: Option<u64>,
    /// It was given up.
    abandoned: bool,
}

impl Git {
    /// Does no I/O. The clone is made under `data_dir` by the first fetch.
    #[must_use]
    pub fn open(sync: &SyncConfig, data_dir: &Path) -> Self {
        Self::open_among(sync, data_dir, Turns::default())
    }

    /// The same for one of many syncs, which share these turns.
    #[must_use]
    pub fn open_among(sync: &SyncConfig, data_dir: &Path, turns: Turns) -> Self {
        let remote = GitRemote::new(sync, data_dir, Limits::default());
        Self::new(sync, remote, Timeouts::default(), turns)
    }

    /// Another remote, or other limits. Of `sync`, only the name and the source to show are used.
    #[must_use]
    pub fn with(sync: &SyncConfig, remote: impl Remote, timeouts: Timeouts) -> Self {
        Self::new(sync, remote, timeouts, Turns::default())
    }

    fn new(sync: &SyncConfig, remote: impl Remote, timeouts: Timeouts, turns: Turns) -> Self {
        Self::of(&sync.source, &format!("git-{}", sync.name), remote, timeouts, turns)
    }

    pub(super) fn of(source: &Source, thread: &str, remote: impl Remote, timeouts: Timeouts, turns: Turns) -> Self {
        let shared = SharedClone {
            remote: Box::new(remote),
            thread: thread.to_owned(),
            url: source.display_url(),
            timeouts,
            server: server(source),
            turns,
            slow: AtomicBool::new(false),
            turn: Arc::new(Semaphore::new(1)),
            state: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Proves by this from the next call on who we are; `None`: by what the URL has.
    pub fn use_login(&self, login: Option<Arc<Login>>) {
        self.shared.remote.use_login(login);
    }

    /// # Errors
    /// As [`Remote::poll`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn poll(&self) -> Result<Revision, SourceError> {
        self.call_server("polling", self.shared.timeouts.poll, Remote::poll).await
    }

    /// # Errors
    /// As [`Remote::fetch`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn fetch(&self, revision: &Revision) -> Result<Commit, SourceError> {
        let revision = revision.clone();
        self.call_server("fetching from", self.shared.timeouts.fetch, move |remote| remote.fetch(&revision)).await
    }

    /// # Errors
    /// As [`Remote::tree`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn tree(&self, commit: &str, path: &RepoPath) -> Result<String, SourceError> {
        let (commit, path) = (commit.to_owned(), path.clone());
        self.call("reading the clone of", self.shared.timeouts.fetch, move |remote| remote.tree(&commit, &path)).await
    }

    /// # Errors
    /// As [`Remote::snapshot`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn snapshot(&self, commit: &str, path: &RepoPath) -> Result<Snapshot, SourceError> {
        let (commit, path) = (commit.to_owned(), path.clone());
        let read = move |remote: &dyn Remote| remote.snapshot(&commit, &path);
        self.call("reading the clone of", self.shared.timeouts.fetch, read).await
    }

    /// Like [`Git::snapshot`], of files with no more bytes than this together, or `None`. It is read once `place` is
    /// there, which is waited for when this call has its turn, and given back with what was read.
    ///
    /// # Errors
    /// As [`Remote::snapshot`]; [`SourceError::Timeout`] and [`SourceError::Busy`]. `place` is asked for a place among all
    /// syncs, for as long as it takes: meanwhile the server can be polled as ever.
    pub async fn snapshot_up_to<P, F: Future<Output = P>>(
        &self,
        commit: &str,
        path: &RepoPath,
        bytes: usize,
        place: impl FnMut() -> F,
    ) -> Result<(Option<Snapshot>, P), SourceError> {
        let (commit, path) = (commit.to_owned(), path.clone());
        self.read_placed(place, move |remote| remote.snapshot_up_to(&commit, &path, bytes)).await
    }

    /// Everything below a directory, with a place as in [`Git::snapshot_up_to`].
    ///
    /// # Errors
    /// As [`Remote::bundle_up_to`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn bundle_up_to<P, F: Future<Output = P>>(
        &self,
        commit: &str,
        root: &RepoPath,
        bytes: usize,
        place: impl FnMut() -> F,
    ) -> Result<(Option<Bundle>, P), SourceError> {
        let (commit, root) = (commit.to_owned(), root.clone());
        self.read_placed(place, move |remote| remote.bundle_up_to(&commit, &root, bytes)).await
    }

    /// Everything below a directory, whatever its size within the limits.
    ///
    /// # Errors
    /// As [`Remote::bundle`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn bundle<P, F: Future<Output = P>>(
        &self,
        commit: &str,
        root: &RepoPath,
        place: impl FnMut() -> F,
    ) -> Result<(Bundle, P), SourceError> {
        let (commit, root) = (commit.to_owned(), root.clone());
        self.read_placed(place, move |remote| remote.bundle(&commit, &root)).await
    }

    /// What a path holds for renderers.
    ///
    /// # Errors
    /// As [`Remote::layout`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn layout(&self, commit: &str, path: &RepoPath) -> Result<Layout, SourceError> {
        let (commit, path) = (commit.to_owned(), path.clone());
        self.call("reading the clone of", self.shared.timeouts.fetch, move |remote| remote.layout(&commit, &path)).await
    }

    /// A hash over what a rendering depends on.
    ///
    /// # Errors
    /// As [`Remote::fingerprint`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn fingerprint(&self, commit: &str, dependencies: Arc<Dependencies>) -> Result<String, SourceError> {
        let commit = commit.to_owned();
        let read = move |remote: &dyn Remote| remote.fingerprint(&commit, &dependencies);
        self.call("reading the clone of", self.shared.timeouts.fetch, read).await
    }

    /// # Errors
    /// As [`Remote::commit_object`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn commit_object(&self, commit: &str) -> Result<Vec<u8>, SourceError> {
        let commit = commit.to_owned();
        let read = move |remote: &dyn Remote| remote.commit_object(&commit);
        self.call("reading the clone of", self.shared.timeouts.fetch, read).await
    }

    /// # Errors
    /// As [`Remote::tag_object`]; [`SourceError::Timeout`] and [`SourceError::Busy`].
    pub async fn tag_object(&self, revision: &Revision) -> Result<Option<Vec<u8>>, SourceError> {
        let revision = revision.clone();
        let read = move |remote: &dyn Remote| remote.tag_object(&revision);
        self.call("reading the clone of", self.shared.timeouts.fetch, read).await
    }

    async fn read_placed<T: Send + 'static, P, F: Future<Output = P>>(
        &self,
        mut place: impl FnMut() -> F,
        read: impl FnOnce(&dyn Remote) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<(T, P), SourceError> {
        loop {
            let placed = place().await;
            // Nobody has a place and waits for something of their own.
            if let Ok(turn) = Arc::clone(&self.shared.turn).try_acquire_owned() {
                let limit = self.shared.timeouts.fetch;
                return self.call_with(turn, "reading the clone of", limit, async { Ok(placed) }, read).await;
            }
            drop(placed);
            drop(self.turn(self.shared.timeouts.fetch).await?);
        }
    }

    /// A call for which the server may be asked.
    async fn call_server<T: Send + 'static>(
        &self,
        action: &'static str,
        limit: Duration,
        work: impl FnOnce(&dyn Remote) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let shared = &self.shared;
        let slow = shared.slow.load(Ordering::Relaxed);
        let mut began = Instant::now();
        let kept = Arc::new(OnceLock::new());
        let turn = async {
            let turn = timeout(TURN, shared.turns.turn(&shared.server, slow)).await;
            began = Instant::now();
            let turn = turn.map_err(|_| SourceError::Crowded { url: shared.url.clone(), action, limit: TURN })?;
            // Else the turn ends with the call.
            Ok(if shared.turns.until_ended() { kept.set(turn).err() } else { Some(turn) })
        };
        let of_thread = Arc::clone(&kept);
        let work = move |remote: &dyn Remote| {
            let result = work(remote);
            drop(of_thread);
            result
        };
        let result = self.call_once(action, limit, turn, work).await;
        match &result {
            Ok(_) => shared.slow.store(false, Ordering::Relaxed),
            Err(SourceError::Timeout { .. }) => shared.slow.store(true, Ordering::Relaxed),
            Err(SourceError::Busy { .. } | SourceError::Crowded { .. }) => {}
            Err(_) if began.elapsed() >= SLOW => shared.slow.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        result.map(|(value, _)| value)
    }

    /// A call that reads the clone.
    async fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        limit: Duration,
        work: impl FnOnce(&dyn Remote) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        Ok(self.call_once(action, limit, async { Ok(()) }, work).await?.0)
    }

    /// Waits for this sync's thread, then for a place among all syncs, and then for the work: in this order, so that
    /// nobody has a place and waits for something of their own.
    async fn call_once<T: Send + 'static, P>(
        &self,
        action: &'static str,
        limit: Duration,
        place: impl Future<Output = Result<P, SourceError>>,
        work: impl FnOnce(&dyn Remote) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<(T, P), SourceError> {
        let turn = self.turn(limit).await?;
        self.call_with(turn, action, limit, place, work).await
    }

    /// Waits for this sync's thread.
    async fn turn(&self, limit: Duration) -> Result<OwnedSemaphorePermit, SourceError> {
        let shared = &self.shared;
        let busy = || SourceError::Busy { url: shared.url.clone() };
        if shared.state().abandoned {
            return Err(busy());
        }
        let turn = timeout(limit, Arc::clone(&shared.turn).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(busy()) };
        Ok(turn)
    }

    async fn call_with<T: Send + 'static, P>(
        &self,
        turn: OwnedSemaphorePermit,
        action: &'static str,
        limit: Duration,
        place: impl Future<Output = Result<P, SourceError>>,
        work: impl FnOnce(&dyn Remote) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<(T, P), SourceError> {
        let shared = &self.shared;
        let place = place.await?;
        let deadline = Instant::now() + limit;
        let (answer, answered) = oneshot::channel();
        let call = Call::begin(shared);
        let ending = Ending { shared: Arc::clone(shared), _turn: turn };
        let spawned = std::thread::Builder::new().name(shared.thread.clone()).spawn(move || {
            let result = work(&*ending.shared.remote);
            // The thread counts as ended before the answer is there, so that the next call finds it free.
            drop(ending);
            // Nobody may wait any more.
            let _ = answer.send(result);
        });
        spawned.map_err(|cause| SourceError::Storage {
            action: "start a thread for",
            path: shared.url.clone().into(),
            cause,
        })?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result.map(|value| (value, place)),
            // The thread panicked, which takes a fault in libgit2's bindings.
            Ok(Err(_)) => Err(SourceError::Unreachable {
                url: shared.url.clone(),
                detail: format!("{action} it ended without an answer"),
            }),
            Err(_) => {
                drop(call);
                Err(SourceError::Timeout { url: shared.url.clone(), action, limit })
            }
        }
    }
}

impl SharedClone {
    fn state(&self) -> MutexGuard<'_, CloneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller's side of a call. Dropped while the thread still works, it gives the call up: also when the
/// caller's future is dropped.
struct Call<'a> {
    shared: &'a SharedClone,
    id: u64,
}

impl<'a> Call<'a> {
    fn begin(shared: &'a SharedClone) -> Self {
        let mut state = shared.state();
        // Under the lock: who gives the call up from here on is not overheard.
        shared.remote.begin();
        state.calls += 1;
        state.running = Some(state.calls);
        state.abandoned = false;
        Self { shared, id: state.calls }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // Under the lock, so that the next call cannot have begun.
        if state.running == Some(self.id) {
            state.abandoned = true;
            self.shared.remote.cancel();
        }
    }
}

/// The thread's side of a call.
struct Ending {
    shared: Arc<SharedClone>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.running = None;
        state.abandoned = false;
    }
}

#[cfg(test)]
mod tests;
