//! What a render needs of other hosts, fetched once for all syncs and kept on disk: what is pinned for as long as it is there,
//! anything else until it is compared with its source again.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::task::spawn_blocking;

use super::super::budget::{Budget, Panicked};
use super::rounds::MOST_FETCHED;
use crate::config::{Endpoint, Reference, RepoPath, Source};
use crate::fetch::{CachedFile, Download, FetchCache, FetchError, FetchTimeouts, Login, Web, sha256};
use crate::limit::Limiter;
use crate::object::PlainUrl;
use crate::render::{Fetched, FetchedContent, Want, WantKind, pack};
use crate::source::{RemoteBase, SourceError, Timeouts};

/// What was compared with its source so lately is not asked for again: 100 syncs of one chart ask once.
const FRESH: Duration = Duration::from_mins(1);
/// How long one file may take.
const FETCH_TIME: Duration = Duration::from_mins(2);
/// How soon a source must answer while there is something to go on with. Content that is newer then has its time.
const COMPARE_TIME: Duration = Duration::from_secs(20);
/// Bytes of an index, of a packed chart, and of a manifest.
const INDEX_BYTES: usize = 64 << 20;
const ARCHIVE_BYTES: usize = 32 << 20;
const FILE_BYTES: usize = 16 << 20;
/// Fetches at once, and those from one server.
const AT_ONCE: usize = 16;
const AT_ONE_SERVER: usize = 2;
/// Sources that are remembered.
const MOST_CHECKED: usize = 2000;

/// Why something is not to be had.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// A fetch by HTTP or from a registry failed, what it gave is too large, or it cannot be stored.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The commit of a remote base cannot be found, fetched or read.
    #[error(transparent)]
    Git(#[from] SourceError),
    /// A computation on what was fetched panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// Another sync has asked meanwhile.
    #[error("{0}")]
    RemotesState(Arc<str>),
}

/// Clones share what was fetched.
#[derive(Clone)]
pub struct Remotes {
    shared: Arc<RemotesState>,
}

struct RemotesState {
    web: Web,
    store: FetchCache,
    /// Clones of remote bases are made in it, and removed when they were read.
    data_dir: PathBuf,
    hosts: Limiter,
    /// One at a time of the same thing, so that who comes second finds it in the store.
    same: Limiter,
    checked: Mutex<HashMap<String, Checked>>,
}

impl fmt::Debug for Remotes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remotes").field("data_dir", &self.shared.data_dir).finish_non_exhaustive()
    }
}

/// What is known of a source.
#[derive(Clone)]
struct Checked {
    at: Instant,
    /// Why it was of no use, where it was not.
    failure: Option<Arc<str>>,
}

/// Something that was fetched.
pub struct RemoteContent {
    pub fetched: Fetched,
    /// Why it could not be compared with its source, although that was due.
    pub warning: Option<String>,
}

/// What to do about something that is wanted. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Out of the store, and why it could not be compared lately.
    Serve(Option<Arc<str>>),
    /// It has just failed for somebody else who waited for the same.
    Fail(Arc<str>),
    Ask,
}

/// `checked` is the time since the source was asked last, and what was wrong; `waited` how long it was waited for others who
/// want the same, and `fresh` how old a comparison may be.
fn next(
    stored: bool,
    pinned: bool,
    checked: Option<(Duration, Option<&Arc<str>>)>,
    waited: Duration,
    fresh: Duration,
) -> Next {
    match checked {
        Some((age, failure)) if stored && age < fresh => Next::Serve(failure.cloned()),
        _ if stored && pinned => Next::Serve(None),
        // Else a hundred syncs wait for a server that hangs, one after another.
        Some((age, Some(failure))) if !stored && age < waited => Next::Fail(Arc::clone(failure)),
        _ => Next::Ask,
    }
}

