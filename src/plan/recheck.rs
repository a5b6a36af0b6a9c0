//! Whether what a plan rests on still holds, immediately before a deletion: a plan may rest on what a watch has
//! shown, which lags behind the cluster. And what is left of an object after its deletion, for those that wait for its end.

use crate::object::Observed;

/// What a read immediately before a deletion says about the planned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// It is the object that was planned for, and everything that proved it to be ours still does.
    Holds,
    /// There is no such object any more.
    Gone,
    /// An object of that name with another UID.
    Another,
    /// The same object, but what proved it to be ours has changed.
    Changed,
}

impl Recheck {
    /// Compares an object as it was planned for with `now`, as it was just read; `None` where there is none.
    #[must_use]
    pub fn of(planned: &Observed, now: Option<&Observed>) -> Self {
        match now {
            None => Self::Gone,
            Some(now) if now.uid != planned.uid => Self::Another,
            Some(now) if !is_as_ours(planned, now) => Self::Changed,
            Some(_) => Self::Holds,
        }
    }

    /// Why the object is kept, for people; `None` where nothing keeps it.
    #[must_use]
    pub fn reason_to_keep(self) -> Option<&'static str> {
        match self {
            Self::Holds | Self::Gone => None,
            Self::Another => Some("an object with another UID has this name now; it is planned again"),
            Self::Changed => Some(
                "the fields, labels or owner that showed it to be this sync's have changed since; it is planned again",
            ),
        }
    }
}

/// Whether an object may be deleted in order to create it anew. `planned_claims` and `claims` say whether its volume
/// claims go with it, as of the plan and as of now: nobody approved a deletion of claims that the plan did not name.
#[must_use]
pub fn may_still_replace(planned: &Observed, now: &Observed, planned_claims: bool, claims: bool) -> bool {
    Recheck::of(planned, Some(now)) == Recheck::Holds && (planned_claims || !claims)
}

/// What is still there of an object whose deletion was planned, by `now`, as it was just read: its finalizers. `None`: nothing,
/// also where an object with another UID has its name, so that what waits for its end may go on.
#[must_use]
pub fn left_of(planned: Option<&Observed>, now: Option<Observed>) -> Option<Vec<String>> {
    let live = now.filter(|now| planned.is_some_and(|planned| planned.uid == now.uid))?;
    Some(live.terminating.map(|termination| termination.finalizers).unwrap_or_default())
}

/// Whether everything that proved the object to be ours still does. Which fields others own may change at any time;
/// that nobody owns any is another proof.
fn is_as_ours(planned: &Observed, now: &Observed) -> bool {
    (&now.part_of, now.digest, now.controlled, now.detach)
        == (&planned.part_of, planned.digest, planned.controlled, planned.detach)
        && now.fingerprint.is_some() == planned.fingerprint.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::{Health, Managers, ObjectId, names};

    fn seen(metadata: &Value) -> Observed {
        let id = ObjectId::new("", "ConfigMap", Some("shop"), "c");
        Observed::from_metadata(id, metadata, Health::current(), &Managers::default()).unwrap()
    }

    fn metadata() -> Value {
        json!({"uid": "u", "labels": {names::PART_OF: "set"}, "annotations": {names::DIGEST: format!("sha256:{}", "a".repeat(64))},
            "managedFields": [{"manager": "driftless", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {}}}]})
    }

    #[test]
    fn a_deletion_is_for_the_object_that_was_planned_for_alone() {
        let planned = seen(&metadata());
        assert_eq!(Recheck::of(&planned, Some(&planned)), Recheck::Holds);
        assert_eq!(Recheck::of(&planned, None), Recheck::Gone);
        let mut another = metadata();
        another["uid"] = "v".into();
        assert_eq!(Recheck::of(&planned, Some(&seen(&another))), Recheck::Another);
    }

    #[test]
    fn whatever_proved_an_object_to_be_ours_keeps_it_once_it_has_changed() {
        let changes: [fn(&mut Value); 6] = [
            |now| now["labels"] = json!({}),
            |now| now["annotations"][names::DIGEST] = format!("sha256:{}", "b".repeat(64)).into(),
            |now| now["annotations"] = json!({}),
            |now| now["ownerReferences"] = json!([{"controller": true}]),
            |now| now["annotations"]["client.lifecycle.config.k8s.io/deletion"] = "detach".into(),
            |now| now["managedFields"] = json!([]),
        ];
        let planned = seen(&metadata());
        for (at, change) in changes.into_iter().enumerate() {
            let mut now = metadata();
            change(&mut now);
            let now = seen(&now);
            let recheck = Recheck::of(&planned, Some(&now));
            assert_eq!(recheck, Recheck::Changed, "change {at}");
            assert!(
                recheck.reason_to_keep().is_some() && !may_still_replace(&planned, &now, true, false),
                "change {at}"
            );
        }
    }

    #[test]
    fn claims_that_the_plan_did_not_name_are_not_deleted() {
        let planned = seen(&metadata());
        for (of_plan, of_now, may) in
            [(false, false, true), (true, false, true), (true, true, true), (false, true, false)]
        {
            assert_eq!(may_still_replace(&planned, &planned, of_plan, of_now), may, "{of_plan} {of_now}");
        }
    }
    #[test]
    fn what_waits_for_the_end_of_an_object_waits_for_that_object_and_no_other() {
        let planned = seen(&metadata());
        assert_eq!(left_of(Some(&planned), Some(planned.clone())), Some(Vec::new()));
        let mut going = metadata();
        going["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        going["finalizers"] = json!(["e.com/f"]);
        assert_eq!(left_of(Some(&planned), Some(seen(&going))), Some(vec!["e.com/f".to_owned()]));
        going["uid"] = "v".into();
        assert_eq!(left_of(Some(&planned), Some(seen(&going))), None, "another one has its name");
        assert_eq!((left_of(Some(&planned), None), left_of(None, Some(planned.clone()))), (None, None));
    }
}
