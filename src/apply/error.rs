//! Why an object was not applied: in words for people, and as what is decided by it.

use std::time::Duration;

use thiserror::Error;

use crate::cluster::ApiError;
use crate::object::{FieldPath, names};
use crate::plan::{NotReplaced, Obstacle, Replaceable};

/// Why an object was not applied. Displayed whole, its cause included.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The API server refuses, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// It cannot be changed in place, and does not ask to be replaced.
    #[error("{} cannot be changed in place; {} ({error})", fields.join(", "), way_out(*.against))]
    Immutable {
        /// Paths of the fields that cannot be changed.
        fields: Vec<String>,
        /// What the API server says of them.
        #[source]
        error: ApiError,
        /// What would be against replacing it.
        against: Option<NotReplaced>,
    },
    /// It cannot be changed in place, asks to be replaced, and could not be created again.
    #[error(
        "{} cannot be changed in place, and it is not deleted, since it could not be created again: {error}",
        fields.join(", ")
    )]
    NotAgain {
        /// Paths of the fields that cannot be changed.
        fields: Vec<String>,
        /// Why the server would not create it.
        #[source]
        error: ApiError,
    },
    /// It cannot be changed in place, asks to be replaced, and could be created again.
    #[error("{} cannot be changed in place, so it is to be deleted and created again", .0.fields.join(", "))]
    Replaceable(Replaceable),
    /// It is another object than was planned for, or nobody knows whose any more.
    #[error("it is another object than was planned for, or was changed since, so it is decided anew")]
    Changed,
    /// It was stopped before anything was written.
    #[error("it was stopped before anything was written")]
    Stopped,
    /// Its deletion did not end in this time.
    #[error(
        "it is to be replaced, and its deletion did not end within {} s; its finalizers or its grace period hold it",
        .0.as_secs()
    )]
    NotGone(Duration),
    /// It was deleted to be replaced, and could not be created again.
    #[error(
        "it was deleted to be replaced, and could not be created again, so it is missing until that succeeds; it is tried again: {0}"
    )]
    Lost(#[source] Box<ApplyError>),
    /// A field is to be ignored that is written only together with others.
    #[error(
        "{annotation} names {path}, which is written only as a part of the field around it; name that field",
        annotation = names::IGNORE_FIELDS, path = .0
    )]
    Atomic(FieldPath),
    /// It was not applied, and what was taken over for that could not be given back.
    #[error("{cause}; what was taken over from others for this could not be given back to them: {error}")]
    CoOwned {
        /// Why it was not applied.
        #[source]
        cause: Box<ApplyError>,
        /// Why it could not be given back.
        error: ApiError,
    },
}

/// What a person can do about a field that cannot be changed.
fn way_out(against: Option<NotReplaced>) -> String {
    match against {
        Some(why) => format!("put back in git what the cluster has, or use another name: {}", why.why()),
        None => format!("set the annotation {}: \"true\" to have the object deleted and created again", names::REPLACE),
    }
}

impl ApplyError {
    /// What the API server answered, however deep it lies.
    pub(super) fn answer(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) | Self::Immutable { error, .. } | Self::NotAgain { error, .. } => Some(error),
            Self::Lost(cause) | Self::CoOwned { cause, .. } => cause.answer(),
            Self::Replaceable(_) | Self::Changed | Self::Stopped | Self::NotGone(_) | Self::Atomic(_) => None,
        }
    }

    /// What is decided by it.
    pub(super) fn obstacle(&self) -> Obstacle {
        match self {
            Self::Replaceable(proof) => Obstacle::Immutable(proof.clone()),
            error if error.answer().is_some_and(ApiError::is_definite) => Obstacle::Refused,
            _ => Obstacle::Other,
        }
    }

    /// Whether the object existed and is deleted.
    pub(super) fn lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is reported when the server refuses to change a field.
    fn immutable(field: &str, against: Option<NotReplaced>) -> String {
        let error = ApiError::Refused {
            code: 422,
            reason: "Invalid".into(),
            message: "it is invalid".into(),
            causes: Vec::new(),
        };
        ApplyError::Immutable { fields: vec![field.into()], error, against }.to_string()
    }

    #[test]
    fn an_immutable_field_is_named_with_the_way_out() {
        let text = immutable("spec.clusterIP", None);
        assert!(text.starts_with("spec.clusterIP cannot be changed in place"), "{text}");
        assert!(text.contains("driftless.dev/replace"), "{text}");
    }

    #[test]
    fn nobody_is_advised_to_delete_data() {
        for against in [NotReplaced::KeptKind, NotReplaced::TakesClaims, NotReplaced::Detach] {
            let text = immutable("spec.storageClassName", Some(against));
            assert!(text.starts_with("spec.storageClassName cannot be changed in place"), "{text}");
            assert!(!text.contains("driftless.dev/replace") && !text.contains("prune.include"), "{text}");
        }
    }

    #[test]
    fn what_is_decided_rests_on_what_the_server_answered() {
        let refused =
            |code: u16| ApiError::Refused { code, reason: String::new(), message: "no".into(), causes: Vec::new() };
        assert_eq!(ApplyError::Api(refused(422)).obstacle(), Obstacle::Refused);
        assert_eq!(ApplyError::Lost(Box::new(refused(403).into())).obstacle(), Obstacle::Refused);
        for other in [ApplyError::Api(refused(503)), ApplyError::Changed, ApplyError::NotGone(Duration::ZERO)] {
            assert_eq!(other.obstacle(), Obstacle::Other, "{other}");
        }
    }
}
