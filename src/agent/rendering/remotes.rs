//! What a render needs of other hosts, fetched once for all syncs and kept on disk: what is pinned for as long as it is there,
//! anything else until it is compared with its source again.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::super::budget::{Budget, Panicked};
use crate::config::{Endpoint, Reference, RepoPath};
use crate::fetch::{Download, FetchError, Login, Store, Web};
use crate::limit::Limiter;
use crate::render::{Fetched, FetchedContent, Want, WantKind, pack};
use crate::source::{Git, SourceError};

/// What was compared with its source so lately is not asked for again: 100 syncs of one chart ask once.
const FRESH: Duration = Duration::from_mins(1);
/// How long one file may take.
const FETCH_TIME: Duration = Duration::from_mins(2);
/// How long the comparison of one with its source may take, while there is one to go on with.
const COMPARE_TIME: Duration = Duration::from_secs(20);
/// Bytes of an index, of a packed chart, and of a manifest.
const INDEX_BYTES: usize = 64 << 20;
const ARCHIVE_BYTES: usize = 32 << 20;
const FILE_BYTES: usize = 16 << 20;
/// Fetches at once, and those from one host.
const AT_ONCE: usize = 16;
const AT_ONE_HOST: usize = 4;
/// Sources that are remembered.
const MOST_CHECKED: usize = 2000;

