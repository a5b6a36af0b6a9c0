//! How well a live object is, in the words of kstatus.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The statuses of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Its controller has done all that its spec asks for, or there is nothing to be done.
    Current,
    /// Its controller has not finished, or has not seen the newest generation yet.
    InProgress,
    /// Its controller, or the kind's own rule, says that it cannot become current as it is.
    Failed,
    /// It is being deleted, and something still holds it: finalizers or a grace period.
    Terminating,
    /// The object or its kind does not exist.
    NotFound,
    /// It could not be read, or its state is one without a rule, such as a Pod's phase `Unknown`.
    Unknown,
}

impl HealthStatus {
    /// Every status once: the values of the label `health` of `driftless_objects`.
    pub const ALL: [Self; 6] =
        [Self::Current, Self::InProgress, Self::Failed, Self::Terminating, Self::NotFound, Self::Unknown];

    /// Returns the name that kstatus gives to the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// A status with the reason for it, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Health {
    /// Status by the rules of kstatus.
    pub status: HealthStatus,
    /// The reason as a clause; empty where there is none to give.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}

impl Health {
    /// Makes a health of a status and the reason for it, which may be empty.
    #[must_use]
    pub fn new(status: HealthStatus, message: impl Into<Box<str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// Nothing is left to wait for.
    #[must_use]
    pub fn current() -> Self {
        Self::new(HealthStatus::Current, "")
    }

    /// Whether the object is healthy: its status is `Current`.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.status == HealthStatus::Current
    }
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { self.status.fmt(out) } else { write!(out, "{}: {}", self.status, self.message) }
    }
}
