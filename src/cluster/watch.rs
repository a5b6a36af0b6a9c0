//! One watch: LIST, then WATCH from there, and again whenever that ends, until the server refuses.
//! It brings what it learns to a [`Sink`], and never asks twice without a pause unless the first
//! answer was worth it.

mod backoff;
mod kind;
mod lines;
mod pending;
mod position;
mod shared;
mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::client::{Call, Unanswered, query};
use super::observe::{JSON, METADATA, reduce};
use super::{ApiError, Cluster, Resource, has_health, with_causes};
use crate::object::names;
use backoff::WatchBackoff;
pub(super) use backoff::WatchLimits;
pub(super) use kind::keep;
use lines::Lines;
use position::WatchProgress;
pub use shared::Followed;
pub(super) use shared::{Place, Reporter, SharedWatches};
pub(super) use sink::Sink;

/// A watch that ends so much before the time that it was asked for did not end by itself.
const SLACK: Duration = Duration::from_secs(5);
/// After so many failures in a row the version to go on from is suspected as well.
const DOUBT_AFTER: u32 = 5;

/// One watch of a kind, of one namespace or of all.
struct Watch {
    cluster: Cluster,
    resource: Resource,
    place: Place,
    /// `ApplySet` id.
    set: Arc<str>,
    sink: Sink,
}

/// How a LIST or a WATCH ended.
enum Ended {
    /// As it should: watch on from this version; `None`: list what there is.
    Well(Option<Arc<str>>),
    Badly(Trouble),
    /// The server does not allow it, or has no watch of this.
    Refused(ApiError),
}

struct Trouble {
    error: String,
    /// The version to go on from; `None`: what is known is to be listed anew.
    from: Option<Arc<str>>,
    /// The pause that the server asks for.
    retry_after: Option<Duration>,
    /// It was up for a while, or brought something, before.
    worked: bool,
    kind: TroubleKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TroubleKind {
    /// The server's answer.
    Answer,
    /// The connection broke.
    Broken,
    /// No server to talk to: whoever else talks to it reports that.
    Unreachable,
    Unserved,
    Stuck,
}

impl TroubleKind {
    /// Whether the server may have been another one since, or have started again.
    fn is_of_the_connection(self) -> bool {
        matches!(self, Self::Broken | Self::Unreachable | Self::Stuck)
    }
}

/// One event of a watch (`metav1.WatchEvent`).
#[derive(Deserialize)]
struct WatchEvent {
    #[serde(rename = "type")]
    what: String,
    object: Value,
}

impl Watch {
    /// Watches until the server refuses it; gives the refusal.
    async fn run(&self) -> ApiError {
        let limits = self.sink.limits();
        let mut retries_now = self.sink.retries_now();
        let mut backoff = WatchBackoff::new(limits.pauses);
        let mut from: Option<Arc<str>> = None;
        let mut progress = WatchProgress::default();
        let mut failures = 0;
        let mut since: Option<Instant> = None;
        loop {
            retries_now.mark_unchanged();
            let ended = match from.take() {
                None => self.list(&mut progress).await,
                Some(version) if progress.unsure => self.go_on(version, &mut progress).await,
                Some(version) => self.watch(version, &mut progress).await,
            };
            let trouble = match ended {
                Ended::Well(version) => {
                    from = version;
                    continue;
                }
                Ended::Badly(trouble) => trouble,
                Ended::Refused(error) => return error,
            };
            progress.unsure |= trouble.kind.is_of_the_connection();
            if trouble.worked {
                // A retry was about the attempt that has since gone well.
                retries_now.mark_unchanged();
                backoff.reset();
                (failures, since) = (0, None);
            }
            failures += 1;
            from = trouble.from.filter(|_| failures % DOUBT_AFTER != 0);
            let began = *since.get_or_insert_with(Instant::now);
            match trouble.kind {
                TroubleKind::Unserved => backoff.slow_down(limits.unserved),
                TroubleKind::Answer | TroubleKind::Broken if began.elapsed() >= limits.reported_after => {
                    let gk = &self.sink.gk;
                    self.sink.trouble(|| {
                        format!("cannot watch {gk}, so it is listed once per cycle until that works: {}", trouble.error)
                    });
                }
                TroubleKind::Stuck => {
                    self.sink.trouble(|| format!("the watch of {} is begun anew: {}", self.sink.gk, trouble.error));
                }
                TroubleKind::Answer | TroubleKind::Broken | TroubleKind::Unreachable => {}
            }
            let retry_after = trouble.retry_after.unwrap_or_default().min(limits.longest_retry_after);
            tokio::select! {
                () = sleep(backoff.pause(retry_after)) => {}
                // The sender lives as long as the sink.
                Ok(()) = retries_now.changed() => backoff.reset(),
            }
        }
    }

    fn selector(&self) -> String {
        format!("{}={}", names::PART_OF, self.set)
    }

    async fn list(&self, progress: &mut WatchProgress) -> Ended {
        let Ok(_permit) = self.sink.lists().acquire().await else { return self.failed((lost(), None), None) };
        let limit = self.sink.limits().list;
        let selector = self.selector();
        let list = self.cluster.list(&self.sink.gk, &self.resource, self.place.as_deref(), Some(&selector));
        let ended = match timeout(limit, list).await.unwrap_or(Err(ApiError::Timeout(limit))) {
            Ok(listed) => self.take_in(listed, progress).await,
            Err(error) => self.failed((error, None), None),
        };
        if matches!(ended, Ended::Badly(_)) {
            self.sink.settle();
        }
        ended
    }