impl Remotes {
    /// Does no I/O.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            shared: Arc::new(RemotesState {
                web: Web,
                store: FetchCache::new(data_dir),
                data_dir: data_dir.to_owned(),
                hosts: Limiter::new(AT_ONCE, AT_ONE_SERVER),
                same: Limiter::new(usize::MAX, 1),
                checked: Mutex::default(),
            }),
        }
    }

    /// What is at this path, on whatever host, may be other than it was: it is compared with its source when it is wanted next.
    pub fn outdated(&self, path: &str) {
        let mut checked = self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.retain(|key, _| !key.to_lowercase().contains(path));
    }

    /// What is wanted, out of the store where that is good enough. `login` is a name for the credentials, and what they are;
    /// what is not pinned is compared with its source where that was not done within `refresh`, or a minute.
    ///
    /// # Errors
    /// It is not in the store, and cannot be fetched.
    pub(super) async fn get(
        &self,
        want: &Want,
        login: Option<(&str, &Login)>,
        refresh: Duration,
        budget: &Budget,
    ) -> Result<RemoteContent, RemoteError> {
        // What one may read with credentials, another may not read without.
        let key = format!("{}\0{}", want.key(), login.map_or("", |(name, _)| name));
        let began = Instant::now();
        let _alone = self.shared.same.place(&key).await;
        let stored = self.stored(&key).await?;
        let checked = self.checked(&key);
        let checked = checked.as_ref().map(|checked| (checked.at.elapsed(), checked.failure.as_ref()));
        match next(stored.is_some(), want.pinned, checked, began.elapsed(), FRESH.min(refresh)) {
            Next::Serve(failure) => {
                let warning = failure.as_deref().map(in_use);
                if let Some(entry) = stored {
                    return Ok(RemoteContent { fetched: fetched(want, entry.bytes).await?, warning });
                }
            }
            Next::Fail(failure) => return Err(RemoteError::RemotesState(failure)),
            Next::Ask => {}
        }
        let server = Endpoint::of(&want.url).map(|endpoint| endpoint.to_string()).unwrap_or_default();
        let place = self.shared.hosts.place(&server).await;
        let validator = stored.as_ref().and_then(|entry| entry.validator.clone());
        let answer = if stored.is_some() { COMPARE_TIME } else { FETCH_TIME };
        let patience = FetchTimeouts { answer, content: FETCH_TIME };
        let login = login.map(|(_, login)| login);
        let downloaded = Box::pin(self.download(want, login, validator.as_deref(), patience, budget)).await;
        drop(place);
        let failure = downloaded.as_ref().err().map(|error| error.to_string().into());
        self.note(key.clone(), failure);
        match (downloaded, stored) {
            (Ok(Download::New { bytes, validator }), _) => {
                let bytes = self.keep(key, CachedFile { bytes, validator }).await?;
                Ok(RemoteContent { fetched: fetched(want, bytes).await?, warning: None })
            }
            (Ok(Download::Unchanged), Some(entry)) => {
                Ok(RemoteContent { fetched: fetched(want, entry.bytes).await?, warning: None })
            }
            (Err(error), Some(entry)) => Ok(RemoteContent {
                fetched: fetched(want, entry.bytes).await?,
                warning: Some(in_use(&error.to_string())),
            }),
            (Err(error), None) => Err(error),
            (Ok(Download::Unchanged), None) => {
                let detail = "it answers 304 to a request without a condition".to_owned();
                Err(FetchError::Answer { url: PlainUrl::of(&want.url), detail }.into())
            }
        }
    }

    async fn download(
        &self,
        want: &Want,
        login: Option<&Login>,
        validator: Option<&str>,
        patience: FetchTimeouts,
        budget: &Budget,
    ) -> Result<Download, RemoteError> {
        let web = &self.shared.web;
        let new = |bytes| Download::New { bytes, validator: None };
        let download = match want.kind {
            WantKind::Index => web.get(&want.url, login, validator, INDEX_BYTES, patience).await?,
            WantKind::File => web.get(&want.url, login, validator, FILE_BYTES, patience).await?,
            WantKind::Tags => new(web.tags(&want.url, login, patience).await?.join("\n").into_bytes()),
            WantKind::Archive if want.url.starts_with("oci://") => {
                new(web.chart(&want.url, login, ARCHIVE_BYTES, patience).await?)
            }
            WantKind::Archive => web.get(&want.url, login, validator, ARCHIVE_BYTES, patience).await?,
            WantKind::Git => Box::pin(self.commit(want, validator, patience, budget)).await?,
        };
        let Download::New { bytes, validator } = download else { return Ok(Download::Unchanged) };
        let want = want.clone();
        let checked = spawn_blocking(move || check(&want, &bytes).map(|()| bytes));
        Ok(Download::New { bytes: checked.await.map_err(|_| Panicked)??, validator })
    }

    /// The files of a commit, out of a clone that is made for that and removed.
    async fn commit(
        &self,
        want: &Want,
        validator: Option<&str>,
        patience: FetchTimeouts,
        budget: &Budget,
    ) -> Result<Download, RemoteError> {
        let is_commit = want.reference.len() == 40 && want.reference.bytes().all(|byte| byte.is_ascii_hexdigit());
        let reference = match want.reference.as_str() {
            id if is_commit => Reference::Commit(id.to_ascii_lowercase().into()),
            "" => Reference::Named("HEAD".into()),
            name => Reference::Named(name.into()),
        };
        let source = Source { url: want.url.as_str().into(), reference, auth: None, verify: None };
        let timeouts = Timeouts { poll: patience.answer, fetch: patience.content };
        let base = RemoteBase::new(&source, &self.shared.data_dir, timeouts, budget.base_turns.clone());
        let read = async {
            let revision = base.git.poll().await?;
            if validator == Some(&revision.commit) {
                return Ok(None);
            }
            base.git.fetch(&revision).await?;
            let bundle = budget.bundle_up_to(&base.git, &revision.commit, &RepoPath::default(), MOST_FETCHED).await?;
            Ok::<_, RemoteError>(Some((revision, bundle)))
        };
        let read = read.await;
        // What is left behind where this is given up goes with the clones that no sync uses.
        spawn_blocking(move || base.remove()).await.map_err(|_| Panicked)?;
        let Some((revision, bundle)) = read? else { return Ok(Download::Unchanged) };
        let Some((bundle, place)) = bundle else {
            return Err(FetchError::TooLarge { url: PlainUrl::of(&want.url), limit_bytes: MOST_FETCHED }.into());
        };
        let packed = place.run(move || pack(&bundle)).await?;
        let storage = |cause| FetchError::Storage { action: "pack", path: self.shared.data_dir.clone(), cause };
        Ok(Download::New { bytes: packed.map_err(storage)?, validator: Some(revision.commit) })
    }

    async fn stored(&self, key: &str) -> Result<Option<CachedFile>, Panicked> {
        let (store, key) = (self.shared.store.clone(), key.to_owned());
        spawn_blocking(move || store.get(&key)).await.map_err(|_| Panicked)
    }

    /// Keeps something for later, and gives its bytes back. Where there is no room for it, it serves once.
    async fn keep(&self, key: String, entry: CachedFile) -> Result<Vec<u8>, Panicked> {
        let store = self.shared.store.clone();
        let kept = spawn_blocking(move || {
            if let Err(error) = store.put(&key, &entry) {
                tracing::warn!(%error, "what was fetched cannot be kept, and will be fetched again");
            }
            entry.bytes
        });
        kept.await.map_err(|_| Panicked)
    }

    fn checked(&self, key: &str) -> Option<Checked> {
        self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn note(&self, key: String, failure: Option<Arc<str>>) {
        let mut checked = self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= MOST_CHECKED {
            checked.retain(|_, checked| checked.at.elapsed() < FRESH);
        }
        checked.insert(key, Checked { at: Instant::now(), failure });
    }
}

