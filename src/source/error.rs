//! What can go wrong between a URL and a snapshot. Every text names what was attempted and where,
//! holds no credentials, and says what to do where a person can do something.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::refusal::Refusal;
use crate::object::Readable;

/// Why a poll, a fetch or a read gave nothing. No variant ever means "there is nothing to apply".
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server was not reached, or the call failed in a way that no other variant names.
    #[error(
        "cannot reach {url}: {}; check the URL, the server and the network between; it is tried again", Readable(.detail)
    )]
    Unreachable {
        /// URL without credentials.
        url: String,
        /// What went wrong, without credentials.
        detail: String,
    },

    /// The server refuses the credentials, or asks for some that it was not given.
    #[error("{url} asks for credentials that it was not given, or refuses them: {}; check {check}", Readable(.detail))]
    Credentials {
        /// URL without credentials.
        url: String,
        /// What was sent and what came back, without credentials.
        detail: String,
        /// Where the credentials come from.
        check: &'static str,
    },

    /// The credentials of the configuration are none that a connection can be made with.
    #[error("the credentials for {url} cannot be used: {detail}; correct what source.auth names")]
    Login {
        /// URL without credentials.
        url: String,
        /// Which key, and what is wrong with it.
        detail: String,
    },

    /// http: the server was not reached, since the proxy of the environment was not, or refuses.
    #[error(
        "cannot reach {url} through the proxy {proxy}: {}; check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in the \
         agent's environment, and the proxy; it is tried again", Readable(.detail)
    )]
    Proxy {
        /// URL without credentials.
        url: String,
        /// URL of the proxy, without credentials.
        proxy: String,
        /// What went wrong, without credentials.
        detail: String,
    },

    /// http: the server answers no more for now.
    #[error(
        "{url} allows no more requests for now ({status}){}; it is tried again; poll less often, or check {check}: servers \
         allow more to those that they know", until.map(|time| format!(", until {time}")).unwrap_or_default()
    )]
    RateLimited {
        /// URL without credentials.
        url: String,
        /// 429, or 403 where the headers say that it is for now.
        status: u16,
        /// Until when, where the server says so.
        until: Option<Timestamp>,
        /// Where the credentials come from.
        check: &'static str,
    },

    /// http: the list of references, or a request for all of them, is longer than the limit.
    #[error("the references of {url} take more than {limit_bytes} bytes; delete branches and tags that nobody needs")]
    TooManyReferences {
        /// URL without credentials.
        url: String,
        /// The limit in bytes.
        limit_bytes: usize,
    },

    /// `detail`: where to, without credentials, and why that is not followed.
    #[error(
        "{url} redirects to {}; set `source.url` to the address that the repository has now, with the credentials \
         for that server where it needs some", Readable(.detail)
    )]
    Redirected {
        /// URL without credentials.
        url: String,
        /// The new address and why it is not followed, without credentials.
        detail: String,
    },

    /// ssh: libgit2 did not find the server's host key in `$HOME/.ssh/known_hosts`.
    #[error("the host key of {url} is not in known_hosts; add it with ssh-keyscan after checking its fingerprint")]
    HostKey {
        /// URL without credentials.
        url: String,
    },

    /// ssh: the server shows another host key than the known hosts of the credentials have, or they have none.
    #[error(
        "the host key of {url} is not known: {}; compare it with what the host publishes, and have known_hosts of \
         source.auth say it", Readable(.detail)
    )]
    UnknownHostKey {
        /// URL without credentials.
        url: String,
        /// Which key was shown, and which are known, by their fingerprints.
        detail: String,
    },

    /// https: the server's certificate is not trusted.
    #[error("the TLS certificate of {url} is not trusted: {}", Readable(.detail))]
    Certificate {
        /// URL without credentials.
        url: String,
        /// What is wrong with it, and who issued it.
        detail: String,
    },

    /// `reference` as [`crate::config::Reference`] shows it: `branch main`.
    #[error("{url} has no {reference}; push it again, or correct the sync's source")]
    NotFound {
        /// URL without credentials.
        url: String,
        /// What is configured, with its kind.
        reference: String,
    },

    /// No tag is a version in the configured range.
    #[error("{url} has no tag that matches the semver range {range}")]
    NoMatchingTag {
        /// URL without credentials.
        url: String,
        /// The range, as configured.
        range: String,
    },

    /// The repository has no such commit, or the id is not one of 40 hexadecimal digits.
    #[error("{url} has no commit {commit}, or no branch and no tag leads to it")]
    CommitNotFound {
        /// URL without credentials.
        url: String,
        /// Id of the commit, as configured or polled.
        commit: String,
    },

    /// The reference leads to a git object that is no commit.
    #[error("{} of {url} is not a commit", Readable(.name))]
    NotACommit {
        /// URL without credentials.
        url: String,
        /// `refs/heads/main`, `refs/tags/v1.2.3`, or an id.
        name: String,
    },

    /// `id` is what the configuration names, `commit` what the server gives for it.
    #[error(
        "{url} says that {id} is an annotated tag of the commit {commit}, and the objects that it sends do not confirm \
         that; the commit is not used; see whether the server, or something between, changes what it sends"
    )]
    NotTagged {
        /// URL of the repository, without credentials.
        url: String,
        /// 40 hexadecimal digits, as the configuration has them.
        id: String,
        /// 40 hexadecimal digits.
        commit: String,
    },

    /// A remote base is named by the id of a tag, as the server says: there is no clone that could confirm it.
    #[error(
        "{url} says that {id} is an annotated tag of the commit {commit}; name a remote base by the id of the commit \
         itself, or by the name of a tag or branch"
    )]
    BaseByTag {
        /// URL of the repository, without credentials.
        url: String,
        /// 40 hexadecimal digits, as the kustomization has them.
        id: String,
        /// 40 hexadecimal digits.
        commit: String,
    },

    /// The server does not take shallow fetches, and this is a remote base.
    #[error(
        "{url} sends no commit without all of its history, and a remote base is not fetched with it; have the server \
         support shallow fetches, or keep a copy of the base in the repository"
    )]
    BaseNotShallow {
        /// URL of the repository, without credentials.
        url: String,
    },

    /// The server sends no commit by its id, and no branch or tag is at that of a remote base.
    #[error(
        "{url} has no commit {commit}, or sends it only with the history of all branches and tags, and a remote base is \
         not fetched with that; push a tag that is at the commit, or have the server allow fetches by id"
    )]
    BaseNotSent {
        /// URL of the repository, without credentials.
        url: String,
        /// 40 hexadecimal digits.
        commit: String,
    },

    /// Between poll and fetch. Poll again.
    #[error("{} of {url} moved away from {wanted} while it was fetched; it is polled again", Readable(.name))]
    Moved {
        /// URL without credentials.
        url: String,
        /// `refs/heads/main`, `refs/tags/v1.2.3`: what was fetched.
        name: String,
        /// Id of the commit that the poll had found there.
        wanted: String,
    },

    /// The pack of one fetch is larger than the limit.
    #[error("fetching from {url} was given up after {limit_bytes} bytes; split the repository or shrink its history")]
    TooMuchData {
        /// URL without credentials.
        url: String,
        /// The limit in bytes.
        limit_bytes: usize,
    },

    /// The call had its turn and gave no answer in time.
    #[error(
        "{action} {url} did not end within {} seconds and was given up; see whether the server hangs; it is tried again",
        limit.as_secs_f32()
    )]
    Timeout {
        /// URL without credentials.
        url: String,
        /// `polling`, `fetching from` or `reading the clone of`.
        action: &'static str,
        /// How long was waited.
        limit: Duration,
    },

    /// The call to the server did not get its turn in time.
    #[error(
        "{action} {url} has not begun within {} seconds, since other syncs are calling the same server and get no \
         answer; see whether it hangs; it is tried again", limit.as_secs()
    )]
    Crowded {
        /// URL without credentials.
        url: String,
        /// `polling` or `fetching from`.
        action: &'static str,
        /// How long was waited.
        limit: Duration,
    },

    /// The thread for this repository, or the lock of its clone, is still in use.
    #[error("an earlier call to {url} that was given up is still busy; it is tried again later")]
    Busy {
        /// URL without credentials.
        url: String,
    },

    /// The call was given up while it ran: its time was over, or nobody waits for it.
    #[error("{action} {url} was cancelled")]
    Cancelled {
        /// URL without credentials.
        url: String,
        /// `polling` or `fetching from`.
        action: &'static str,
    },

    /// Even after it was cloned anew.
    #[error(
        "the clone of {url} is damaged, and cloning it anew did not help: {}; see whether the repository is sound \
         (git fsck), and whether something between changes what it sends; it is tried again", Readable(.detail)
    )]
    Corrupt {
        /// URL without credentials.
        url: String,
        /// What is damaged, without credentials.
        detail: String,
    },

    /// An operation on the disk of the agent, or the start of a thread, has failed.
    #[error(
        "cannot {action} {}: {}; see whether the disk is full, and whether it can be written",
        path.display(), Readable(&.cause.to_string())
    )]
    Storage {
        /// What was attempted, to be read before the path: `open`, `remove`.
        action: &'static str,
        /// The file or directory; for the start of a thread, the URL without credentials.
        path: PathBuf,
        /// The error, as the operating system gave it or as text.
        cause: io::Error,
    },

    /// A fetch found the disk full, over its quota, or read-only.
    #[error(
        "cannot write what came from {url} to {}: {detail}; make room there, or have `dataDir` point to a larger disk; \
         it is tried again", path.display()
    )]
    Disk {
        /// URL without credentials.
        url: String,
        /// The directory of the clones under `dataDir`.
        path: PathBuf,
        /// Details of libgit2, without credentials.
        detail: String,
    },

    /// `place`: `commit 0123456789ab of URL`, or a directory.
    #[error("{place}: {refusal}")]
    Refused {
        /// Where the content is.
        place: String,
        /// What is wrong with the content.
        #[source]
        refusal: Refusal,
    },
}

impl SourceError {
    /// Whether other credentials might have had another answer, so that they are read again for the next call.
    #[must_use]
    pub fn may_be_the_login(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Credentials { .. }
            | Self::Login { .. }
            | Self::Redirected { .. }
            | Self::HostKey { .. }
            | Self::UnknownHostKey { .. }
            | Self::Certificate { .. } => true,
            Self::Proxy { .. }
            | Self::RateLimited { .. }
            | Self::TooManyReferences { .. }
            | Self::NotFound { .. }
            | Self::NoMatchingTag { .. }
            | Self::CommitNotFound { .. }
            | Self::NotACommit { .. }
            | Self::NotTagged { .. }
            | Self::BaseByTag { .. }
            | Self::BaseNotShallow { .. }
            | Self::BaseNotSent { .. }
            | Self::Moved { .. }
            | Self::TooMuchData { .. }
            | Self::Timeout { .. }
            | Self::Crowded { .. }
            | Self::Busy { .. }
            | Self::Cancelled { .. }
            | Self::Corrupt { .. }
            | Self::Storage { .. }
            | Self::Disk { .. }
            | Self::Refused { .. } => false,
        }
    }
}
