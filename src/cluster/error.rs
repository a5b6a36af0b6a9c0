//! What can go wrong with a request to the API server.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::Denied;
use super::leadership::NotLeader;
use crate::object::Objection;

/// One field that the API server objects to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, …
    pub reason: String,
    /// For people, in the server's words. May be empty.
    pub message: String,
    /// Path of the field: `spec.replicas`. Empty for a cause that is about no field.
    pub field: String,
}

/// A request that did not succeed.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// The server answered with a `Status` (`metav1.Status`).
    #[error("{}", Refusal { code: *code, reason, message })]
    Refused {
        /// HTTP status.
        code: u16,
        /// `NotFound`, `Conflict`, `Invalid`, `Forbidden`, …
        reason: String,
        /// `message` of the `Status`; empty where the answer was no `Status`.
        message: String,
        /// `details.causes` of the `Status`; may be empty.
        causes: Vec<Cause>,
    },
    /// The request could not be sent, or no answer began; the text holds the causes.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// The request was not answered in full within this time.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer broke off, is too large, is no JSON, or lacks what it has to have; the text says which.
    #[error("the API server's answer could not be read: {0}")]
    Garbled(String),
    /// The request would have changed something, and this process does not lead.
    #[error("{0}")]
    NotLeader(NotLeader),
    /// The request cannot be built, as with a name that no URL or header can hold; the text says which.
    #[error("cannot make the request: {0}")]
    Request(String),
    /// The kubeconfig or the pod's service account cannot be used.
    #[error(
        "no cluster to connect to (name a kubeconfig with --kubeconfig or $KUBECONFIG, or run in a pod with a service account): {0}"
    )]
    Configuration(String),
}

/// The server's own message, with code and reason where it has none.
struct Refusal<'a> {
    code: u16,
    reason: &'a str,
    message: &'a str,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(denied) = Denied::parse(self.message).filter(|_| self.code == 403) {
            denied.fmt(out)
        } else if self.message.is_empty() {
            write!(out, "the API server answered {} {}", self.code, self.reason)
        } else {
            out.write_str(self.message)
        }
    }
}

/// An error with its causes, each reported once: many errors repeat what lies below them.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    name: String,
    causes: Vec<Cause>,
}

impl ApiError {
    /// Reads an answer whose HTTP status is no success.
    pub(crate) fn from_answer(code: u16, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let details = status.details.unwrap_or_default();
        // A path that is not served (a version or a CRD that is gone, a server that is starting) is
        // answered without the name of an object: that says nothing of whether one exists.
        let unserved = code == 404 && details.name.is_empty();
        let reason = if unserved { "NotServed".into() } else { status.reason };
        Self::Refused { code, reason, message: status.message, causes: details.causes }
    }