    async fn watch(&self, version: Arc<str>, progress: &mut WatchProgress) -> Ended {
        let limits = self.sink.limits();
        let seconds = fastrand::u64(limits.timeout_seconds.clone());
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}&labelSelector={}",
            self.resource.collection(self.place.as_deref()),
            query(&version),
            query(&self.selector()),
        );
        let accept = if has_health(&self.sink.gk) { JSON } else { METADATA };
        let call = Call { verb: "watch", method: Method::GET, path, accept, body: None };
        let body = match self.cluster.open(&call, limits.headers).await {
            Ok(body) => body,
            Err(unanswered) => return self.failed(unanswered, Some(version)),
        };
        self.sink.up(&self.place);
        let mut stream =
            Stream { watch: self, body, lines: Lines::default(), version, bookmarks: false, changed: false };
        let began = Instant::now();
        let end = stream.read(Duration::from_secs(seconds)).await;
        self.sink.down(&self.place);
        let lived = began.elapsed() >= limits.lived;
        let worked = lived || stream.changed;
        let early = matches!(end, End::Over) && began.elapsed() + SLACK < Duration::from_secs(seconds);
        progress.watched(&stream, early);
        let version = Some(stream.version);
        let badly = |error: String, from, kind| Ended::Badly(Trouble { error, from, retry_after: None, worked, kind });
        match (end, version) {
            (End::Over, version) if lived => Ended::Well(version),
            (End::Over, version) => badly("the API server ended it at once".into(), version, TroubleKind::Broken),
            (End::Cut(error), version) => badly(error, version, TroubleKind::Broken),
            (End::Garbled(error), _) => badly(error, None, TroubleKind::Answer),
            (End::Silent(silence), version) => {
                self.sink.away(&self.place);
                badly(format!("nothing came for {} s", silence.as_secs()), version, TroubleKind::Stuck)
            }
            (End::Error(error), version) => match self.failed((error, None), version) {
                Ended::Badly(trouble) => Ended::Badly(Trouble { worked, ..trouble }),
                ended => ended,
            },
        }
    }

    /// What a failed request means: whether to ask again, and for what.
    fn failed(&self, (error, retry_after): Unanswered, version: Option<Arc<str>>) -> Ended {
        let trouble =
            |from, kind| Ended::Badly(Trouble { error: error.to_string(), from, retry_after, worked: false, kind });
        match error.code() {
            // Not 401: credentials that are renewed any moment do not change what is allowed.
            Some(403 | 405) => Ended::Refused(error),
            Some(410) => trouble(None, TroubleKind::Answer),
            Some(404) if error.is_not_served() => {
                self.sink.unserved(&self.place);
                trouble(None, TroubleKind::Unserved)
            }
            Some(_) => trouble(version, TroubleKind::Answer),
            // A proxy that holds watches back, for one: LISTs go through, and nobody else would report it.
            None if version.is_some() && matches!(error, ApiError::Timeout(_)) => trouble(version, TroubleKind::Broken),
            None => trouble(version, TroubleKind::Unreachable),
        }
    }
}

/// The body of one WATCH.
struct Stream<'a> {
    watch: &'a Watch,
    body: Body,
    lines: Lines,
    /// Up to where everything was received.
    version: Arc<str>,
    bookmarks: bool,
    /// An event about an object came.
    changed: bool,
}

/// How the body of a WATCH ended.
enum End {
    Over,
    Cut(String),
    Silent(Duration),
    /// What came cannot be read, so that something was missed.
    Garbled(String),
    Error(ApiError),
}

impl Stream<'_> {
    async fn read(&mut self, ends_after: Duration) -> End {
        let limits = self.watch.sink.limits();
        let mut works = false;
        loop {
            let silence = if self.bookmarks { limits.silence } else { ends_after + limits.overdue };
            // A connection that holds for a while works, even if there is nothing to report.
            let wait = if works { silence } else { limits.lived.min(silence) };
            let piece = match timeout(wait, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) => return End::Cut(with_causes(&error)),
                // Half a line at the end was cut off; it will come again.
                Ok(None) => return End::Over,
                Err(_) if works => return End::Silent(silence),
                Err(_) => {
                    works = true;
                    self.watch.sink.recovered();
                    continue;
                }
            };
            self.lines.push(&piece);
            if let Err(end) = self.take_events() {
                return end;
            }
            if !works && (self.changed || self.bookmarks) {
                works = true;
                self.watch.sink.recovered();
            }
        }
    }

    fn take_events(&mut self) -> Result<(), End> {
        let sink = &self.watch.sink;
        loop {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(lines::TooLong) => return Err(End::Garbled("an event is too long to be read".into())),
            };
            // The position is reported, the text never: it may be a Secret.
            let event: WatchEvent = serde_json::from_slice(line)
                .map_err(|error| End::Garbled(format!("an event is no JSON at column {}", error.column())))?;
            if event.what == "ERROR" {
                let code = event.object.get("code").and_then(Value::as_u64).unwrap_or_default();
                let code = u16::try_from(code).unwrap_or_default();
                return Err(End::Error(ApiError::from_answer(code, event.object.to_string().as_bytes())));
            }
            let version = event.object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            let version: Option<Arc<str>> = version.filter(|version| !version.is_empty()).map(Into::into);
            if event.what == "BOOKMARK" {
                self.bookmarks = true;
            } else if let Some(live) = reduce(
                &sink.gk,
                self.watch.resource.namespaced,
                &event.object,
                self.watch.cluster.managers(),
                Timestamp::now(),
            ) {
                self.changed = true;
                if event.what == "DELETED" { sink.gone(live) } else { sink.seen(live) }
            }
            if let Some(version) = version {
                self.version = version;
            }
        }
    }
}

/// Never: the semaphore of the LISTs is not closed.
fn lost() -> ApiError {
    ApiError::Unreachable("the watches of this sync have ended".into())
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
