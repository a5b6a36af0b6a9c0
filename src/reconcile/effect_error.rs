//! Why an effect had no success, as a value.

use std::error::Error;
use std::sync::Arc;

/// Why an effect had no success, in words for people and without credentials. The machine is compared with others, so it
/// holds no error of a library; and it decides nothing by the words: what it has to distinguish is a variant of the input,
/// as in [`Unrendered`](super::Unrendered).
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{0}")]
pub struct EffectError(Arc<str>);

impl EffectError {
    /// Takes an error whose text says all, its causes included.
    #[must_use]
    pub fn of(error: &impl Error) -> Self {
        Self(error.to_string().into())
    }
}

impl From<&str> for EffectError {
    fn from(words: &str) -> Self {
        Self(words.into())
    }
}
