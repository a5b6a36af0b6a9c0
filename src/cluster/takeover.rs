//! Making fields ours that others own, so that the next apply removes those which git does not
//! declare: an apply removes only what its own manager owned before (KEP-555).

mod left;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::observe::JSON;
use super::{ApiError, Cluster, Resource};
use crate::object::{GroupKind, ObjectId, names};

pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// Takes out of an entry of `managedFields` the fields that are to be ours.
type Take = fn(&GroupKind, &mut Value) -> Value;

impl Cluster {
    /// Makes the fields ours that `kubectl` owns of a live object, and if that is not in any `ApplySet`
    /// yet, those of other agents too. Guarded by the resource version: if somebody writes in between,
    /// nothing happens (409).
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(()) };
        self.take_from(&live, id, resource, if names::is_in_no_set(&live) { of_agents } else { of_kubectl }).await
    }

    /// Makes the fields ours again that were ignored once, guarded likewise.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_back(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        self.take(id, resource, of_initial).await
    }

    /// Makes ports ours that others have set, guarded likewise. A port whose number or protocol
    /// somebody changed is another list item, which is not ours. Beside the one that git declares
    /// it has the same name, or none, and so the server refuses both.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over_ports(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        self.take(id, resource, ports).await
    }

    async fn take(&self, id: &ObjectId, resource: &Resource, take: Take) -> Result<(), ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(()) };
        self.take_from(&live, id, resource, take).await
    }

    async fn take_from(&self, live: &Value, id: &ObjectId, resource: &Resource, take: Take) -> Result<(), ApiError> {
        let Some(change) = takeover(&id.gk, live, take) else { return Ok(()) };
        let body = Some((JSON_PATCH, change.to_string().into_bytes()));
        let path = format!("{}?fieldManager={}", resource.path(id), names::FIELD_MANAGER);
        self.call(&Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body }).await.map(drop)
    }
}

/// The JSON patch that moves fields of others into our own Apply entry.
fn takeover(gk: &GroupKind, live: &Value, take: Take) -> Option<Value> {
    let metadata = live.get("metadata")?;
    let mut ours = None;
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for entry in metadata.get("managedFields")?.as_array()? {
        let mut entry = entry.clone();
        if is_ours(&entry) {
            ours = Some(entry);
            continue;
        }
        let fields = take(gk, &mut entry);
        if !is_empty(&fields) {
            taken.push((entry["apiVersion"].clone(), fields));
        }
        if !is_empty(&entry["fieldsV1"]) {
            kept.push(entry);
        }
    }
    let version = &taken.first()?.0;
    let mut entry = ours.unwrap_or_else(|| {
        json!({"manager": names::FIELD_MANAGER, "operation": "Apply", "apiVersion": version,
            "fieldsType": "FieldsV1", "fieldsV1": {}})
    });
    for (_, fields) in &taken {
        unite(&mut entry["fieldsV1"], fields);
    }
    kept.push(entry);
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ]))
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == names::FIELD_MANAGER && entry["operation"] == "Apply" && entry.get("subresource").is_none()
}

fn is_empty(fields: &Value) -> bool {
    fields.as_object().is_none_or(Map::is_empty)
}

/// Takes out of an entry of `managedFields` what is taken over when the object is applied.
/// `adopted`: it is not in any `ApplySet` yet.
pub(crate) fn taken(gk: &GroupKind, entry: &mut Value, adopted: bool) -> Value {
    match names::is_taken_over(entry, adopted) {
        true if entry["manager"] == left::UNRECORDED => left::split(gk, &mut entry["fieldsV1"]),
        true => entry["fieldsV1"].take(),
        false => Value::Null,
    }
}

fn of_kubectl(gk: &GroupKind, entry: &mut Value) -> Value {
    taken(gk, entry, false)
}

fn of_agents(gk: &GroupKind, entry: &mut Value) -> Value {
    taken(gk, entry, true)
}

fn of_initial(_: &GroupKind, entry: &mut Value) -> Value {
    if names::is_initial(entry) { entry["fieldsV1"].take() } else { Value::Null }
}

