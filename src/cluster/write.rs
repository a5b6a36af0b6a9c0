//! Writing: server-side apply, and deletion with a UID precondition.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Call;
use super::observe::{JSON, reduce};
use super::takeover::JSON_PATCH;
use super::{ApiError, Cluster, RbacRule, Resource};
use crate::object::{ObjectId, Observed, names};

const APPLY: &str = "application/apply-patch+yaml";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// The answer to an apply.
#[derive(Clone, Debug)]
pub struct Applied {
    /// `object`, reduced to what is remembered of a live object.
    pub live: Observed,
    /// The object whole, as the server answered it.
    pub object: Value,
}

/// Whether a write is only asked about (`dryRun=All`): admitted, validated, and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// The write is carried out.
    No,
    /// The write is only asked about. A process that does not lead may do this.
    Yes,
}

/// How a deletion was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The object is gone, or was not there.
    Gone,
    /// It waits for finalizers or a grace period.
    Accepted,
    /// Under this name there is another object by now, which was left alone.
    AnotherUid,
}

impl Cluster {
    /// Applies an object, forced, under our field manager and with strict validation.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn apply(
        &self,
        id: &ObjectId,
        resource: &Resource,
        object: &Value,
        dry_run: DryRun,
    ) -> Result<Applied, ApiError> {
        self.apply_as(names::FIELD_MANAGER, id, resource, object, dry_run).await
    }

    /// Applies some fields of a live object, with the values that they have, under the field
    /// manager that holds what is ignored. `fields` carry the resource version: if somebody writes
    /// in between, nothing happens (409).
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn hand_over(&self, id: &ObjectId, resource: &Resource, fields: &Value) -> Result<(), ApiError> {
        self.apply_as(names::INITIAL_MANAGER, id, resource, fields, DryRun::No).await.map(drop)
    }

    async fn apply_as(
        &self,
        manager: &str,
        id: &ObjectId,
        resource: &Resource,
        object: &Value,
        dry_run: DryRun,
    ) -> Result<Applied, ApiError> {
        let dry = if dry_run == DryRun::Yes { "&dryRun=All" } else { "" };
        let path = format!("{}?fieldManager={manager}&force=true&fieldValidation=Strict{dry}", resource.path(id));
        let body = Some((APPLY, object.to_string().into_bytes()));
        let call = Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body };
        let object = self.call(&call).await?;
        let live = reduce(&id.gk, resource.namespaced, &object, self.managers(), Timestamp::now())
            .ok_or_else(|| ApiError::Garbled("an applied object without name or UID".into()))?;
        Ok(Applied { live, object })
    }

    /// What a JSON patch would make of an object; nothing is written.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn try_change(&self, id: &ObjectId, resource: &Resource, change: &Value) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={}&dryRun=All", resource.path(id), names::FIELD_MANAGER);
        let body = Some((JSON_PATCH, change.to_string().into_bytes()));
        self.call(&Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body }).await
    }

    /// Whether this user may take the object with this UID over into a set; nothing is written.
    /// `false`: permissions or an admission policy do not let them.
    ///
    /// # Errors
    /// It cannot be said: the request fails, or is refused for another reason.
    pub async fn may_take_over(
        &self,
        id: &ObjectId,
        resource: &Resource,
        uid: &str,
        set_id: &str,
    ) -> Result<bool, ApiError> {
        let change = json!({"metadata": {"uid": uid, "labels": {names::PART_OF: set_id}}});
        let path = format!("{}?fieldManager={}&dryRun=All", resource.path(id), names::FIELD_MANAGER);
        let body = Some((MERGE_PATCH, change.to_string().into_bytes()));
        match self.call(&Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body }).await {
            Ok(_) => Ok(true),
            // Who may not even ask in the name of that user learns nothing of their rights.
            Err(error) if error.denied().is_some_and(|denied| denied.access.verb == "impersonate") => Err(error),
            Err(error) if error.is_no_permission() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes the object with this UID and no other.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn delete(&self, id: &ObjectId, resource: &Resource, uid: &str) -> Result<Deletion, ApiError> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid}, "propagationPolicy": "Background"});
        let body = Some((JSON, options.to_string().into_bytes()));
        let call = Call { verb: "delete", method: Method::DELETE, path: resource.path(id), accept: JSON, body };
        match self.call(&call).await {
            Ok(answer) if answer.pointer("/metadata/deletionTimestamp").is_some() => Ok(Deletion::Accepted),
            Ok(_) => Ok(Deletion::Gone),
            Err(error) if error.is_not_found() => Ok(Deletion::Gone),
            // The precondition is not the only conflict there is: the object shows which one it was.
            Err(error) if error.is_conflict() => match self.read_one(id, resource).await? {
                None => Ok(Deletion::Gone),
                Some(live) if *live.uid != *uid => Ok(Deletion::AnotherUid),
                Some(live) if live.terminating.is_some() => Ok(Deletion::Accepted),
                Some(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Takes our label and annotation off the object with this UID. Its fields stay as they are, and
    /// stay ours in `managedFields`, where nobody minds.
    ///
    /// `false`: under this name there is another object by now, which was left alone.
    ///
    /// # Errors
    /// The request fails, or is refused.
    pub async fn release(&self, id: &ObjectId, resource: &Resource, uid: &str) -> Result<bool, ApiError> {
        let change = json!({"metadata": {
            "uid": uid, "labels": {names::PART_OF: null}, "annotations": {names::DIGEST: null}}});
        let path = format!("{}?fieldManager={}", resource.path(id), names::FIELD_MANAGER);
        let body = Some((MERGE_PATCH, change.to_string().into_bytes()));
        let call = Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body };
        match self.call(&call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(true),
            Err(error) if error.is_about("metadata.uid") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets annotations on an object, or removes those whose value is null.
    ///
    /// # Errors
    /// The request fails, or is refused; there is no such object.
    pub async fn annotate(&self, id: &ObjectId, resource: &Resource, annotations: &Value) -> Result<(), ApiError> {
        let change = json!({"metadata": {"annotations": annotations}});
        // Another manager than that of our applies, which would otherwise remove these again.
        let path = format!("{}?fieldManager=driftless-cli", resource.path(id));
        let body = Some((MERGE_PATCH, change.to_string().into_bytes()));
        let call = Call { verb: "patch", method: Method::PATCH, path, accept: JSON, body };
        self.call(&call).await.map(drop)
    }

    /// Creates an object that must not exist yet.
    ///
    /// # Errors
    /// The request fails, or is refused; it exists (409).
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!("{}?fieldManager={}", resource.collection(namespace), names::FIELD_MANAGER);
        let body = Some((JSON, object.to_string().into_bytes()));
        self.call(&Call { verb: "create", method: Method::POST, path, accept: JSON, body }).await
    }

    /// Asks whether an object would be admitted if it were created now. Where one of the same name
    /// exists, the answer to an object that would be is 409 ([`ApiError::is_already_exists`]): the
    /// server checks for it last, after validation and all admission.
    ///
    /// # Errors
    /// The request fails, or is refused; it exists.
    pub async fn try_create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let path = format!(
            "{}?fieldManager={}&fieldValidation=Strict&dryRun=All",
            resource.collection(namespace),
            names::FIELD_MANAGER
        );
        let body = Some((JSON, object.to_string().into_bytes()));
        self.call(&Call { verb: "create", method: Method::POST, path, accept: JSON, body }).await
    }

    /// Asks whether a request would be allowed (`SelfSubjectAccessReview`).
    pub async fn may(&self, access: RbacRule) -> (RbacRule, Result<bool, ApiError>) {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": access.verb, "group": access.group,
                "resource": access.resource, "namespace": access.namespace.clone().unwrap_or_default(),
                "name": access.name.clone().unwrap_or_default()}}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into();
        let body = Some((JSON, review.to_string().into_bytes()));
        let answer = self.call(&Call { verb: "create", method: Method::POST, path, accept: JSON, body }).await;
        (access, answer.map(|review| review.pointer("/status/allowed") == Some(&Value::Bool(true))))
    }
}
