//! Why an object was not applied: in words for people, and as what is decided by it.

use std::fmt;
use std::time::Duration;

use crate::cluster::ApiError;
use crate::object::{FieldPath, names};
use crate::plan::{NotReplaced, Obstacle, Replaceable};

#[derive(Debug)]
pub(super) enum ApplyError {
    Api(ApiError),
    /// It cannot be changed in place, and does not ask to be replaced.
    Immutable {
        fields: Vec<String>,
        error: ApiError,
        /// What would be against replacing it.
        against: Option<NotReplaced>,
    },
    /// It cannot be changed in place, asks to be replaced, and could not be created again.
    NotAgain {
        fields: Vec<String>,
        error: ApiError,
    },
    /// It cannot be changed in place, asks to be replaced, and could be created again.
    Replaceable(Replaceable),
    /// It is another object than was planned for, or nobody knows whose any more.
    Changed,
    /// It was stopped before anything was written.
    Stopped,
    /// Its deletion did not end in this time.
    NotGone(Duration),
    /// It was deleted to be replaced, and could not be created again.
    Lost(Box<ApplyError>),
    /// A field is to be ignored that is written only together with others.
    Atomic(FieldPath),
    /// It was not applied, and what was taken over for that could not be given back.
    CoOwned {
        cause: Box<ApplyError>,
        error: ApiError,
    },
}

impl ApplyError {
    pub fn cause(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) | Self::Immutable { error, .. } | Self::NotAgain { error, .. } => Some(error),
            Self::Lost(cause) | Self::CoOwned { cause, .. } => cause.cause(),
            Self::Replaceable(_) | Self::Changed | Self::Stopped | Self::NotGone(_) | Self::Atomic(_) => None,
        }
    }

    /// What is decided by it.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Self::Replaceable(proof) => Obstacle::Immutable(proof.clone()),
            error if error.cause().is_some_and(ApiError::is_definite) => Obstacle::Refused,
            _ => Obstacle::Other,
        }
    }

    /// Whether the object existed and is deleted.
    pub fn lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

impl From<ApiError> for ApplyError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.fmt(out),
            Self::Immutable { fields, error, against: Some(why) } => write!(
                out,
                "{} cannot be changed in place; put back in git what the cluster has, or use another name: {} ({error})",
                fields.join(", "),
                why.why()
            ),
            Self::Immutable { fields, error, against: None } => write!(
                out,
                "{} cannot be changed in place; set the annotation {}: \"true\" to have the object deleted and created again ({error})",
                fields.join(", "),
                names::REPLACE
            ),
            Self::NotAgain { fields, error } => write!(
                out,
                "{} cannot be changed in place, and it is not deleted, since it could not be created again: {error}",
                fields.join(", ")
            ),
            Self::Replaceable(proof) => {
                write!(
                    out,
                    "{} cannot be changed in place, so it is to be deleted and created again",
                    proof.fields.join(", ")
                )
            }
            Self::Changed => {
                out.write_str("it is another object than was planned for, or was changed since, so it is decided anew")
            }
            Self::Stopped => out.write_str("it was stopped before anything was written"),
            Self::NotGone(after) => write!(
                out,
                "it is to be replaced, and its deletion did not end within {} s; its finalizers or its grace period hold it",
                after.as_secs()
            ),
            Self::Lost(cause) => write!(
                out,
                "it was deleted to be replaced, and could not be created again, so it is missing until that succeeds; it is tried again: {cause}"
            ),
            Self::Atomic(path) => write!(
                out,
                "{} names {path}, which is written only as a part of the field around it; name that field",
                names::IGNORE_FIELDS
            ),
            Self::CoOwned { cause, error } => write!(
                out,
                "{cause}; what was taken over from others for this could not be given back to them: {error}"
            ),
        }
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