    /// HTTP status, where the server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The object does not exist. An API that is not served is another matter: [`ApiError::is_not_served`].
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, reason, .. } if reason == "NotFound")
    }

    /// The server has no such API, or not yet, or no longer: nothing is known of its objects.
    #[must_use]
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Refused { code: 404, reason, .. } if reason == "NotServed")
    }

    /// The server answered 403: a permission is missing, or admission refuses.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether somebody is not let do this: by permissions, or by admission (a webhook answers with
    /// 400 or 403, a `ValidatingAdmissionPolicy` with 422, each in these words).
    #[must_use]
    pub fn is_no_permission(&self) -> bool {
        let Self::Refused { code, message, .. } = self else { return false };
        let admission = message.contains("denied the request") || message.contains("denied request:");
        *code == 403 || (matches!(code, 400 | 422) && admission)
    }

    /// What permission is missing, when that is why the request was refused. Admission (a quota, a
    /// policy) refuses with the same code, and no permission helps against that.
    #[must_use]
    pub fn denied(&self) -> Option<Denied> {
        let Self::Refused { code: 403, message, .. } = self else { return None };
        Denied::parse(message)
    }

    /// Nothing can be created in the namespace, since it is being deleted (core/v1,
    /// `NamespaceTerminatingCause`).
    #[must_use]
    pub fn is_about_a_terminating_namespace(&self) -> bool {
        matches!(self, Self::Refused { causes, .. } if causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }

    /// The server answered 409: resource version or UID is not the given one, or the object exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the server objects to this field. To a UID in a patch that is not the object's own it
    /// objects as to any change of an immutable field (422), for native kinds and custom resources alike.
    #[must_use]
    pub fn is_about(&self, field: &str) -> bool {
        matches!(self, Self::Refused { code: 422, causes, .. } if causes.iter().any(|cause| cause.field == field))
    }

    /// The fields that the server does not admit as the object has them (422): another field may be what
    /// excludes them.
    #[must_use]
    pub fn objections(&self) -> Vec<Objection> {
        let Self::Refused { code: 422, causes, .. } = self else { return Vec::new() };
        let excludes = |message: &str| {
            ["may not", "more than", "one of", "exclusive", "must not"].iter().any(|words| message.contains(words))
        };
        let objection = |cause: &Cause| Objection {
            field: cause.field.clone(),
            exclusive: cause.reason == "FieldValueForbidden" || excludes(&cause.message),
        };
        causes.iter().filter(|cause| !cause.field.is_empty()).map(objection).collect()
    }

    /// The group and version, `e.com/v1alpha1`, in which `managedFields` of the object has entries and which its CRD does
    /// not have any more: every apply of it fails on them (apiextensions, `nopConverter`).
    #[must_use]
    pub fn stale_version(&self) -> Option<&str> {
        let Self::Refused { code: 500, message, .. } = self else { return None };
        let version = message.split_once("request to convert CR to an invalid group/version: ")?.1;
        version.split([' ', ',', ';']).next().filter(|version| !version.is_empty())
    }

    /// `managedFields` of the object has an entry in a version of its kind that lacks a field which the object has, by a
    /// default of another version for one: the server cannot convert it for that entry, and refuses every apply
    /// (structured-merge-diff, `merge/update.go`). What the manifest or the live object has beyond the schema of the version
    /// that is applied is another refusal, and begins with `failed to create typed`.
    #[must_use]
    pub fn is_about_owners_of_another_version(&self) -> bool {
        let Self::Refused { message, .. } = self else { return false };
        // The server gives the path alone (seen at 1.36), or words of the conversion before it.
        message.contains("field not declared in schema") && !message.contains("failed to create typed")
    }

    /// The server would answer the same request in the same way again, as long as neither the object
    /// nor the cluster is another: validation, admission (a webhook that does not answer included), a
    /// missing permission. A server that is busy, a conflict and a kind that is not served are not that.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Refused { code: 400 | 403 | 413 | 422, .. } => !self.is_about_a_terminating_namespace(),
            Self::Refused { code: 500, message, .. } => message.contains("failed calling webhook"),
            _ => self.is_not_found(),
        }
    }

    /// The server answers this while it is busy or starting; the same request may go through later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504) && self.stale_version().is_none(),
            Self::Unreachable(_) | Self::Timeout(_) | Self::Garbled(_) => true,
            Self::NotLeader(_) | Self::Request(_) | Self::Configuration(_) => false,
        }
    }

    /// What the API server says of a field that cannot be changed in place, where it says nothing itself.
    #[must_use]
    pub fn immutable(field: &str) -> Self {
        let words = "may not change once set";
        let cause =
            Cause { reason: "FieldValueForbidden".into(), field: field.into(), message: format!("Forbidden: {words}") };
        Self::Refused { code: 422, reason: "Invalid".into(), message: format!("{field}: {words}"), causes: vec![cause] }
    }

    /// The same error with every message put through `change`.
    #[must_use]
    pub fn map_messages(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Refused { code, reason, message, causes } => Self::Refused {
                code,
                reason,
                message: change(&message),
                causes: causes.into_iter().map(|cause| Cause { message: change(&cause.message), ..cause }).collect(),
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(code: u16, message: &str, field: &str) -> ApiError {
        let body = json!({"kind": "Status", "reason": "Invalid", "message": message,
            "details": {"causes": [{"reason": "FieldValueInvalid", "message": message, "field": field}]}});
        ApiError::from_answer(code, body.to_string().as_bytes())
    }

    #[test]
    fn what_is_refused_for_good_is_distinguished_from_what_may_go_through_later() {
        for (code, message) in [(422, "is invalid"), (403, "denied"), (400, "unknown field")] {
            assert!(answer(code, message, "spec").is_definite(), "{code}");
        }
        assert!(answer(500, "Internal error occurred: failed calling webhook \"w\": no endpoints", "").is_definite());
        for (code, message) in
            [(500, "etcdserver: leader changed"), (409, "conflict"), (429, "busy"), (503, "starting")]
        {
            assert!(!answer(code, message, "").is_definite(), "{code}");
        }
        assert!(!ApiError::Unreachable("refused".into()).is_definite());
        let leaving = json!({"reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert!(!ApiError::from_answer(403, leaving.to_string().as_bytes()).is_definite());
    }

    #[test]
    fn what_the_server_objects_to_shows_whether_another_field_excludes_it() {
        let objections = |message| answer(422, message, "spec.a").objections();
        let objection = |exclusive| [Objection { field: "spec.a".into(), exclusive }];
        assert_eq!(objections("may not be specified when `value` is not empty"), objection(true));
        assert_eq!(objections("Required value"), objection(false));
        assert_eq!(answer(409, "may not", "spec.a").objections(), []);
    }

    #[test]
    fn an_api_that_is_not_served_does_not_say_that_an_object_is_gone() {
        let object = json!({"kind": "Status", "reason": "NotFound", "details": {"name": "x", "kind": "configmaps"}});
        assert!(ApiError::from_answer(404, object.to_string().as_bytes()).is_not_found());
        let native = json!({"kind": "Status", "reason": "NotFound", "details": {}});
        for body in [native.to_string().as_bytes(), b"404 page not found\n"] {
            let error = ApiError::from_answer(404, body);
            assert!(error.is_not_served() && !error.is_not_found(), "{error:?}");
        }
    }

    #[test]
    fn a_missing_permission_is_distinguished_from_what_admission_refuses() {
        let refused = |message: &str| {
            let body = json!({"kind": "Status", "reason": "Forbidden", "message": message, "details": {"name": "a"}});
            ApiError::from_answer(403, body.to_string().as_bytes())
        };
        let denied = refused(
            "configmaps \"a\" is forbidden: User \"u\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"x\"",
        );
        assert!(
            denied.denied().is_some()
                && denied.to_string().starts_with("no permission: u may not create configmaps in x")
        );
        let quota = refused("configmaps \"a\" is forbidden: exceeded quota: small");
        assert!(quota.is_forbidden() && quota.denied().is_none() && quota.to_string().ends_with("quota: small"));
    }

    #[test]
    fn owners_of_another_version_are_told_from_what_the_manifest_or_the_object_has_beyond_the_schema() {
        let about = |message: &str| answer(500, message, "").is_about_owners_of_another_version();
        for of_owners in [
            ".spec.mode: field not declared in schema",
            "failed to prune fields: failed to convert merged object to last applied version: .spec.mode: field not declared in schema",
            "failed to prune fields: failed add back owned items: failed to convert pruned object at version e.com/v1beta1: \
             .spec.mode: field not declared in schema",
            "failed to prune fields: .spec.mode: field not declared in schema",
            "failed to convert old object: .spec.mode: field not declared in schema",
            "failed to convert new object: errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema",
        ] {
            assert!(about(of_owners), "{of_owners}");
        }
        for other in [
            "failed to create typed patch object (a/b; e.com/v1, Kind=X): .spec.mode: field not declared in schema",
            "failed to create typed live object (a/b; e.com/v1, Kind=X): .spec.mode: field not declared in schema",
            "failed to convert new object: conversion webhook failed",
        ] {
            assert!(!about(other), "{other}");
        }
    }

    #[test]
    fn an_answer_without_a_status_is_still_reported() {
        assert_eq!(ApiError::from_answer(502, b"<html>").to_string(), "the API server answered 502 ");
    }
}
