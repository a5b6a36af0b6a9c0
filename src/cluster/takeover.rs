//! Making fields ours that others own, so that the next apply removes those which git does not
//! declare: an apply removes only what its own manager owned before (KEP-555).

mod left;

use http::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::observe::JSON;
use super::{ApiError, Cluster, Resource};
use crate::object::{
    Addition, Client, FieldChange, FieldPath, GroupKind, Managers, ObjectId, Objection, Released, additions, is_empty,
    names, owned_siblings, set_of, take_paths, unite, unowned_siblings,
};

pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// How often to try while others write the object.
const ATTEMPTS: usize = 5;

/// Which fields of others become ours before an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// The object is in no `ApplySet` yet: those of whoever kept it equal to a file before, and what
    /// people have added.
    Adopt,
    /// It was in ours, and somebody took the label off: the same, but for the labels and annotations of people.
    Again,
    /// Of an object that is ours: what people have added, and what they share with us.
    Additions,
    /// Of an object that is ours: only what people share with us, so that it goes when it leaves git.
    Shared,
}

/// Takes out of an entry of `managedFields` the fields that are to be ours.
type Take<'a> = &'a (dyn Fn(&mut Value) -> Value + Sync);

/// Fields of others that have become ours, with what is needed to give them back.
#[derive(Clone, Debug)]
pub struct Taken {
    /// `managedFields` before.
    before: Vec<Value>,
    /// The object's resource version afterwards.
    version: Value,
    /// What the apply that follows removes of the object.
    pub removed: Vec<FieldChange>,
}

impl Taken {
    /// Both takeovers of one object as one, of which `later` came second.
    #[must_use]
    pub fn and(mut self, later: Option<Self>) -> Self {
        if let Some(later) = later {
            self.version = later.version;
            self.removed.extend(later.removed);
        }
        self
    }
}

