//! When an object may be deleted and created again, since it cannot be changed in place. A replacement
//! is a deletion: it needs the object's own opt-in (`driftless.dev/replace`), a proof that the object
//! can be made again, and the guard counts it like a prune.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::PrunePolicy;
use crate::object::{Digest, FieldPath, GroupKind, ObjectId, Observed};

use super::prune::is_kept_kind;
use super::{Desired, Reason, Step, Verb};

/// What the API server has shown of an object that asks to be replaced: every cause of its refusal is a
/// field that cannot be changed in place, and it would let the object be created as git declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replaceable {
    /// Of the live object.
    pub uid: Arc<str>,
    /// Of the manifest.
    pub digest: Digest,
    /// The fields that cannot be changed.
    pub fields: Arc<[String]>,
    /// A `StatefulSet` that says `whenDeleted: Delete`: its volume claims go with it.
    pub takes_claims: bool,
}

/// By object, what is known to be replaceable as of the newest apply.
pub type Replaceables = BTreeMap<ObjectId, Replaceable>;

/// Why an object is not replaced although it asks for that and could be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotReplaced {
    /// Nothing proves that the live object is one that this sync has applied.
    NotOurs,
    /// The live object or git says `deletion: detach`.
    Detach,
    /// Another object controls it.
    Controlled,
    /// What is deleted with an object of this kind does not come back with it.
    KeptKind,
    /// Its volume claims would go with it.
    TakesClaims,
    /// A Job of a hook that has not ended.
    Running,
}

/// The field in which a live object can never become what git declares, although the API server takes an apply of
/// that without a word: a headless Service stays headless (registry/core/service, `patchAllocatedValues`).
#[must_use]
pub fn never_changes(step: &Step) -> Option<&'static str> {
    let (live, desired) = (step.live.as_ref()?, step.desired.as_ref()?);
    let left = |path: &FieldPath| path.to_string().starts_with("spec.clusterIP");
    if !live.headless || desired.manifest.directives.ignore_fields.iter().any(left) {
        return None;
    }
    let spec = desired.manifest.to_value();
    let is = |pointer: &str, wanted: &str| spec.pointer(pointer).is_some_and(|value| value == wanted);
    let fits = is("/spec/clusterIP", "None") || is("/spec/type", "ExternalName");
    (!fits).then_some("spec.clusterIP")
}

impl NotReplaced {
    /// What would be lost, or is against it, as a clause.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::NotOurs => "nothing proves that this sync has applied it",
            Self::Detach => {
                "an annotation keeps it (client.lifecycle.config.k8s.io/deletion: detach, or helm.sh/resource-policy: keep)"
            }
            Self::Controlled => "another object controls it",
            Self::KeptKind => "what goes with an object of this kind does not come back with it",
            Self::Running => "it is the Job of a hook and still runs",
            Self::TakesClaims => "it says whenDeleted: Delete, so its volume claims would go with it",
        }
    }
}

/// With the way out for whoever wants it replaced all the same.
impl fmt::Display for NotReplaced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way_out = match self {
            Self::NotOurs => "put the fields back in git until it is adopted, or delete it by hand",
            Self::Running => {
                "it is replaced, and so runs again, when it has ended; delete it by hand to have it end now"
            }
            Self::Detach => "remove that in a commit of its own, or put the fields back in git",
            Self::Controlled => "put the fields back in git",
            Self::KeptKind => {
                "put the fields back in git, move the data to an object of another name, or name its kind in prune.include"
            }
            Self::TakesClaims => {
                "set that to Retain in a commit of its own, or name PersistentVolumeClaim in prune.include"
            }
        };
        write!(out, "{}; {way_out}", self.why())
    }
}

