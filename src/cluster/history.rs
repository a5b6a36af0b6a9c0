//! Whether the API server's history went back. Resource versions only grow (KEP-5504), so one that is
//! lower than what was seen before says that etcd was restored to an older state: what was
//! learned since then is of a history that never was, and watches that go on from there receive nothing
//! until the versions catch up.
//!
//! The proof is an object of the agent's own, read or written by its name: such an answer comes from
//! etcd itself, also where the caches behind LISTs and watches lag. A LIST that is older than what
//! was seen is a reason to seek that proof.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::write::Applied;
use super::{ApiError, Cluster, DryRun, Resource};
use crate::object::ObjectId;
use crate::object::version::is_older;
use crate::retry::Pauses;

/// The first and the longest pause between two tries to read an object that is to give the proof.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// An object has a lower resource version than it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentBack {
    /// An object of the agent's own: a parent, or the Lease.
    pub object: ObjectId,
    /// Resource version that was known when the request was sent.
    pub from: Arc<str>,
    /// Resource version in the answer, which is lower.
    pub to: Arc<str>,
}

impl fmt::Display for WentBack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, from, to } = self;
        write!(out, "etcd was restored to an older state: {object} had resource version {from} and now has {to}")
    }
}

/// What was known of an object when a request for it was sent.
#[derive(Clone, Debug)]
struct Sent {
    epoch: u64,
    known: Option<Arc<str>>,
}

/// The newest resource version that is known of each object of the agent's own.
#[derive(Debug, Default)]
struct Revisions {
    /// How often history went back: versions of different epochs are not compared.
    epoch: u64,
    known: BTreeMap<ObjectId, (Resource, Arc<str>)>,
}

impl Revisions {
    fn sent(&self, id: &ObjectId) -> Sent {
        Sent { epoch: self.epoch, known: self.known.get(id).map(|(_, version)| Arc::clone(version)) }
    }

    /// Takes in the version in the answer to a request. Answers may come in another order than the
    /// requests were carried out, so only what was known before a request was sent counts against its answer.
    fn answered(&mut self, id: &ObjectId, resource: &Resource, sent: Sent, version: &str) -> Option<WentBack> {
        if sent.epoch != self.epoch || version.is_empty() {
            return None;
        }
        let went_back = sent.known.filter(|known| is_older(version, known));
        if went_back.is_some() {
            self.epoch += 1;
            self.known.clear();
        }
        self.learn(id, resource, version);
        went_back.map(|from| WentBack { object: id.clone(), from, to: version.into() })
    }

    /// Notes a version, if nothing newer is known; whether that is so.
    fn learn(&mut self, id: &ObjectId, resource: &Resource, version: &str) -> bool {
        let newest = self.known.get(id).is_none_or(|(_, known)| !is_older(version, known));
        if newest && !version.is_empty() {
            self.known.insert(id.clone(), (resource.clone(), version.into()));
        }
        newest
    }
}

/// What one agent knows of the API server's history. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct History {
    revisions: Arc<Mutex<Revisions>>,
    proofs: watch::Sender<Option<WentBack>>,
    suspicions: watch::Sender<u64>,
}

impl History {
    /// Is notified each time that history is proven to have gone back.
    #[must_use]
    pub fn proofs(&self) -> watch::Receiver<Option<WentBack>> {
        self.proofs.subscribe()
    }

    /// Is notified whenever history may have gone back, which includes that it did.
    #[must_use]
    pub fn suspicions(&self) -> watch::Receiver<u64> {
        self.suspicions.subscribe()
    }

    /// A LIST was older than what was seen of its kind, and is what is there now.
    pub fn suspect(&self) {
        self.suspicions.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes note of a version that a watch has shown. Whether nothing newer is known of the object: a
    /// LIST may come from a cache that lags.
    #[must_use]
    pub fn shown(&self, id: &ObjectId, resource: &Resource, version: &str) -> bool {
        self.revisions().learn(id, resource, version)
    }

    /// Whether an object of the agent's own is known to have existed.
    #[must_use]
    pub fn knows(&self, id: &ObjectId) -> bool {
        self.revisions().known.contains_key(id)
    }

    fn sent(&self, id: &ObjectId) -> Sent {
        self.revisions().sent(id)
    }

    fn answered(&self, id: &ObjectId, resource: &Resource, sent: Sent, version: &str) {
        let went_back = self.revisions().answered(id, resource, sent, version);
        if let Some(went_back) = went_back {
            self.proofs.send_replace(Some(went_back));
            self.suspect();
        }
    }

    fn own(&self) -> Vec<(ObjectId, Resource)> {
        self.revisions().known.iter().map(|(id, (resource, _))| (id.clone(), resource.clone())).collect()
    }

    fn epoch(&self) -> u64 {
        self.revisions().epoch
    }

    fn revisions(&self) -> MutexGuard<'_, Revisions> {
        // Every change is made of assignments that leave no half of one that matters.
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Reads an object of the agent's own; `None` when there is none.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn read_own(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Value>, ApiError> {
        let read = self.read(id, resource);
        self.remembering(id, resource, read, |live| live.as_ref().and_then(version_of)).await
    }