/// What another manager applies is declared somewhere, too, and stays its own.
fn ports(_: &GroupKind, entry: &mut Value) -> Value {
    let edited = entry["operation"] == "Update" && entry.get("subresource").is_none();
    if edited { split_ports(&mut entry["fieldsV1"]) } else { Value::Null }
}

/// Takes the items of every list `ports` out of a field set.
fn split_ports(fields: &mut Value) -> Value {
    let Some(fields) = fields.as_object_mut() else { return Value::Null };
    let mut taken = Map::new();
    for (key, below) in fields.iter_mut() {
        let part = if key == "f:ports" { split_items(below) } else { split_ports(below) };
        if !is_empty(&part) {
            taken.insert(key.clone(), part);
        }
    }
    // An empty set would say that the field itself is owned.
    fields.retain(|key, below| !(taken.contains_key(key) && is_empty(below)));
    Value::Object(taken)
}

fn split_items(list: &mut Value) -> Value {
    let Some(list) = list.as_object_mut() else { return Value::Null };
    let (items, rest) = std::mem::take(list).into_iter().partition(|(key, _)| key.starts_with("k:"));
    *list = rest;
    Value::Object(items)
}

/// The union of two field sets (`FieldsV1`, structured-merge-diff): nested objects whose keys are
/// path elements.
pub(crate) fn unite(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (key, below) in from {
        unite(into.entry(key).or_insert_with(|| json!({})), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    }

    fn any() -> GroupKind {
        GroupKind { group: "".into(), kind: "ConfigMap".into() }
    }

    fn live(entries: &[Value]) -> Value {
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": entries}})
    }

    #[test]
    fn a_takeover_unites_the_entries_of_kubectl_with_ours() {
        let live = live(&[
            entry("kubectl-client-side-apply", "Update", &json!({"f:data": {"f:a": {}, "f:b": {}}})),
            entry("driftless", "Apply", &json!({"f:data": {"f:a": {}, "f:c": {}}})),
            entry("kube-controller-manager", "Update", &json!({"f:status": {}})),
        ]);
        let patch = takeover(&any(), &live, of_kubectl).unwrap();
        let entries = patch[1]["value"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1]["manager"], "driftless");
        assert_eq!(entries[1]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}}));
        assert_eq!(patch[2]["value"], "7");
    }

    #[test]
    fn there_is_nothing_to_take_over_from_controllers() {
        let live = live(&[entry("kubectl-rollout", "Update", &json!({"f:spec": {}}))]);
        assert_eq!(takeover(&any(), &live, of_kubectl), None);
        assert_eq!(takeover(&any(), &live, ports), None);
    }

    #[test]
    fn ports_are_taken_over_from_whoever_edited_them_and_nothing_else_is() {
        let port = |number: u16| format!("k:{{\"port\":{number},\"protocol\":\"TCP\"}}");
        let item = json!({".": {}, "f:port": {}});
        let live = live(&[
            entry("driftless", "Apply", &json!({"f:spec": {"f:selector": {}}})),
            entry("only-ports", "Update", &json!({"f:spec": {"f:ports": {port(81): item}}})),
            entry("more", "Update", &json!({"f:spec": {"f:ports": {".": {}, port(82): item}, "f:type": {}}})),
            entry("applied", "Apply", &json!({"f:spec": {"f:ports": {port(83): item}}})),
        ]);
        let patch = takeover(&any(), &live, ports).unwrap();
        let entries = patch[1]["value"].as_array().unwrap();
        let fields: Vec<_> = entries.iter().map(|entry| (&entry["manager"], &entry["fieldsV1"])).collect();
        let rest = json!({"f:spec": {"f:ports": {".": {}}, "f:type": {}}});
        let applied = json!({"f:spec": {"f:ports": {port(83): item}}});
        let ours = json!({"f:spec": {"f:selector": {}, "f:ports": {port(81): item, port(82): item}}});
        assert_eq!(fields, [(&json!("more"), &rest), (&json!("applied"), &applied), (&json!("driftless"), &ours)]);
    }
}