fn in_use(failure: &str) -> String {
    format!("{failure}; what was fetched before stays in use")
}

async fn fetched(want: &Want, bytes: Vec<u8>) -> Result<Fetched, Panicked> {
    let hashed = spawn_blocking(move || (sha256(&bytes).into(), Arc::from(bytes)));
    let (digest, bytes) = hashed.await.map_err(|_| Panicked)?;
    let content = match want.kind {
        WantKind::Git => FetchedContent::Tree(bytes),
        WantKind::Index | WantKind::Tags | WantKind::Archive | WantKind::File => FetchedContent::File(bytes),
    };
    Ok(Fetched { want: want.clone(), content, digest })
}

/// Whether something is what it is said to be, as far as that can be seen without understanding it: what is kept would be
/// used again, and objects of an empty file would be pruned.
fn check(want: &Want, bytes: &[u8]) -> Result<(), FetchError> {
    let wrong = |detail: &str| Err(FetchError::Answer { url: PlainUrl::of(&want.url), detail: detail.to_owned() });
    match want.kind {
        WantKind::File if !has_document(bytes) => wrong("there is no manifest in it"),
        WantKind::Index if !bytes.windows(ENTRIES.len()).any(|part| part == ENTRIES) => {
            wrong("it is no index of charts")
        }
        WantKind::Archive if !bytes.starts_with(&GZIP) => wrong("it is no packed chart"),
        WantKind::Archive => check_digest(want, bytes),
        WantKind::File | WantKind::Index | WantKind::Tags | WantKind::Git => Ok(()),
    }
}