    /// Applies an object of the agent's own. With a `version`, only where the live object still has that
    /// one: else nothing is written (409).
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn apply_own(
        &self,
        id: &ObjectId,
        resource: &Resource,
        object: &Value,
        version: Option<&str>,
    ) -> Result<Applied, ApiError> {
        let mut object = object.clone();
        if let Some(version) = version {
            object["metadata"]["resourceVersion"] = version.into();
        }
        let applied = self.apply(id, resource, &object, DryRun::No);
        self.remembering(id, resource, applied, |applied| Some(&applied.live.resource_version)).await
    }

    /// Sends a request for an object of the agent's own, and takes note of the version in its answer.
    pub(super) async fn remembering<T>(
        &self,
        id: &ObjectId,
        resource: &Resource,
        request: impl Future<Output = Result<T, ApiError>>,
        version: impl Fn(&T) -> Option<&str>,
    ) -> Result<T, ApiError> {
        let sent = self.history().sent(id);
        let answer = request.await?;
        if let Some(version) = version(&answer) {
            self.history().answered(id, resource, sent, version);
        }
        Ok(answer)
    }

    /// Reads the agent's own objects until all are read, or one of them proves that history went
    /// back.
    pub async fn seek_proof(&self) {
        let (history, mut pauses) = (self.history(), Pauses::new(PAUSES.0, PAUSES.1));
        let epoch = history.epoch();
        let mut open = history.own();
        while !open.is_empty() {
            let mut unread = Vec::new();
            for (id, resource) in open {
                if history.epoch() != epoch {
                    return;
                }
                if self.read_own(&id, &resource).await.is_err() {
                    unread.push((id, resource));
                }
            }
            open = unread;
            if !open.is_empty() {
                sleep(pauses.next_pause()).await;
            }
        }
    }
}

/// The resource version of a live object.
#[must_use]
pub fn version_of(live: &Value) -> Option<&str> {
    live.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", Some("driftless"), name)
    }

    /// A request that is answered before the next one is sent.
    fn ask(revisions: &mut Revisions, name: &str, version: &str) -> Option<WentBack> {
        let sent = revisions.sent(&id(name));
        revisions.answered(&id(name), &Resource::core("configmaps", true), sent, version)
    }

    #[test]
    fn an_object_with_a_lower_version_than_it_had_proves_that_history_went_back() {
        let mut revisions = Revisions::default();
        assert_eq!(ask(&mut revisions, "a", "900"), None);
        assert_eq!(ask(&mut revisions, "a", "1000"), None);
        assert_eq!(ask(&mut revisions, "a", "1000"), None, "nobody wrote in between");
        let went_back = ask(&mut revisions, "a", "950").unwrap();
        assert_eq!((&*went_back.from, &*went_back.to), ("1000", "950"));
        assert!(went_back.to_string().contains("ConfigMap driftless/a had resource version 1000 and now has 950"));
        assert_eq!(ask(&mut revisions, "a", "951"), None, "it goes on from there");
    }

    #[test]
    fn objects_are_compared_with_themselves_since_each_kind_may_have_an_etcd_of_its_own() {
        let mut revisions = Revisions::default();
        ask(&mut revisions, "a", "1000");
        assert_eq!(ask(&mut revisions, "b", "7"), None);
    }

    #[test]
    fn answers_that_overtake_each_other_prove_nothing() {
        let mut revisions = Revisions::default();
        ask(&mut revisions, "a", "5");
        let (resource, slow) = (Resource::core("configmaps", true), revisions.sent(&id("a")));
        assert_eq!(ask(&mut revisions, "a", "7"), None);
        assert_eq!(revisions.answered(&id("a"), &resource, slow, "6"), None);
        assert!(ask(&mut revisions, "a", "6").is_some(), "but 7 is remembered");
    }

    #[test]
    fn what_was_asked_for_or_known_before_history_went_back_is_not_compared_with_what_comes_after() {
        let mut revisions = Revisions::default();
        ask(&mut revisions, "a", "1000");
        ask(&mut revisions, "b", "1001");
        let (resource, slow) = (Resource::core("configmaps", true), revisions.sent(&id("b")));
        assert!(ask(&mut revisions, "a", "500").is_some());
        assert_eq!(revisions.answered(&id("b"), &resource, slow, "501"), None);
        assert_eq!(ask(&mut revisions, "b", "502"), None, "one proof is enough");
        assert!(ask(&mut revisions, "b", "400").is_some(), "it went back once more");
    }

    #[test]
    fn what_a_watch_shows_counts_unless_something_newer_is_known() {
        let (history, resource) = (History::default(), Resource::core("configmaps", true));
        assert!(!history.knows(&id("a")));
        assert!(history.shown(&id("a"), &resource, "10") && history.knows(&id("a")));
        assert!(!history.shown(&id("a"), &resource, "9") && history.shown(&id("a"), &resource, "10"));
        let sent = history.sent(&id("a"));
        history.answered(&id("a"), &resource, sent, "8");
        assert!(history.proofs().borrow().is_some(), "what was shown was there");
    }

    #[test]
    fn versions_that_are_no_numbers_prove_nothing() {
        let mut revisions = Revisions::default();
        for version in ["b", "a", "5", "4x", ""] {
            assert_eq!(ask(&mut revisions, "a", version), None, "{version}");
        }
    }
}
