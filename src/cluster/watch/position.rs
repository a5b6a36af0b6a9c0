//! From where a watch goes on, and whether that is still a version of the past. An API server whose history
//! went back (etcd was restored) takes a version of the future without a word, and sends nothing until
//! it gets there.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::timeout;

use super::{Ended, Stream, Trouble, TroubleKind, Watch};
use crate::cluster::ApiError;
use crate::cluster::list::KindList;
use crate::cluster::store::{Outdated, Suspicion, Verdict, verdict};
use crate::object::version::is_older;

/// What was learned over all connections of one watch.
#[derive(Default)]
pub(super) struct WatchProgress {
    /// Up to where everything was received.
    seen: Option<Arc<str>>,
    /// The server sends bookmarks.
    bookmarks: bool,
    /// The version to go on from may be one of the future by now.
    pub unsure: bool,
}

impl WatchProgress {
    /// A stream has ended, `early` when that was before the time that it was asked for.
    pub fn watched(&mut self, stream: &Stream<'_>, early: bool) {
        let silent = self.bookmarks && !stream.bookmarks && !stream.changed;
        self.unsure |= early || silent;
        self.bookmarks |= stream.bookmarks;
        self.seen = Some(Arc::clone(&stream.version));
    }
}

impl Watch {
    /// Asks whether a version is still one of the past, before the watch goes on from there.
    pub(super) async fn go_on(&self, version: Arc<str>, progress: &mut WatchProgress) -> Ended {
        let (gk, limit, selector) = (&self.sink.gk, self.sink.limits().list, self.selector());
        let now = self.cluster.version_now(gk, &self.resource, self.place.as_deref(), &selector);
        match timeout(limit, now).await.unwrap_or(Err(ApiError::Timeout(limit))) {
            Ok(now) => {
                progress.unsure = false;
                Ended::Well((!is_older(&now, &version)).then_some(version))
            }
            Err(error) => self.failed((error, None), Some(version)),
        }
    }

    /// Takes in a LIST, unless it is of the past.
    pub(super) async fn take_in(&self, listed: KindList, progress: &mut WatchProgress) -> Ended {
        let outdated = self.sink.outdated(&self.place, &listed, progress.seen.as_ref());
        let KindList { objects, version } = listed;
        match outdated {
            None => self.sink.listed(&self.place, objects, &version),
            Some(Outdated { seen, suspicions }) => match self.examine(&suspicions).await {
                Err(error) => return self.failed((error, None), None),
                Ok(Verdict::Lags) => {
                    let error = format!(
                        "the API server lists it as of resource version {version}, and {seen} was seen before: its cache lags"
                    );
                    let kind = TroubleKind::Answer;
                    return Ended::Badly(Trouble { error, from: None, retry_after: None, worked: false, kind });
                }
                Ok(Verdict::WentBack) => {
                    self.sink.listed_anew(&self.place, objects, &version);
                    self.cluster.history().suspect();
                }
            },
        }
        progress.seen = Some(Arc::clone(&version));
        progress.unsure = false;
        Ended::Well(Some(version))
    }

    /// Asks about single objects, of which etcd itself says how they are.
    async fn examine(&self, suspicions: &[Suspicion]) -> Result<Verdict, ApiError> {
        let reads = suspicions.iter().map(|suspicion| self.cluster.read_one(&suspicion.id, &self.resource));
        let now = try_join_all(reads).await?;
        let now: Vec<_> = now.into_iter().map(|live| live.map(|live| live.resource_version)).collect();
        Ok(verdict(suspicions, &now))
    }
}
