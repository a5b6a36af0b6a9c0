//! How well a live object is, in the words of kstatus.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The statuses of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HealthStatus {
    Current,
    InProgress,
    Failed,
    Terminating,
    NotFound,
    Unknown,
}

impl HealthStatus {
    pub const ALL: [Self; 6] =
        [Self::Current, Self::InProgress, Self::Failed, Self::Terminating, Self::NotFound, Self::Unknown];

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
}

impl Health {
    #[must_use]
    pub fn new(status: HealthStatus, message: impl Into<Box<str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// Nothing is left to wait for.
    #[must_use]
    pub fn current() -> Self {
        Self::new(HealthStatus::Current, "")
    }

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