/// Why something is not to be had.
#[derive(Debug, Error)]
pub enum RemoteError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Git(#[from] SourceError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// Clones share what was fetched.
#[derive(Clone)]
pub struct Remotes {
    shared: Arc<Shared>,
}

struct Shared {
    web: Web,
    store: Store,
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

/// What is known of an entry of the store.
#[derive(Clone)]
struct Checked {
    at: Instant,
    /// What the source calls this content: an `ETag`, or a commit.
    validator: Option<String>,
}

/// Something that was fetched.
pub struct Answer {
    pub fetched: Fetched,
    /// Why it could not be compared, although that was due.
    pub warning: Option<String>,
}

impl Remotes {
    /// Does no I/O.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            shared: Arc::new(Shared {
                web: Web,
                store: Store::new(data_dir),
                data_dir: data_dir.to_owned(),
                hosts: Limiter::new(AT_ONCE, AT_ONE_HOST),
                same: Limiter::new(usize::MAX, 1),
                checked: Mutex::default(),
            }),
        }
    }

    /// What is wanted, out of the store where that is good enough. `login` is a name for the credentials, and what they are.
    ///
    /// # Errors
    /// It is not in the store, and cannot be fetched.
    pub(super) async fn get(
        &self,
        want: &Want,
        login: Option<(&str, &Login)>,
        budget: &Budget,
    ) -> Result<Answer, RemoteError> {
        // What one may read with credentials, another may not read without.
        let key = format!("{}\0{}", want.key(), login.map_or("", |(name, _)| name));
        let _alone = self.shared.same.place(&key).await;
        let stored = self.stored(&key).await?;
        let checked = self.checked(&key);
        let fresh = checked.as_ref().is_some_and(|checked| checked.at.elapsed() < FRESH);
        let answer = |bytes: Vec<u8>, warning| Answer { fetched: fetched(want, bytes), warning };
        if let Some(bytes) = &stored
            && (fresh || want.pinned)
        {
            return Ok(answer(bytes.clone(), None));
        }
        let validator = stored.as_ref().and(checked).and_then(|checked| checked.validator);
        let host = Endpoint::of(&want.url).map(|endpoint| endpoint.host).unwrap_or_default();
        let place = self.shared.hosts.place(&host).await;
        let limit = if stored.is_some() { COMPARE_TIME } else { FETCH_TIME };
        let login = login.map(|(_, login)| login);
        let downloaded = Box::pin(self.download(want, login, validator.as_deref(), limit, budget)).await;
        drop(place);
        match (downloaded, stored) {
            (Ok(Download::New { bytes, etag }), _) => {
                self.keep(&key, &bytes).await?;
                self.note(key, etag);
                Ok(answer(bytes, None))
            }
            (Ok(Download::Unchanged), Some(bytes)) => {
                self.note(key, validator);
                Ok(answer(bytes, None))
            }
            (Err(error), Some(bytes)) => {
                let warning = format!("{error}; what was fetched before stays in use");
                Ok(answer(bytes, Some(warning)))
            }
            (Err(error), None) => Err(error),
            (Ok(Download::Unchanged), None) => {
                Err(FetchError::Unreachable { url: want.url.clone(), detail: "it answers 304 to no condition".into() }
                    .into())
            }
        }
    }

    async fn download(
        &self,
        want: &Want,
        login: Option<&Login>,
        validator: Option<&str>,
        limit: Duration,
        budget: &Budget,
    ) -> Result<Download, RemoteError> {
        let web = &self.shared.web;
        let new = |bytes| Download::New { bytes, etag: None };
        Ok(match want.kind {
            WantKind::Index => web.get(&want.url, login, validator, INDEX_BYTES, limit).await?,
            WantKind::File => web.get(&want.url, login, validator, FILE_BYTES, limit).await?,
            WantKind::Tags => new(web.tags(&want.url, login, limit).await?.join("\n").into_bytes()),
            WantKind::Archive if want.url.starts_with("oci://") => {
                new(web.chart(&want.url, login, ARCHIVE_BYTES, limit).await?)
            }
            WantKind::Archive => {
                let download = web.get(&want.url, login, None, ARCHIVE_BYTES, limit).await?;
                if let Download::New { bytes, .. } = &download {
                    check_digest(want, bytes)?;
                }
                download
            }
            WantKind::Git => Box::pin(self.commit(want, validator, budget)).await?,
        })
    }

    /// The files of a commit, out of a clone that is made for that and removed.
    async fn commit(&self, want: &Want, validator: Option<&str>, budget: &Budget) -> Result<Download, RemoteError> {
        let data_dir = &self.shared.data_dir;
        let storage = |cause| FetchError::Storage { action: "create a directory in", path: data_dir.clone(), cause };
        std::fs::create_dir_all(data_dir).map_err(storage)?;
        let directory = tempfile::Builder::new().prefix("base-").tempdir_in(data_dir).map_err(storage)?;
        let is_commit = want.reference.len() == 40 && want.reference.bytes().all(|byte| byte.is_ascii_hexdigit());
        let reference = match want.reference.as_str() {
            id if is_commit => Reference::Commit(id.to_ascii_lowercase().into()),
            "" => Reference::Named("HEAD".into()),
            name => Reference::Named(name.into()),
        };
        let git = Git::elsewhere(&want.url, reference, directory.path(), budget.turns.clone());
        let revision = git.poll().await?;
        if validator == Some(&revision.commit) {
            return Ok(Download::Unchanged);
        }
        git.fetch(&revision).await?;
        let (bundle, place) = budget.bundle(&git, &revision.commit, &RepoPath::default()).await?;
        let packed = place.run(move || pack(&bundle)).await?.map_err(storage)?;
        Ok(Download::New { bytes: packed, etag: Some(revision.commit) })
    }

    async fn stored(&self, key: &str) -> Result<Option<Vec<u8>>, Panicked> {
        let (store, key) = (self.shared.store.clone(), key.to_owned());
        spawn_blocking(move || store.get(&key)).await.map_err(|_| Panicked)
    }

    async fn keep(&self, key: &str, bytes: &[u8]) -> Result<(), RemoteError> {
        let (store, key, bytes) = (self.shared.store.clone(), key.to_owned(), bytes.to_vec());
        Ok(spawn_blocking(move || store.put(&key, &bytes)).await.map_err(|_| Panicked)??)
    }

    fn checked(&self, key: &str) -> Option<Checked> {
        self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn note(&self, key: String, validator: Option<String>) {
        let mut checked = self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= MOST_CHECKED {
            checked.retain(|_, checked| checked.at.elapsed() < FRESH);
        }
        checked.insert(key, Checked { at: Instant::now(), validator });
    }
}

fn fetched(want: &Want, bytes: Vec<u8>) -> Fetched {
    let digest = hexadecimal(&bytes).into();
    let bytes = Arc::from(bytes);
    let content = match want.kind {
        WantKind::Git => FetchedContent::Tree(bytes),
        WantKind::Index | WantKind::Tags | WantKind::Archive | WantKind::File => FetchedContent::File(bytes),
    };
    Fetched { want: want.clone(), content, digest }
}

/// An archive is the one that its index was written for.
fn check_digest(want: &Want, bytes: &[u8]) -> Result<(), FetchError> {
    let found = hexadecimal(bytes);
    if want.digest.is_empty() || want.digest.eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    Err(FetchError::Digest { url: want.url.clone(), expected: want.digest.clone(), found })
}

/// SHA-256.
fn hexadecimal(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
