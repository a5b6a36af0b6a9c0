//! A live object, reduced to what decisions need, and what could not be read of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::manifest::dependency;
use super::{
    Digest, Fingerprint, Foreign, GroupKind, Health, ManagedFieldsEntry, Managers, ObjectId, Short, canonical_json,
    foreign, names,
};

/// A deletion that was asked for and has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Termination {
    /// `metadata.finalizers`; empty where only a grace period is waited for.
    pub finalizers: Vec<String>,
    /// By the API server's clock; where there is a grace period, its end.
    pub since: Option<Timestamp>,
}

/// What is remembered of a live object: never a tree of values.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about the object")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Identity; its namespace is `None` for cluster-scoped kinds.
    pub id: ObjectId,
    /// `metadata.uid`; an object that was deleted and created again has another one.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`; empty where the server left it out.
    pub resource_version: Arc<str>,
    /// Label `applyset.kubernetes.io/part-of`.
    pub part_of: Option<Arc<str>>,
    /// Annotation `driftless.dev/digest`; `None` too where it is no digest.
    pub digest: Option<Digest>,
    /// `None` when our field manager has no Apply entry.
    pub fingerprint: Option<Fingerprint>,
    /// `None` unless `metadata.deletionTimestamp` is set.
    pub terminating: Option<Box<Termination>>,
    /// An owner reference says `controller: true`: another object answers for this one.
    pub controlled: bool,
    /// Annotation `client.lifecycle.config.k8s.io/deletion: detach`.
    pub detach: bool,
    /// Annotation `config.kubernetes.io/depends-on`, as far as it can be read.
    pub depends_on: Box<[ObjectId]>,
    /// What others own of it; `None` where that is nothing to remember, as of most objects.
    pub foreign: Option<Box<Foreign>>,
    /// There may be fields of others that an apply takes over first.
    pub takeover: bool,
    /// A Job that has run to its end, well or not: its time to live counts from there.
    pub finished: bool,
    /// A Service that we made one without an address (`clusterIP: None`), which no client can give it.
    pub headless: bool,
    /// By the rules of kstatus, at the time of the response or event that showed the object.
    pub health: Health,
}

/// What a watch has learned of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is there, and another than before in more than its resource version.
    Seen(Observed),
    /// It is there no more, or left the selection.
    Gone {
        /// The object that is gone.
        id: ObjectId,
        /// Its last state, as the server sent it with the deletion; `None` when nobody saw it go.
        last: Option<Box<Observed>>,
    },
}

impl Change {
    /// Returns the object that changed.
    #[must_use]
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::Seen(live) => &live.id,
            Self::Gone { id, .. } => id,
        }
    }
}

impl Observed {
    /// Whether both say the same of one object, whatever their resource versions.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let Self {
            id,
            uid,
            resource_version: _,
            part_of,
            digest,
            fingerprint,
            terminating,
            controlled,
            detach,
            depends_on,
            foreign,
            takeover,
            finished,
            headless,
            health,
        } = self;
        *id == other.id
            && *uid == other.uid
            && *part_of == other.part_of
            && *digest == other.digest
            && *fingerprint == other.fingerprint
            && *terminating == other.terminating
            && *controlled == other.controlled
            && *detach == other.detach
            && *depends_on == other.depends_on
            && *foreign == other.foreign
            && *takeover == other.takeover
            && *finished == other.finished
            && *headless == other.headless
            && *health == other.health
    }

    /// Stands for all that people have added to it; `None` where they have added nothing.
    #[must_use]
    pub fn added(&self) -> Option<Short> {
        self.foreign.as_ref().and_then(|foreign| foreign.added)
    }

    /// Managers that are neither known as people's clients nor as controllers, and own fields of it.
    #[must_use]
    pub fn unknown_managers(&self) -> &[Arc<str>] {
        self.foreign.as_ref().map(|foreign| &*foreign.unknown).unwrap_or_default()
    }

    /// Reduces a live object's metadata; `None` when the server left out name or UID.
    #[must_use]
    pub fn from_metadata(id: ObjectId, metadata: &Value, health: Health, managers: &Managers) -> Option<Self> {
        let text = |pointer: &str| metadata.pointer(pointer).and_then(Value::as_str);
        let entry = |map: &str, key: &str| metadata.get(map)?.get(key)?.as_str();
        let owners = metadata.get("ownerReferences").and_then(Value::as_array);
        let adopted = entry("labels", names::PART_OF).is_none();
        let foreign = Some(foreign(&id.gk, metadata, managers)).filter(|foreign| *foreign != Foreign::default());
        let takes = |foreign: &Foreign| foreign.added.is_some() || foreign.shared;
        Some(Self {
            id,
            uid: text("/uid")?.into(),
            resource_version: text("/resourceVersion").unwrap_or_default().into(),
            part_of: entry("labels", names::PART_OF).map(Into::into),
            digest: entry("annotations", names::DIGEST).and_then(|text| text.parse().ok()),
            fingerprint: fingerprint(metadata.get("managedFields")),
            terminating: text("/deletionTimestamp")
                .map(|since| Box::new(Termination { finalizers: finalizers(metadata), since: since.parse().ok() })),
            controlled: owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true)),
            detach: names::is_kept(&|name: &str| entry("annotations", name)),
            depends_on: entry("annotations", names::DEPENDS_ON).map(dependencies).unwrap_or_default(),
            takeover: foreign.as_ref().is_some_and(takes) || adopted && entries(metadata).any(names::is_taken_over),
            foreign: foreign.map(Box::new),
            finished: false,
            headless: false,
            health,
        })
    }
}

