//! Making fields ours that others own, so that the next apply removes those which git does not
//! declare: an apply removes only what its own manager owned before (KEP-555).

mod left;
mod patch;

use http::Method;
use serde_json::Value;

use self::patch::{entries, of_one_version, return_of, takeover, without_stale};
use super::client::Call;
use super::observe::JSON;
use super::{ApiError, Cluster, Resource};
use crate::object::{
    Addition, Client, FieldChange, FieldPath, FieldSet, GroupKind, Managers, ObjectId, Objection, Released, additions,
    names, owned_siblings, take_paths, unowned_siblings,
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

/// The JSON patch of an object's owners, and what the apply that follows removes by it.
type Decision = (Value, Vec<FieldChange>);

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
    /// hold. `None`: there was nothing to take.
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
        let (gk, managers) = (&id.gk, self.managers());
        let decide = |live: &Value| {
            let takes = Takes::new(gk, &live["metadata"], managers, taking);
            let change = takeover(live, &|entry, fields| takes.take(entry, fields), &FieldSet::default())?;
            // What an adoption removes is shown by a plan; it is no drift.
            let removed = match taking {
                Taking::Additions | Taking::Again => additions(gk, live, managers, Some(declared)),
                Taking::Adopt | Taking::Shared => Vec::new(),
            };
            Some((change, changes(gk, live, &removed)))
        };
        self.change_owners(id, resource, decide).await
    }

    /// Makes the fields ours again that were ignored once.
    ///
    /// # Errors
    /// The request fails, or is refused, also since somebody wrote in between (409).
    pub async fn take_back(&self, id: &ObjectId, resource: &Resource) -> Result<(), ApiError> {
        let decide = |live: &Value| Some((takeover(live, &of_initial, &FieldSet::default())?, Vec::new()));
        self.change_owners_once(id, resource, &decide).await.map(drop)
    }

    /// Makes what stands in the way of declared fields ours, whoever owns it: fields that `declared` does not
    /// hold beside one of its own, where the server admits but one of them (`value` and `valueFrom`), or that
    /// clash with it by name (ports, of which somebody has changed the number, so that they are other
    /// items). `refused` are the fields to which the server objects, as it writes them.
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
        let decide = |live: &Value| {
            let removed = owned_siblings(live, declared, refused);
            let paths: Vec<&FieldPath> = removed.iter().map(|one| &one.path).collect();
            let unowned = FieldSet::of(&unowned_siblings(live, declared, refused));
            let change = takeover(live, &|entry, fields| take_paths(entry, fields, &paths), &unowned)?;
            Some((change, changes(&id.gk, live, &removed)))
        };
        self.change_owners(id, resource, decide).await
    }

    /// Takes the entries of a version that the kind does not have any more out of an object's `managedFields`. Ours
    /// becomes one of the version that is served, so that what left git still goes; what others owned by theirs is
    /// nobody's then.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn drop_stale_owners(&self, id: &ObjectId, resource: &Resource, version: &str) -> Result<(), ApiError> {
        let decide = |live: &Value| Some((without_stale(live, version)?, Vec::new()));
        self.change_owners(id, resource, decide).await.map(drop)
    }

    /// Has all entries of an object's `managedFields` be of the version that it is read in, with the owners that they have.
    /// Returns whether there were others.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn migrate_owners(&self, id: &ObjectId, resource: &Resource) -> Result<bool, ApiError> {
        let decide = |live: &Value| Some((of_one_version(live)?, Vec::new()));
        Ok(self.change_owners(id, resource, decide).await?.is_some())
    }

    /// Gives back what was taken for an apply that did not succeed, so that everybody owns what they
    /// owned before. Where somebody has written since, their changes stay.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn give_back(&self, id: &ObjectId, resource: &Resource, taken: &Taken) -> Result<(), ApiError> {
        let decide = |live: &Value| Some((return_of(live, &taken.before, &taken.version)?, Vec::new()));
        self.change_owners(id, resource, decide).await.map(drop)
    }

    /// Changes who owns what of an object. Somebody may write in between, a controller its status for one: then it is
    /// decided once more, on what they wrote.
    async fn change_owners(
        &self,
        id: &ObjectId,
        resource: &Resource,
        decide: impl Fn(&Value) -> Option<Decision> + Sync,
    ) -> Result<Option<Taken>, ApiError> {
        let mut tried = 1;
        loop {
            match self.change_owners_once(id, resource, &decide).await {
                Err(error) if error.is_conflict() && tried < ATTEMPTS => tried += 1,
                outcome => return outcome,
            }
        }
    }

    /// The same, guarded by UID and resource version: if somebody writes in between, nothing happens (409). `None`: there
    /// is no such object, or nothing to change.
    async fn change_owners_once(
        &self,
        id: &ObjectId,
        resource: &Resource,
        decide: &(impl Fn(&Value) -> Option<Decision> + Sync),
    ) -> Result<Option<Taken>, ApiError> {
        let Some(live) = self.read(id, resource).await? else { return Ok(None) };
        let Some((change, removed)) = decide(&live) else { return Ok(None) };
        let body = Some((JSON_PATCH, change.to_string().into_bytes()));
        let path = format!("{}?fieldManager={}", resource.path(id), names::FIELD_MANAGER);
        let after = self.call(&Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body }).await?;
        let version = after["metadata"]["resourceVersion"].clone();
        Ok(Some(Taken { before: entries(&live).cloned().collect(), version, removed }))
    }
}

fn changes(gk: &GroupKind, live: &Value, removed: &[Addition]) -> Vec<FieldChange> {
    let secret = names::is_secret(gk, live);
    removed.iter().map(|addition| addition.change(live, secret)).collect()
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

    /// Takes it out of what an entry of the object's `managedFields` owns.
    pub fn take(&self, entry: &Value, fields: &mut FieldSet) -> FieldSet {
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
            true if entry["manager"] == names::UNRECORDED => left::split(self.gk, fields),
            true => std::mem::take(fields),
            false => self.released.take(entry, fields),
        };
        if self.gk.is("", "Secret") {
            // Whoever wrote a Secret's `stringData` owns that, and not what the server made of it in `data` (core/v1,
            // write-only): so the keys are taken there.
            taken.rename("stringData", "data");
        }
        taken
    }
}

fn of_initial(entry: &Value, fields: &mut FieldSet) -> FieldSet {
    if names::is_initial(entry) { std::mem::take(fields) } else { FieldSet::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::patch::tests::{entry, live};
    use super::*;

    fn config_map() -> GroupKind {
        GroupKind::new("", "ConfigMap")
    }

    /// The patch of a takeover.
    fn patch(live: &Value, taking: Taking) -> Option<Value> {
        let managers = Managers::default();
        let gk = config_map();
        let takes = Takes::new(&gk, &live["metadata"], &managers, taking);
        takeover(live, &|entry, fields| takes.take(entry, fields), &FieldSet::default())
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
}
