//! Label values that the cluster chooses, kept to a number that a metrics store can bear.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What stands for every value that came too late.
pub(super) const OTHER: &str = "other";

/// Lets the first `most` distinct values through and turns all later ones into [`OTHER`].
#[derive(Debug)]
pub(super) struct Bounded {
    most: usize,
    seen: Mutex<BTreeSet<Box<str>>>,
}

impl Bounded {
    /// `reserved` are values that always get through; they count among the `most`.
    pub(super) fn new(most: usize, reserved: &[&str]) -> Self {
        Self { most, seen: Mutex::new(reserved.iter().map(|&value| value.into()).collect()) }
    }

    pub(super) fn admit<'a>(&self, value: &'a str) -> &'a str {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(value) {
            return value;
        }
        if seen.len() >= self.most {
            return OTHER;
        }
        seen.insert(value.into());
        value
    }
}

/// The verbs that requests are counted under.
const VERBS: [&str; 7] = ["get", "list", "watch", "patch", "create", "update", "delete"];

pub(super) fn verb(verb: &str) -> &'static str {
    VERBS.into_iter().find(|known| *known == verb).unwrap_or(OTHER)
}

/// What became of a request to the receiver of webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookResult {
    /// It was passed on to syncs.
    Accepted,
    /// It proved who sent it, and says nothing that a sync follows, or nothing new.
    Ignored,
    /// It did not prove who sent it, or long ago.
    Unauthorized,
    /// It cannot be read.
    Invalid,
    /// There were too many.
    Limited,
}

impl HookResult {
    /// Returns the value of the label `result`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Unauthorized => "unauthorized",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
        }
    }
}

/// An HTTP status in figures; `error` where no answer came, and for what is no HTTP status.
pub(super) fn code(code: Option<u16>) -> String {
    match code {
        Some(code @ 100..=599) => code.to_string(),
        _ => "error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_bound_become_other_and_earlier_ones_stay() {
        let bounded = Bounded::new(3, &["unknown"]);
        assert_eq!(bounded.admit("kubectl"), "kubectl");
        assert_eq!(bounded.admit("helm"), "helm");
        assert_eq!(bounded.admit("argocd"), OTHER);
        assert_eq!(bounded.admit("kubectl"), "kubectl");
        assert_eq!(bounded.admit("unknown"), "unknown");
    }

    #[test]
    fn verbs_and_codes_are_bounded() {
        assert_eq!(verb("watch"), "watch");
        assert_eq!(verb("deletecollection"), OTHER);
        assert_eq!(code(Some(409)), "409");
        assert_eq!(code(None), "error");
        assert_eq!(code(Some(65_535)), "error");
    }
}