impl Cluster {
    /// Makes fields of others ours, so that the apply of `declared` that follows removes what that does not
    /// hold. Guarded by UID and resource version: if somebody writes in between, nothing happens (409).
    /// `None`: there was nothing to take.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over(
        &self,
        id: &ObjectId,
        resource: &Resource,
        taking: Taking,
        declared: &Value,
    ) -> Result<Option<Taken>, ApiError> {
        let mut tried = 1;
        loop {
            // Somebody may write in between, a controller its status for one: then once more on what they wrote.
            match self.take_over_once(id, resource, taking, declared).await {
                Err(error) if error.is_conflict() && tried < ATTEMPTS => tried += 1,
                outcome => return outcome,
            }
        }
    }

    async fn take_over_once(
        &self,
        id: &ObjectId,
        resource: &Resource,
        taking: Taking,
        declared: &Value,
    ) -> Result<Option<Taken>, ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(None) };
        let (gk, managers) = (&id.gk, self.managers());
        let takes = Takes::new(gk, &live["metadata"], managers, taking);
        let take = |entry: &mut Value| takes.take(entry);
        // What an adoption removes is shown by a plan; it is no drift.
        let removed = match taking {
            Taking::Additions | Taking::Again => additions(gk, &live, managers, Some(declared)),
            Taking::Adopt | Taking::Shared => Vec::new(),
        };
        self.take_from(&live, id, resource, &take, &removed).await
    }

    /// Makes the fields ours again that were ignored once, guarded likewise.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_back(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(()) };
        self.take_from(&live, id, resource, &of_initial, &[]).await.map(drop)
    }

    /// Makes what stands in the way of declared fields ours, whoever owns it, guarded likewise: fields
    /// that `declared` does not hold beside one of its own, where the server admits but one of them
    /// (`value` and `valueFrom`), or that clash with it by name (ports, of which somebody has changed the
    /// number, so that they are other items). `refused` are the fields to which the server objects, as
    /// it writes them.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn take_over_what_excludes(
        &self,
        id: &ObjectId,
        resource: &Resource,
        declared: &Value,
        refused: &[Objection],
    ) -> Result<Option<Taken>, ApiError> {
        let mut tried = 1;
        loop {
            // Somebody may write in between, a controller its status for one: then once more on what they wrote.
            match self.take_siblings_once(id, resource, declared, refused).await {
                Err(error) if error.is_conflict() && tried < ATTEMPTS => tried += 1,
                outcome => return outcome,
            }
        }
    }

    async fn take_siblings_once(
        &self,
        id: &ObjectId,
        resource: &Resource,
        declared: &Value,
        refused: &[Objection],
    ) -> Result<Option<Taken>, ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(None) };
        let removed = owned_siblings(&live, declared, refused);
        let paths: Vec<&FieldPath> = removed.iter().map(|one| &one.path).collect();
        let take = |entry: &mut Value| take_paths(entry, &paths);
        let unowned = set_of(&unowned_siblings(&live, declared, refused));
        let Some(change) = takeover(&live, &take, &unowned) else { return Ok(None) };
        self.take_by(&live, id, resource, &change, &removed).await
    }

    /// Takes the entries of a version that the kind does not have any more out of an object's `managedFields`, guarded
    /// likewise. Ours becomes one of the version that is served, so that what left git still goes; what others owned
    /// by theirs is nobody's then.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn drop_stale_owners(&self, id: &ObjectId, resource: &Resource, version: &str) -> Result<(), ApiError> {
        let mut tried = 1;
        loop {
            let Some(live) = self.read(id, resource).await? else { return Ok(()) };
            let Some(change) = without_stale(&live, version) else { return Ok(()) };
            match self.change_owners(id, resource, &change).await {
                Err(error) if error.is_conflict() && tried < ATTEMPTS => tried += 1,
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Gives back what was taken for an apply that did not succeed, so that everybody owns what they
    /// owned before. Where somebody has written since, their changes stay.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn give_back(&self, id: &ObjectId, resource: &Resource, taken: &Taken) -> Result<(), ApiError> {
        let mut tried = 1;
        loop {
            // Somebody may write in between, a controller its status for one: then once more on what they wrote.
            match self.give_back_once(id, resource, taken).await {
                Err(error) if error.is_conflict() && tried < ATTEMPTS => tried += 1,
                outcome => return outcome,
            }
        }
    }

    async fn give_back_once(&self, id: &ObjectId, resource: &Resource, taken: &Taken) -> Result<(), ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(()) };
        match return_of(&live, taken) {
            Some(change) => self.change_owners(id, resource, &change).await.map(drop),
            None => Ok(()),
        }
    }

    async fn take_from(
        &self,
        live: &Value,
        id: &ObjectId,
        resource: &Resource,
        take: Take<'_>,
        removed: &[Addition],
    ) -> Result<Option<Taken>, ApiError> {
        let Some(change) = takeover(live, take, &Value::Null) else { return Ok(None) };
        self.take_by(live, id, resource, &change, removed).await
    }

    async fn take_by(
        &self,
        live: &Value,
        id: &ObjectId,
        resource: &Resource,
        change: &Value,
        removed: &[Addition],
    ) -> Result<Option<Taken>, ApiError> {
        let after = self.change_owners(id, resource, change).await?;
        let version = after["metadata"]["resourceVersion"].clone();
        let secret = id.gk.is("", "Secret");
        let removed = removed.iter().map(|addition| addition.change(live, secret)).collect();
        Ok(Some(Taken { before: entries(live).cloned().collect(), version, removed }))
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

/// The JSON patch that takes the entries of a version out of `managedFields`; ours becomes one of the live version.
fn without_stale(live: &Value, version: &str) -> Option<Value> {
    let is_stale = |entry: &&Value| entry["apiVersion"] == version;
    let mut kept: Vec<Value> = entries(live).filter(|entry| !is_stale(entry)).cloned().collect();
    if kept.len() == entries(live).count() {
        return None;
    }
    if let Some(ours) = entries(live).find(|entry| is_stale(entry) && is_ours(entry)) {
        if let Some(entry) = kept.iter_mut().find(|entry| is_ours(entry)) {
            unite(&mut entry["fieldsV1"], &ours["fieldsV1"]);
        } else {
            let mut ours = ours.clone();
            ours["apiVersion"] = live["apiVersion"].clone();
            kept.push(ours);
        }
    }
    Some(owners(live, &kept))
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

/// The JSON patch that moves fields of others into our own Apply entry, and those that nobody owns.
fn takeover(live: &Value, take: Take<'_>, unowned: &Value) -> Option<Value> {
    let metadata = live.get("metadata")?;
    let mut ours = None;
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for entry in metadata.get("managedFields")?.as_array()? {
        let mut entry = entry.clone();
        if is_ours(&entry) {
            ours = Some(entry);
            continue;
        }
        let fields = take(&mut entry);
        if !is_empty(&fields) {
            taken.push((entry["apiVersion"].clone(), fields));
        }
        if !is_empty(&entry["fieldsV1"]) {
            kept.push(entry);
        }
    }
    if !is_empty(unowned) {
        taken.push((live["apiVersion"].clone(), unowned.clone()));
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

/// What is taken over of others when an object is applied.
pub(crate) struct Takes<'m> {
    gk: &'m GroupKind,
    managers: &'m Managers,
    taking: Taking,
    released: Released<'m>,
}

impl<'m> Takes<'m> {
    /// `metadata`: that of the live object.
    pub fn new(gk: &'m GroupKind, metadata: &Value, managers: &'m Managers, taking: Taking) -> Self {
        let released = Released::new(gk, metadata, managers, taking != Taking::Shared);
        Self { gk, managers, taking, released }
    }

    /// Takes it out of an entry of the object's `managedFields`.
    pub fn take(&self, entry: &mut Value) -> Value {
        let person = || {
            let manager = entry["manager"].as_str();
            manager.is_some_and(|manager| self.managers.client(manager) == Client::Person)
        };
        let whole = match self.taking {
            Taking::Adopt => names::is_taken_over(entry),
            Taking::Again => names::is_taken_over(entry) && !person(),
            Taking::Additions | Taking::Shared => false,
        };
        let mut taken = match whole {
            true if entry["manager"] == names::UNRECORDED => left::split(self.gk, &mut entry["fieldsV1"]),
            true => entry["fieldsV1"].take(),
            false => self.released.take(entry),
        };
        if self.gk.is("", "Secret") {
            as_data(&mut taken);
        }
        taken
    }
}

/// Whoever wrote a Secret's `stringData` owns that, and not what the server made of it in `data` (core/v1, write-only):
/// so the keys are taken there.
fn as_data(taken: &mut Value) {
    let Some(keys) = taken.as_object_mut().and_then(|fields| fields.remove("f:stringData")) else { return };
    unite(taken, &json!({"f:data": keys}));
}

fn of_initial(entry: &mut Value) -> Value {
    if names::is_initial(entry) { entry["fieldsV1"].take() } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    }

    fn live(entries: &[Value]) -> Value {
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": entries}})
    }

    fn config_map() -> GroupKind {
        GroupKind::new("", "ConfigMap")
    }

    /// The patch of a takeover.
    fn patch(live: &Value, taking: Taking) -> Option<Value> {
        let managers = Managers::default();
        let gk = config_map();
        let takes = Takes::new(&gk, &live["metadata"], &managers, taking);
        takeover(live, &|entry| takes.take(entry), &Value::Null)
    }

    #[test]
    fn an_adoption_unites_the_entries_of_kubectl_with_ours() {
        let live = live(&[
            entry("kubectl-client-side-apply", "Update", &json!({"f:data": {"f:a": {}, "f:b": {}}})),
            entry("driftless", "Apply", &json!({"f:data": {"f:a": {}, "f:c": {}}})),
            entry("kube-controller-manager", "Update", &json!({"f:status": {}})),
        ]);
        let patch = patch(&live, Taking::Adopt).unwrap();
        let entries = patch[1]["value"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[1]["manager"], "driftless");
        assert_eq!(entries[1]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}}));
        assert_eq!(patch[2]["value"], "7");
    }

    #[test]
    fn of_an_object_that_is_ours_labels_of_people_stay_theirs() {
        let data = json!({"f:metadata": {"f:annotations": {"f:note": {}}}, "f:data": {"f:a": {}}});
        let live = live(&[
            entry("kubectl-edit", "Update", &data),
            entry("driftless", "Apply", &json!({"f:data": {"f:c": {}}})),
        ]);
        let patch = patch(&live, Taking::Additions).unwrap();
        assert_eq!(patch[1]["value"][0]["fieldsV1"], json!({"f:metadata": {"f:annotations": {"f:note": {}}}}));
        assert_eq!(patch[1]["value"][1]["fieldsV1"], json!({"f:data": {"f:a": {}, "f:c": {}}}));
        assert_eq!(self::patch(&live, Taking::Shared), None);
    }

    #[test]
    fn there_is_nothing_to_take_over_from_controllers() {
        let live = live(&[entry("my-controller", "Update", &json!({"f:spec": {}}))]);
        for taking in [Taking::Adopt, Taking::Again, Taking::Additions, Taking::Shared] {
            assert_eq!(patch(&live, taking), None);
        }
    }

    fn taken(before: &Value, version: &str) -> Taken {
        Taken { before: entries(before).cloned().collect(), version: version.into(), removed: Vec::new() }
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
    fn entries_of_a_version_that_is_gone_are_dropped_and_ours_goes_over_to_the_one_that_is_served() {
        let of = |manager: &str, operation: &str, version: &str, field: &str| json!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsV1": {field: {}}});
        let live = |entries: &[Value]| json!({"apiVersion": "e.com/v1", "metadata": {"uid": "u", "resourceVersion": "7", "managedFields": entries}});
        let entries = [
            of("driftless", "Apply", "e.com/v1alpha1", "f:a"),
            of("other", "Update", "e.com/v1alpha1", "f:b"),
            of("third", "Update", "e.com/v1", "f:c"),
        ];
        let patch = without_stale(&live(&entries), "e.com/v1alpha1").unwrap();
        let kept = json!([of("third", "Update", "e.com/v1", "f:c"), of("driftless", "Apply", "e.com/v1", "f:a")]);
        assert_eq!((&patch[1]["value"], &patch[2]["value"]), (&kept, &json!("7")));
        assert_eq!(without_stale(&live(&entries), "e.com/v2"), None);
        let both = [entries[0].clone(), of("driftless", "Apply", "e.com/v1", "f:d")];
        let patch = without_stale(&live(&both), "e.com/v1alpha1").unwrap();
        assert_eq!(patch[1]["value"][0]["fieldsV1"], json!({"f:a": {}, "f:d": {}}));
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
}
