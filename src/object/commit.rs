//! The commit that declares objects, as it is reported to people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One commit of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Commit {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Committer time, to the second.
    pub time: Timestamp,
    /// First line of the message, at most [`Commit::SUBJECT`] characters of it.
    pub subject: String,
}

impl Commit {
    /// The longest subject: it goes into logs and into a `ConfigMap`.
    pub const SUBJECT: usize = 200;

    /// The first 12 digits of the id.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}