/// What is to be done with an object that is about to be changed in place, where it is known that it
/// cannot be. `None`: that is not known of this manifest and this live object.
pub(super) fn replace(
    known: &Replaceables,
    policy: &PrunePolicy,
    desired: &Desired,
    live: &Observed,
    ours: bool,
) -> Option<(Verb, Reason)> {
    let proof = known.get(&live.id)?;
    if proof.uid != live.uid || proof.digest != desired.digest || !desired.manifest.directives.replace {
        return None;
    }
    let fields = Arc::clone(&proof.fields);
    let against = if ours { may_replace(policy, desired, live, proof.takes_claims) } else { Err(NotReplaced::NotOurs) };
    Some(match against {
        Ok(()) => (Verb::Replace, Reason::Immutable { fields, takes_claims: proof.takes_claims }),
        Err(why) => (Verb::Refuse, Reason::NotReplaced { fields, why }),
    })
}

/// Whether anything is against replacing an object that could be made again.
///
/// # Errors
/// What is against it.
pub fn may_replace(
    policy: &PrunePolicy,
    desired: &Desired,
    live: &Observed,
    takes_claims: bool,
) -> Result<(), NotReplaced> {
    let includes = |gk: &GroupKind| policy.include.contains(gk);
    if desired.manifest.directives.run_to_end && !live.finished {
        Err(NotReplaced::Running)
    } else if live.detach || desired.manifest.directives.detach {
        Err(NotReplaced::Detach)
    } else if live.controlled {
        Err(NotReplaced::Controlled)
    } else if holds_data(&live.id.gk) && !includes(&live.id.gk) {
        Err(NotReplaced::KeptKind)
    } else if takes_claims && !includes(&GroupKind::new("", "PersistentVolumeClaim")) {
        Err(NotReplaced::TakesClaims)
    } else {
        Ok(())
    }
}

