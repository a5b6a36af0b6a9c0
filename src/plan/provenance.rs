//! Where the objects of a sync come from. Another path, repository or target namespace in the
//! configuration makes every object an orphan at once, and a small sync has so few that the guard
//! of a commit would not ask. So what the inventory comes from is stored with it, and as long as that
//! is something else than the configuration says, nothing is pruned that nobody approved.

use serde::{Deserialize, Serialize};

use crate::config::{Reference, RepositoryKey, SyncConfig};

use super::SyncStatus;

/// Which files the inventory comes from, and where their objects went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Provenance {
    /// The repository's key.
    pub repository: String,
    /// `None` for tags and commits: another one is the next release, which is what a commit is to a
    /// branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// `.` for the root.
    pub path: String,
    /// `None`: not known, which is the case for what older versions have stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// What made manifests of the files, and with which names. `None`: older versions had plain manifests alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendering: Option<String>,
}

/// The rendering of plain manifests.
pub const PLAIN: &str = "plain";

impl Provenance {
    /// As the configuration has it, with what has rendered the files.
    #[must_use]
    pub fn of(config: &SyncConfig, rendering: &str) -> Self {
        Self {
            repository: config.source.key().to_string(),
            branch: match &config.source.reference {
                Reference::Branch(name) => Some(name.to_string()),
                Reference::Tag(_) | Reference::Semver(_) | Reference::Commit(_) | Reference::Named(_) => None,
            },
            path: config.path.to_string(),
            target_namespace: Some(config.target_namespace.as_deref().unwrap_or("default").to_owned()),
            rendering: Some(rendering.to_owned()).filter(|rendering| rendering != PLAIN),
        }
    }

    /// As a stored status has it; `None` where nothing was synced yet.
    #[must_use]
    pub fn stored(status: &SyncStatus) -> Option<Self> {
        // Older versions wrote where they were configured to read from.
        let older = || Self {
            repository: RepositoryKey::of(&status.url).to_string(),
            branch: status.reference.strip_prefix("branch ").map(ToOwned::to_owned),
            path: status.path.clone(),
            target_namespace: None,
            rendering: None,
        };
        status.provenance.clone().or_else(|| status.synced.as_ref().map(|_| older()))
    }

    /// How the configuration differs from this, as a clause; `None`: in nothing that counts.
    #[must_use]
    pub fn change_to(&self, new: &Self) -> Option<String> {
        let mut changes = Vec::new();
        if self.repository != new.repository {
            changes.push(format!("source.url was {} and is {}", self.repository, new.repository));
        }
        let mut note = |key: &str, old: Option<&str>, new: Option<&str>| {
            if let (Some(old), Some(new)) = (old, new)
                && old != new
            {
                changes.push(format!("{key} was {old} and is {new}"));
            }
        };
        note("source.branch", self.branch.as_deref(), new.branch.as_deref());
        note("path", Some(&self.path), Some(&new.path));
        let rendering = |of: &Self| of.rendering.clone().unwrap_or_else(|| PLAIN.to_owned());
        note("the renderer", Some(&rendering(self)), Some(&rendering(new)));
        note("targetNamespace", self.target_namespace.as_deref(), new.target_namespace.as_deref());
        (!changes.is_empty()).then(|| format!("the configuration of the sync has changed ({})", changes.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn of(source: &str, rest: &str) -> Provenance {
        let text = format!("syncs:\n- {{name: shop, source: {{{source}}}, {rest}}}\n");
        Provenance::of(&parse(&text, "driftless.yaml").unwrap().syncs[0], PLAIN)
    }

    #[test]
    fn another_repository_branch_path_or_namespace_is_a_change_and_nothing_else_is() {
        let url = "url: 'https://git.example.com/shop.git'";
        let before = of(&format!("{url}, branch: main"), "path: a, targetNamespace: shop");
        let change = |source: &str, rest: &str| before.change_to(&of(source, rest));
        assert_eq!(change(&format!("{url}, branch: main"), "path: ./a/, targetNamespace: shop, interval: 5m"), None);
        assert_eq!(
            change("url: 'https://x:t0ken@GIT.example.com/shop', branch: main", "path: a, targetNamespace: shop"),
            None
        );
        assert_eq!(change(&format!("{url}, tag: v1"), "path: a, targetNamespace: shop"), None, "a release");
        for (source, rest, part) in [
            (format!("{url}, branch: main"), "path: b, targetNamespace: shop", "path was a and is b"),
            (format!("{url}, branch: main"), "targetNamespace: shop", "path was a and is ."),
            (format!("{url}, branch: main"), "path: a", "targetNamespace was shop and is default"),
            (format!("{url}, branch: next"), "path: a, targetNamespace: shop", "source.branch was main and is next"),
            (
                "url: 'git@git.example.com:shop.git', branch: main".to_owned(),
                "path: a, targetNamespace: shop",
                "source.url was https://git.example.com/shop and is ssh://git@git.example.com/shop",
            ),
        ] {
            let provenance = change(&source, rest).unwrap();
            assert!(provenance.contains(part), "{provenance}");
        }
    }

    #[test]
    fn what_an_older_version_stored_says_where_from_and_not_where_to() {
        let mut status = SyncStatus {
            url: "https://git.example.com/shop.git".into(),
            reference: "branch main".into(),
            path: "a".into(),
            ..SyncStatus::default()
        };
        assert_eq!(Provenance::stored(&status), None, "nothing was synced yet");
        let time = jiff::Timestamp::UNIX_EPOCH;
        status.synced = Some(crate::object::Commit { id: "0".repeat(40), time, subject: String::new() });
        let stored = Provenance::stored(&status).unwrap();
        let url = "url: 'https://git.example.com/shop.git', branch: main";
        assert_eq!(stored.change_to(&of(url, "path: a, targetNamespace: shop")), None);
        assert!(stored.change_to(&of(url, "path: b")).is_some());
        status.provenance = Some(of(url, "path: b"));
        assert_eq!(Provenance::stored(&status), status.provenance);
    }
}
