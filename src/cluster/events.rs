//! Kubernetes Events: creating one, and counting one up (`events.k8s.io/v1`).

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Call;
use super::observe::JSON;
use super::write::MERGE_PATCH;
use super::{ApiError, Cluster, Resource};
use crate::object::{ObjectId, names};

/// An Event as it is created. Lengths are the caller's: the server takes a note of 1,024 bytes.
pub struct NewEvent<'a> {
    /// That of the object in `regarding`; `default` where the object has none.
    pub namespace: &'a str,
    /// Made of the time too, so that a repeated request does not make a second one.
    pub name: &'a str,
    /// `eventTime`; written with microseconds.
    pub at: Timestamp,
    /// `reportingController`: `driftless.dev/agent`.
    pub controller: &'static str,
    /// `reportingInstance`: the pod or machine, at most 128 bytes.
    pub instance: &'a str,
    /// `Normal` or `Warning`.
    pub severity: &'static str,
    /// In `PascalCase`, for programs: `Contested`; docs/operating.md lists them all.
    pub reason: &'a str,
    /// What was done or tried: `Heal`, `Apply`, `Prune`, `Sync`, …
    pub action: &'a str,
    /// For people, on one line.
    pub note: &'a str,
    /// `v1.ObjectReference`.
    pub regarding: Value,
    /// A second `v1.ObjectReference`, of the parent or of a missing object; `None` for an Event about a sync.
    pub related: Option<Value>,
}

fn resource() -> Resource {
    Resource {
        group: "events.k8s.io".into(),
        version: "v1".into(),
        plural: "events".into(),
        namespaced: true,
        listable: true,
        watchable: true,
    }
}

/// As `metav1.MicroTime` has it.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

impl Cluster {
    /// Creates an Event. One that exists already is taken for a first try whose answer was lost.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn create_event(&self, event: &NewEvent<'_>) -> Result<(), ApiError> {
        let object = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event.name, "namespace": event.namespace},
            "eventTime": micro(event.at),
            "reportingController": event.controller,
            "reportingInstance": event.instance,
            "type": event.severity,
            "reason": event.reason,
            "action": event.action,
            "note": event.note,
            "regarding": event.regarding,
            "related": event.related,
        });
        match self.create(&resource(), Some(event.namespace), &object).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes an Event a series of so many, the last of them at `last`; all else of an Event is
    /// immutable. `false`: it is there no more.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn repeat_event(
        &self,
        namespace: &str,
        name: &str,
        count: u32,
        last: Timestamp,
    ) -> Result<bool, ApiError> {
        let id = ObjectId::new("events.k8s.io", "Event", Some(namespace), name);
        let change = json!({"series": {"count": count, "lastObservedTime": micro(last)}});
        let path = format!("{}?fieldManager={}", resource().path(&id), names::FIELD_MANAGER);
        let body = Some((MERGE_PATCH, change.to_string().into_bytes()));
        let call = Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body };
        match self.call(&call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits_of_a_second() {
        assert_eq!(micro(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}
