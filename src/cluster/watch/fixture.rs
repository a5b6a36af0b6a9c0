//! The watches of one sync on a scripted API server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::script::{Feed, Reply, Server, stream};
use super::{Followed, WatchLimits};
use crate::cluster::{Cluster, Live, Resource};
use crate::object::{Change, GroupKind};

pub(super) const SET: &str = "applyset-of-this-test-v1";
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Limits of a test: all is a hundred times faster.
pub(super) fn limits() -> WatchLimits {
    let ms = Duration::from_millis;
    WatchLimits {
        list: ms(5000),
        headers: ms(5000),
        timeout_seconds: 300..=300,
        lived: ms(200),
        grace: ms(5000),
        pauses: (ms(5), ms(100)),
        unserved: ms(50),
        refused: (ms(300), ms(300)),
        reported_after: ms(200),
        ..WatchLimits::default()
    }
}

/// A sync's watches on a scripted server.
pub(super) struct Fixture {
    pub server: Server,
    pub cluster: Cluster,
    pub live: Live,
    pub reported: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    pub async fn new(limits: WatchLimits, answer: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let server = Server::start(answer);
        let reported = Arc::<Mutex<Vec<String>>>::default();
        let messages = Arc::clone(&reported);
        let report = Arc::new(move |message| messages.lock().unwrap().push(message));
        let cluster = server.client().await;
        let live = Live::with_limits(cluster.clone(), SET, report, limits);
        Self { server, cluster, live, reported }
    }

    /// With answers in the order of the requests. Whoever asks more often waits in vain.
    pub async fn in_order(limits: WatchLimits, replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::new(limits, move |_| replies.pop_front().unwrap_or(Reply::Nothing)).await
    }

    pub async fn follow(&self, namespaces: &[&str]) {
        let namespaces: BTreeSet<Arc<str>> = namespaces.iter().map(|name| (*name).into()).collect();
        let followed = Followed { resource: Resource::core("configmaps", true), namespaces };
        self.live.follow(BTreeMap::from([(kind(), followed)])).await;
    }

    /// The next changes as text: `+a` for seen, `-a` for gone, `?a` for gone unseen.
    pub async fn changes(&self) -> String {
        let changes = tokio::time::timeout(SOON, self.live.changed()).await.unwrap();
        changes.iter().map(written).collect::<Vec<_>>().join(" ")
    }

    pub fn members(&self) -> Option<String> {
        let members = self.live.members(&kind())?;
        Some(members.iter().map(|live| &*live.id.name).collect::<Vec<_>>().join(" "))
    }

    pub async fn eventually(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            assert!(Instant::now() < deadline, "still not: {what}; {:?}; {:?}", self.reported(), self.server.asked());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Is notified when history may have gone back.
    pub fn suspicions(&self) -> watch::Receiver<u64> {
        self.cluster.history().suspicions()
    }

    pub fn reported(&self) -> Vec<String> {
        self.reported.lock().unwrap().clone()
    }

    /// How many requests came within a time that follows.
    pub async fn requests_within(&self, time: Duration) -> usize {
        let before = self.server.asked().len();
        tokio::time::sleep(time).await;
        self.server.asked().len() - before
    }
}

pub(super) fn written(change: &Change) -> String {
    let sign = match change {
        Change::Seen(_) => '+',
        Change::Gone { last: Some(_), .. } => '-',
        Change::Gone { last: None, .. } => '?',
    };
    format!("{sign}{}", change.id().name)
}

pub(super) fn kind() -> GroupKind {
    GroupKind::new("", "ConfigMap")
}

/// A `ConfigMap` of the set; `version` is also what makes one state differ from another.
pub(super) fn object(name: &str, version: &str) -> Value {
    let digest = crate::object::Digest::of(version.as_bytes()).to_string();
    json!({"kind": "PartialObjectMetadata", "metadata": {"name": name, "namespace": "shop", "uid": name,
        "resourceVersion": version, "labels": {"applyset.kubernetes.io/part-of": SET},
        "annotations": {"driftless.dev/digest": digest}}})
}

pub(super) fn list(version: &str, items: &[Value]) -> Reply {
    Reply::Json(200, json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": items}))
}

/// What a LIST of one object says of all: up to where it goes.
pub(super) fn version_now(version: &str) -> Reply {
    list(version, &[])
}

pub(super) fn is_version_now(path: &str) -> bool {
    path.contains("?limit=1&")
}

pub(super) fn refusal(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "code": code, "reason": reason, "message": format!("no: {reason}"), "details": {}})
}

/// There is no such object.
pub(super) fn not_found(name: &str) -> Value {
    let mut status = refusal(404, "NotFound");
    status["details"]["name"] = name.into();
    status
}

pub(super) fn refused(code: u16, reason: &str) -> Reply {
    Reply::Json(code, refusal(code, reason))
}

pub(super) fn is_watch(path: &str) -> bool {
    path.contains("watch=1")
}

/// One watch after the LIST of one object.
pub(super) async fn watching(limits: WatchLimits, more: impl IntoIterator<Item = Reply>) -> (Fixture, Feed) {
    let (feed, watch) = stream();
    let replies = [list("10", &[object("a", "5")]), watch].into_iter().chain(more);
    let fixture = Fixture::in_order(limits, replies).await;
    fixture.follow(&["shop"]).await;
    fixture.server.request(2).await;
    (fixture, feed)
}