fn entries(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn dependencies(text: &str) -> Box<[ObjectId]> {
    text.split(',').filter_map(dependency).collect()
}

fn finalizers(metadata: &Value) -> Vec<String> {
    let list = metadata.get("finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

/// The fingerprint of our own Apply entry, `time` left out, since any write by us moves it.
fn fingerprint(managed_fields: Option<&Value>) -> Option<Fingerprint> {
    let ours = managed_fields?.as_array()?.iter().find(|entry| ManagedFieldsEntry::of(entry).is_ours())?;
    let mut entry = ours.clone();
    entry.as_object_mut()?.remove("time");
    Some(Fingerprint::of(&canonical_json(&entry)))
}

/// Kinds, or kinds in single namespaces, whose objects could not be read, and why. Of what is not in
/// here, an object that was not seen does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// By namespace; `None`: wherever its objects are.
    kinds: BTreeMap<GroupKind, BTreeMap<Option<Arc<str>>, String>>,
}

impl Unreadable {
    /// `namespace` is `None` for all objects of the kind.
    pub fn insert(&mut self, gk: GroupKind, namespace: Option<Arc<str>>, why: String) {
        self.kinds.entry(gk).or_default().insert(namespace, why);
    }

    /// Why this object could not be read; `None`: it could.
    #[must_use]
    pub fn of(&self, id: &ObjectId) -> Option<&str> {
        let places = self.kinds.get(&id.gk)?;
        places.get(&None).or_else(|| places.get(&id.namespace)).map(String::as_str)
    }

    /// Each kind, the namespace that it is about, and why.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupKind, Option<&Arc<str>>, &str)> {
        self.kinds
            .iter()
            .flat_map(|(gk, places)| places.iter().map(move |(namespace, why)| (gk, namespace.as_ref(), why.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn observed(metadata: &Value) -> Observed {
        Observed::from_metadata(
            ObjectId::new("", "ConfigMap", Some("shop"), "c"),
            metadata,
            Health::current(),
            &Managers::default(),
        )
        .unwrap()
    }

    fn managed(time: &str, fields: &Value, operation: &str) -> Value {
        json!({"uid": "u", "managedFields": [
            {"manager": "kubectl-edit", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:x": {}}},
            {"manager": "driftless", "operation": operation, "apiVersion": "v1", "time": time, "fieldsV1": fields},
        ]})
    }

    #[test]
    fn a_fingerprint_ignores_the_time_and_sees_the_fields() {
        let first = observed(&managed("2026-01-01T00:00:00Z", &json!({"f:data": {"f:a": {}}}), "Apply")).fingerprint;
        let later = observed(&managed("2026-01-02T00:00:00Z", &json!({"f:data": {"f:a": {}}}), "Apply")).fingerprint;
        let fewer = observed(&managed("2026-01-01T00:00:00Z", &json!({"f:data": {}}), "Apply")).fingerprint;
        assert!(first.is_some());
        assert_eq!(first, later);
        assert_ne!(first, fewer);
    }

    #[test]
    fn without_an_apply_entry_of_ours_there_is_no_fingerprint() {
        assert_eq!(observed(&managed("t", &json!({}), "Update")).fingerprint, None);
        assert_eq!(observed(&json!({"uid": "u", "managedFields": [{}]})).fingerprint, None);
        assert_eq!(observed(&json!({"uid": "u"})).fingerprint, None);
    }

    #[test]
    fn ownership_marks_are_read_off_the_metadata() {
        let live = observed(&json!({
            "uid": "u", "labels": {names::PART_OF: "set"},
            "annotations": {names::DIGEST: Digest::of(b"x").to_string(), names::DELETION: "detach"},
            "ownerReferences": [{"kind": "A"}, {"kind": "B", "controller": true}],
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"],
        }));
        assert_eq!(live.part_of.as_deref(), Some("set"));
        assert_eq!(live.digest, Some(Digest::of(b"x")));
        assert!(live.controlled && live.detach);
        let since = "2026-01-01T00:00:00Z".parse().ok();
        assert_eq!(live.terminating.as_deref(), Some(&Termination { finalizers: vec!["a/b".into()], since }));
        assert!(!observed(&json!({"uid": "u", "ownerReferences": [{"kind": "A"}]})).controlled);
    }

    #[test]
    fn a_kind_that_cannot_be_read_in_one_namespace_can_be_in_another() {
        let id = |namespace| ObjectId::new("", "ConfigMap", namespace, "a");
        let mut unreadable = Unreadable::default();
        assert_eq!(unreadable.of(&id(Some("one"))), None);
        unreadable.insert(id(None).gk, Some("one".into()), "forbidden".into());
        assert_eq!(unreadable.of(&id(Some("one"))), Some("forbidden"));
        assert_eq!(unreadable.of(&id(Some("two"))), None);
        unreadable.insert(id(None).gk, None, "its API is down".into());
        assert_eq!(unreadable.of(&id(Some("two"))), Some("its API is down"));
        assert_eq!(unreadable.iter().count(), 2);
    }
}