/// What every index of charts has.
const ENTRIES: &[u8] = b"entries";
/// The first bytes of what gzip has packed (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether YAML has anything but comments and borders of documents in it.
fn has_document(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.into_iter().any(|line| !line.is_empty() && !line.starts_with(b"#") && line != b"---" && line != b"...")
}

/// An archive is the one that its index was written for.
fn check_digest(want: &Want, bytes: &[u8]) -> Result<(), FetchError> {
    let found = sha256(bytes);
    if want.digest.is_empty() || want.digest.eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    Err(FetchError::Digest { url: PlainUrl::of(&want.url), expected: want.digest.clone(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_what_it_is_said_to_be_is_not_kept() {
        let check = |kind, digest: &str, bytes: &[u8]| {
            let text = format!(r#"{{"kind": "{kind}", "url": "https://h/x", "digest": "{digest}"}}"#);
            check(&serde_json::from_str(&text).unwrap(), bytes).map_err(|error| error.to_string())
        };
        for empty in [&b""[..], b"\n\n", b"# only words\n---\n...\n", b"---\r\n  # a\r\n"] {
            assert!(check("file", "", empty).unwrap_err().contains("no manifest in it"));
        }
        for file in [&b"a: 1"[..], b"# words\n--- {a: 1}\n", b"{}", b"\xff"] {
            assert!(check("file", "", file).is_ok());
        }
        assert!(check("index", "", b"<html>").unwrap_err().contains("no index of charts"));
        assert!(check("index", "", b"apiVersion: v1\nentries: {}\n").is_ok());
        assert!(check("archive", "", b"<html>").unwrap_err().contains("no packed chart"));
        assert!(check("archive", &"0".repeat(64), &GZIP).unwrap_err().contains("has the digest sha256:"));
        assert!(check("archive", &sha256(&GZIP), &GZIP).is_ok());
    }

    #[test]
    fn a_source_is_asked_when_that_is_due_and_by_one_for_all() {
        let (fresh, second, long) = (Duration::from_mins(1), Duration::from_secs(1), Duration::from_mins(9));
        let failure: Arc<str> = "no answer".into();
        let (good, bad) = (|age| Some((age, None)), |age| Some((age, Some(&failure))));
        let none = Duration::ZERO;
        let (served, warned) = (Next::Serve(None), Next::Serve(Some(Arc::clone(&failure))));
        for (stored, pinned, checked, waited, expected) in [
            (false, true, None, none, Next::Ask),
            (false, false, None, none, Next::Ask),
            // Pinned: whatever its age, and whatever became of its source.
            (true, true, None, none, Next::Serve(None)),
            (true, true, bad(long), none, Next::Serve(None)),
            (true, false, None, none, Next::Ask),
            (true, false, good(second), none, served),
            (true, false, good(long), none, Next::Ask),
            // One that hangs is not waited for by each sync in turn.
            (true, false, bad(second), none, warned),
            (true, false, bad(long), none, Next::Ask),
            (false, true, bad(second), long, Next::Fail(Arc::clone(&failure))),
            // Who begins now asks again.
            (false, true, bad(second), none, Next::Ask),
            (false, true, good(second), none, Next::Ask),
        ] {
            let found = next(stored, pinned, checked, waited, fresh);
            assert_eq!(found, expected, "{stored} {pinned} {checked:?} {waited:?}");
        }
    }
}