/// Kinds whose objects hold something that no manifest has: those that a prune keeps, and what stands
/// for storage that may be deleted with it.
fn holds_data(gk: &GroupKind) -> bool {
    is_kept_kind(gk)
        || gk.is("", "PersistentVolume")
        || ["snapshot.storage.k8s.io", "groupsnapshot.storage.k8s.io"].contains(&&*gk.group)
            && !gk.kind.ends_with("Class")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Fingerprint, Health, Manifest, Origin, names};

    /// An object of a kind, as git declares it with annotations, and as it is live.
    fn object(group: &str, kind: &str, annotations: &serde_json::Value) -> (Desired, Observed) {
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let value = json!({"apiVersion": version, "kind": kind,
            "metadata": {"name": "a", "namespace": "shop", "annotations": annotations}});
        let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let digest = Digest::of(&manifest.canonical);
        let live = Observed {
            id: manifest.id.clone(),
            uid: "uid-1".into(),
            resource_version: "1".into(),
            part_of: Some("set".into()),
            digest: Some(Digest::of(b"before")),
            fingerprint: Some(Fingerprint::of(b"fields")),
            terminating: None,
            controlled: false,
            detach: false,
            depends_on: Box::default(),
            foreign: None,
            takeover: false,
            finished: false,
            headless: false,
            health: Health::current(),
        };
        (Desired { manifest: Arc::new(manifest), digest }, live)
    }

    fn opted_in() -> serde_json::Value {
        json!({names::REPLACE: "true"})
    }

    fn proof(desired: &Desired, live: &Observed, takes_claims: bool) -> Replaceables {
        let fields = [String::from("spec")].into();
        let proof = Replaceable { uid: Arc::clone(&live.uid), digest: desired.digest, fields, takes_claims };
        Replaceables::from([(live.id.clone(), proof)])
    }

    fn policy(include: &[&str]) -> PrunePolicy {
        PrunePolicy { include: include.iter().map(|kind| GroupKind::parse(kind)).collect(), ..PrunePolicy::default() }
    }

    #[test]
    fn only_the_very_object_and_manifest_of_the_proof_are_replaced_and_only_on_request() {
        let (desired, live) = object("apps", "Deployment", &opted_in());
        let known = proof(&desired, &live, false);
        let verb = |known, desired: &Desired, live: &Observed| {
            replace(known, &PrunePolicy::default(), desired, live, true).map(|(verb, _)| verb)
        };
        assert_eq!(verb(&known, &desired, &live), Some(Verb::Replace));
        let nothing = Replaceables::new();
        assert_eq!(verb(&nothing, &desired, &live), None);
        let another = Observed { uid: "uid-2".into(), ..live.clone() };
        assert_eq!(verb(&known, &desired, &another), None);
        let changed = Desired { digest: Digest::of(b"newer"), ..desired.clone() };
        assert_eq!(verb(&known, &changed, &live), None);
        let (silent, live) = object("apps", "Deployment", &json!({}));
        let unasked = proof(&silent, &live, false);
        assert_eq!(verb(&unasked, &silent, &live), None);
    }

    #[test]
    fn what_is_against_a_replacement_is_named() {
        use NotReplaced::{Controlled, Detach, KeptKind, TakesClaims};
        let detached = json!({names::REPLACE: "true", names::DELETION: "detach"});
        let crd = "CustomResourceDefinition.apiextensions.k8s.io";
        let snapshot = "VolumeSnapshot.snapshot.storage.k8s.io";
        let fine: Result<(), NotReplaced> = Ok(());
        // Kind, what git says, what the live object says, whether claims go along, prune.include.
        let table = [
            ("Deployment.apps", &opted_in(), "", false, &[][..], fine),
            ("RoleBinding.rbac.authorization.k8s.io", &opted_in(), "", false, &[], fine),
            ("Deployment.apps", &detached, "", false, &["Deployment.apps"], Err(Detach)),
            ("Deployment.apps", &opted_in(), "detach", false, &["Deployment.apps"], Err(Detach)),
            ("Deployment.apps", &opted_in(), "controlled", false, &["Deployment.apps"], Err(Controlled)),
            ("PersistentVolumeClaim", &opted_in(), "", false, &[], Err(KeptKind)),
            ("PersistentVolumeClaim", &opted_in(), "", false, &["Namespace"], Err(KeptKind)),
            ("PersistentVolumeClaim", &opted_in(), "", false, &["PersistentVolumeClaim"], fine),
            ("PersistentVolumeClaim", &detached, "", false, &["PersistentVolumeClaim"], Err(Detach)),
            ("PersistentVolume", &opted_in(), "", false, &[], Err(KeptKind)),
            ("Namespace", &opted_in(), "", false, &[], Err(KeptKind)),
            (crd, &opted_in(), "", false, &[], Err(KeptKind)),
            (crd, &opted_in(), "", false, &[crd], fine),
            (snapshot, &opted_in(), "", false, &[], Err(KeptKind)),
            ("VolumeSnapshotClass.snapshot.storage.k8s.io", &opted_in(), "", false, &[], fine),
            ("StatefulSet.apps", &opted_in(), "", false, &[], fine),
            ("StatefulSet.apps", &opted_in(), "", true, &[], Err(TakesClaims)),
            ("StatefulSet.apps", &opted_in(), "", true, &["StatefulSet.apps"], Err(TakesClaims)),
            ("StatefulSet.apps", &opted_in(), "", true, &["PersistentVolumeClaim"], fine),
        ];
        for (kind, annotations, state, takes_claims, include, expected) in table {
            let gk = GroupKind::parse(kind);
            let (desired, mut live) = object(&gk.group, &gk.kind, annotations);
            (live.detach, live.controlled) = (state == "detach", state == "controlled");
            let case = (kind, annotations, state, takes_claims, include);
            assert_eq!(may_replace(&policy(include), &desired, &live, takes_claims), expected, "{case:?}");
            let (verb, _) =
                replace(&proof(&desired, &live, takes_claims), &policy(include), &desired, &live, true).unwrap();
            assert_eq!(verb, if expected.is_ok() { Verb::Replace } else { Verb::Refuse }, "{case:?}");
        }
    }
}
