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

/// How often to try to give fields back while others write the object.
const RETURNS: usize = 5;

/// Takes out of an entry of `managedFields` the fields that are to be ours.
type Take = fn(&GroupKind, &mut Value) -> Value;

/// Fields of others that have become ours, with what is needed to give them back.
#[derive(Clone, Debug)]
pub struct Taken {
    /// `managedFields` before.
    before: Vec<Value>,
    /// The object's resource version afterwards.
    version: Value,
}

impl Taken {
    /// Both takeovers of one object as one, of which `later` came second.
    #[must_use]
    pub fn and(self, later: Option<Self>) -> Self {
        let version = later.map_or(self.version, |later| later.version);
        Self { version, ..self }
    }
}

impl Cluster {
    /// Makes the fields ours that `kubectl` owns of a live object, and if that is not in any `ApplySet`
    /// yet, those of other agents too. Guarded by the resource version: if somebody writes in between,
    /// nothing happens (409). `None`: there was nothing to take.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Taken>, ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(None) };
        self.take_from(&live, id, resource, if names::is_in_no_set(&live) { of_agents } else { of_kubectl }).await
    }

    /// Makes the fields ours again that were ignored once, guarded likewise.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_back(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        self.take(id, resource, of_initial).await.map(drop)
    }

    /// Makes ports ours that others have set, guarded likewise. A port whose number or protocol
    /// somebody changed is another list item, which is not ours. Beside the one that git declares
    /// it has the same name, or none, and so the server refuses both.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over_ports(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Taken>, ApiError> {
        self.take(id, resource, ports).await
    }

    /// Gives back what was taken for an apply that did not succeed, so that everybody owns what they
    /// owned before. Where somebody has written since, their changes stay.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn give_back(&self, id: &ObjectId, resource: &Resource, taken: &Taken) -> Result<(), ApiError> {
        let mut tried = 0;
        loop {
            let Some(live) = self.read(id, resource).await? else { return Ok(()) };
            let Some(change) = return_of(&live, taken) else { return Ok(()) };
            tried += 1;
            match self.change_owners(id, resource, &change).await {
                Err(error) if error.is_conflict() && tried < RETURNS => {}
                other => return other.map(drop),
            }
        }
    }

    async fn take(&self, id: &ObjectId, resource: &Resource, take: Take) -> Result<Option<Taken>, ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(None) };
        self.take_from(&live, id, resource, take).await
    }

    async fn take_from(
        &self,
        live: &Value,
        id: &ObjectId,
        resource: &Resource,
        take: Take,
    ) -> Result<Option<Taken>, ApiError> {
        let Some(change) = takeover(&id.gk, live, take) else { return Ok(None) };
        let after = self.change_owners(id, resource, &change).await?;
        let version = after["metadata"]["resourceVersion"].clone();
        Ok(Some(Taken { before: entries(live).cloned().collect(), version }))
    }

    async fn change_owners(&self, id: &ObjectId, resource: &Resource, change: &Value) -> Result<Value, ApiError> {
        let body = Some((JSON_PATCH, change.to_string().into_bytes()));
        let path = format!("{}?fieldManager={}", resource.path(id), names::FIELD_MANAGER);
        self.call(&Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body }).await
    }
}

fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

/// The JSON patch that makes `managedFields` what they were before a takeover, and keeps what others
/// have done since.
fn return_of(live: &Value, taken: &Taken) -> Option<Value> {
    let ours = taken.before.iter().find(|entry| is_ours(entry));
    let returned = if live["metadata"]["resourceVersion"] == taken.version {
        taken.before.clone()
    } else {
        let mut now: Vec<Value> = entries(live).filter(|entry| !is_ours(entry)).cloned().collect();
        for before in taken.before.iter().filter(|entry| !is_ours(entry)) {
            match now.iter_mut().find(|entry| is_same_owner(entry, before)) {
                Some(entry) => unite(&mut entry["fieldsV1"], &before["fieldsV1"]),
                None => now.push(before.clone()),
            }
        }
        now.extend(ours.cloned());
        now
    };
    let same = entries(live).eq(&returned);
    (!same).then(|| owners(live, &returned))
}

/// Entries are told apart by these (KEP-555).
fn is_same_owner(one: &Value, other: &Value) -> bool {
    ["manager", "operation", "apiVersion", "subresource"].iter().all(|key| one.get(key) == other.get(key))
}

/// The JSON patch that sets `managedFields`, if nobody has written the object since it was read.
fn owners(live: &Value, entries: &[Value]) -> Value {
    let metadata = &live["metadata"];
    json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ])
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
    Some(owners(live, &kept))
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

    fn taken(before: &Value, version: &str) -> Taken {
        Taken { before: entries(before).cloned().collect(), version: version.into() }
    }

    #[test]
    fn what_was_taken_is_given_back_as_it_was() {
        let kubectl = entry("kubectl", "Update", &json!({"f:data": {"f:a": {}}}));
        let before = live(&[kubectl]);
        let after = live(&[entry("driftless", "Apply", &json!({"f:data": {"f:a": {}}}))]);
        let patch = return_of(&after, &taken(&before, "7")).unwrap();
        assert_eq!(patch[1]["value"], before["metadata"]["managedFields"]);
        assert_eq!(patch[2]["value"], "7");
        assert_eq!(return_of(&before, &taken(&before, "7")), None, "nothing to give back");
    }

    #[test]
    fn what_others_did_since_stays_when_fields_are_given_back() {
        let ours = entry("driftless", "Apply", &json!({"f:data": {"f:ours": {}}}));
        let flux = |fields: &Value| entry("kustomize-controller", "Apply", fields);
        let before = live(&[ours.clone(), flux(&json!({"f:data": {"f:a": {}}}))]);
        let since = [
            entry("driftless", "Apply", &json!({"f:data": {"f:ours": {}, "f:a": {}}})),
            flux(&json!({"f:data": {"f:b": {}}})),
            entry("somebody", "Update", &json!({"f:data": {"f:c": {}}})),
        ];
        let patch = return_of(&live(&since), &taken(&before, "5")).unwrap();
        let both = flux(&json!({"f:data": {"f:a": {}, "f:b": {}}}));
        assert_eq!(patch[1]["value"], json!([both, since[2], ours]));
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
