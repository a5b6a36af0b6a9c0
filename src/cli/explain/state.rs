//! Whether a live object is as it was when it was last applied.

use serde::Serialize;

use super::LiveObject;
use crate::object::names;
use crate::plan::{Desired, Reason, Recorded, drift_of};

/// How a live object stands to what was recorded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LiveState {
    AsApplied,
    Drifted,
    /// It may differ from git: a Job that has ended, an object that says `mutation: ignore`.
    LeftAlone,
    /// Nothing is recorded to compare with, or the object could not be read.
    Unknown,
}

/// The state, and a clause for it. Without what git declares, a Job that was removed after its end
/// seems deleted.
pub fn state(set: &str, recorded: &Recorded, live: &LiveObject, desired: Option<&Desired>) -> (LiveState, String) {
    let create_only = desired.is_some_and(|desired| desired.manifest.directives.create_only)
        || live.whole.as_ref().is_some_and(|live| live["metadata"]["annotations"][names::MUTATION] == names::IGNORE);
    let expires = desired.is_some_and(|desired| desired.manifest.directives.expires);
    let with_reason = |state, reason: Reason| (state, reason.to_string());
    match &live.observed {
        _ if !recorded.applied => (LiveState::Unknown, "it is not recorded as applied yet".into()),
        None if expires => with_reason(LiveState::LeftAlone, Reason::Finished),
        None => with_reason(LiveState::Drifted, Reason::Deleted),
        Some(_) if create_only => with_reason(LiveState::LeftAlone, Reason::CreateOnly),
        Some(live) => match drift_of(live, recorded, live.part_of.as_deref() == Some(set)) {
            Some(reason) => with_reason(LiveState::Drifted, reason),
            None => (LiveState::AsApplied, "as last applied".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::{Digest, Health, Managers, ObjectId, Observed, Short};

    type Case = (fn(&mut Value), Reason);

    fn live(change: impl FnOnce(&mut Value)) -> LiveObject {
        let mut whole = json!({"metadata": {
            "uid": "u", "labels": {names::PART_OF: "set"},
            "annotations": {names::DIGEST: Digest::of(b"x").to_string()},
            "managedFields": [{"manager": "driftless", "operation": "Apply", "fieldsV1": {"f:data": {}}}],
        }});
        change(&mut whole);
        let id = ObjectId::new("", "ConfigMap", Some("shop"), "a");
        let observed = Observed::from_metadata(id, &whole["metadata"], Health::current(), &Managers::default());
        LiveObject { whole: Some(whole), observed }
    }

    fn of(live: &LiveObject) -> (LiveState, String) {
        let applied = self::live(|_| ()).observed.unwrap();
        let recorded = Recorded {
            uid: Short::of("u"),
            digest: Digest::of(b"x").short(),
            fingerprint: applied.fingerprint.unwrap().short(),
            applied: true,
            ..Recorded::default()
        };
        state("set", &recorded, live, None)
    }

    #[test]
    fn an_object_is_drifted_by_uid_marks_or_ownership() {
        assert_eq!(of(&live(|_| ())).0, LiveState::AsApplied);
        let cases: [Case; 4] = [
            (|live| live["metadata"]["uid"] = "v".into(), Reason::Recreated),
            (|live| live["metadata"]["labels"] = json!({}), Reason::MetadataLost),
            (|live| live["metadata"]["annotations"] = json!({}), Reason::MetadataLost),
            (|live| live["metadata"]["managedFields"][0]["fieldsV1"] = json!({}), Reason::Fields),
        ];
        for (change, reason) in cases {
            assert_eq!(of(&live(change)), (LiveState::Drifted, reason.to_string()));
        }
        assert_eq!(of(&LiveObject { whole: None, observed: None }), (LiveState::Drifted, Reason::Deleted.to_string()));
    }

    #[test]
    fn what_is_to_be_left_alone_and_what_was_never_recorded_is_no_drift() {
        let ignored = live(|live| live["metadata"]["annotations"] = json!({names::MUTATION: names::IGNORE}));
        assert_eq!(of(&ignored).0, LiveState::LeftAlone);
        assert_eq!(state("set", &Recorded::default(), &live(|_| ()), None).0, LiveState::Unknown);
    }
}
