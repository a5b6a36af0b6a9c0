//! The kinds of sender, each with a path, a key of the Secret, and a way of its own to prove who it is.

use std::fmt;

/// A kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// GitHub, and what has its webhooks.
    Github,
    /// GitLab, of one project or of all.
    Gitlab,
    /// Gitea, Forgejo, and Gogs.
    Gitea,
    /// Bitbucket Cloud and Data Center.
    Bitbucket,
    /// Azure DevOps, by a service hook.
    Azure,
    /// A registry: notifications of Docker's distribution, or a webhook of Harbor.
    Registry,
    /// Anything that signs with `X-Driftless-Signature`.
    Hmac,
}

impl Sender {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Github, Self::Gitlab, Self::Gitea, Self::Bitbucket, Self::Azure, Self::Registry, Self::Hmac];

    /// Returns the key of the Secret, which is the last part of the path as well.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Bitbucket => "bitbucket",
            Self::Azure => "azure",
            Self::Registry => "registry",
            Self::Hmac => "hmac",
        }
    }

    /// The one whose path this is, such as `/hooks/github`.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let key = path.strip_prefix("/hooks/")?;
        Self::ALL.into_iter().find(|sender| sender.key() == key)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Bitbucket => "Bitbucket",
            Self::Azure => "Azure DevOps",
            Self::Registry => "a registry",
            Self::Hmac => "a sender of its own kind",
        })
    }
}
