//! What can go wrong between a URL and a snapshot. Every text names what was attempted and where,
//! holds no credentials, and says what to do where a person can do something.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::object::Readable;

/// Why a poll, a fetch or a read gave nothing. No variant ever means "there is nothing to apply".
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "cannot reach {url}: {}; check the URL, the server and the network between; it is tried again", Readable(.detail)
    )]
    Unreachable { url: String, detail: String },

    #[error(
        "{url} asks for credentials that it was not given, or refuses them: {}; check the user and password \
         in the URL, or the keys in the ssh agent",
        Readable(.detail)
    )]
    Credentials { url: String, detail: String },

    /// `detail`: where to, without credentials, and why that is not followed.
    #[error(
        "{url} redirects to {}; set `source.url` to the address that the repository has now, with the credentials \
         for that server where it needs some", Readable(.detail)
    )]
    Redirected { url: String, detail: String },

    #[error("the host key of {url} is not in known_hosts; add it with ssh-keyscan after checking its fingerprint")]
    HostKey { url: String },

    #[error("the TLS certificate of {url} is not trusted: {}", Readable(.detail))]
    Certificate { url: String, detail: String },

    /// `reference` as [`crate::config::Reference`] shows it: `branch main`.
    #[error("{url} has no {reference}; push it again, or correct the sync's source")]
    NotFound { url: String, reference: String },

    #[error("{url} has no tag that matches the semver range {range}")]
    NoMatchingTag { url: String, range: String },

    #[error("{url} has no commit {commit}, or no branch and no tag leads to it")]
    CommitNotFound { url: String, commit: String },

    #[error("{} of {url} is not a commit", Readable(.name))]
    NotACommit { url: String, name: String },

    /// `id` is what the configuration names, `commit` what the server gives for it.
    #[error(
        "{url} says that {id} is an annotated tag of the commit {commit}, and the objects that it sends do not confirm \
         that; the commit is not used; see whether the server, or something between, changes what it sends"
    )]
    NotTagged { url: String, id: String, commit: String },

    #[error(
        "{url} says that {id} is an annotated tag of the commit {commit}; name a remote base by the id of the commit \
         itself, or by the name of a tag or branch"
    )]
    BaseByTag { url: String, id: String, commit: String },

    #[error(
        "{url} sends no commit without all of its history, and a remote base is not fetched with it; have the server \
         support shallow fetches, or keep a copy of the base in the repository"
    )]
    BaseNotShallow { url: String },

    #[error(
        "{url} has no commit {commit}, or sends it only with the history of all branches and tags, and a remote base is \
         not fetched with that; push a tag that is at the commit, or have the server allow fetches by id"
    )]
    BaseNotSent { url: String, commit: String },

    /// Between poll and fetch. Poll again.
    #[error("{} of {url} moved away from {wanted} while it was fetched; it is polled again", Readable(.name))]
    Moved { url: String, name: String, wanted: String },

    #[error("fetching from {url} was given up after {limit_bytes} bytes; split the repository or shrink its history")]
    TooMuchData { url: String, limit_bytes: usize },

    #[error(
        "{action} {url} did not end within {} seconds and was given up; see whether the server hangs; it is tried again",
        limit.as_secs_f32()
    )]
    Timeout { url: String, action: &'static str, limit: Duration },

    #[error(
        "{action} {url} has not begun within {} seconds, since other syncs are calling the same server and get no \
         answer; see whether it hangs; it is tried again", limit.as_secs()
    )]
    Crowded { url: String, action: &'static str, limit: Duration },

    #[error("an earlier call to {url} that was given up is still busy; it is tried again later")]
    Busy { url: String },

    #[error("{action} {url} was cancelled")]
    Cancelled { url: String, action: &'static str },

    /// Even after it was cloned anew.
    #[error(
        "the clone of {url} is damaged, and cloning it anew did not help: {}; see whether the repository is sound \
         (git fsck), and whether something between changes what it sends; it is tried again", Readable(.detail)
    )]
    Corrupt { url: String, detail: String },

    #[error(
        "cannot {action} {}: {}; see whether the disk is full, and whether it can be written",
        path.display(), Readable(&.cause.to_string())
    )]
    Storage { action: &'static str, path: PathBuf, cause: io::Error },

    #[error(
        "cannot write what came from {url} to {}: {detail}; make room there, or have `dataDir` point to a larger disk; \
         it is tried again", path.display()
    )]
    Disk { url: String, path: PathBuf, detail: String },

    /// `place`: `commit 0123456789ab of URL`, or a directory.
    #[error("{place}: {refusal}")]
    Refused { place: String, refusal: Refusal },
}

/// Why files of a readable commit or directory are not taken. Paths are relative to the
/// repository's root, and shown so that no name can steer a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("path {path} does not exist")]
    NoSuchPath { path: String },

    #[error("path {path} is a file, but no .yaml, .yml or .json file")]
    PathIsNoManifest { path: String },

    #[error("path {path} leads through the symbolic link {}; name the directory that it points to", Readable(.link))]
    PathThroughLink { path: String, link: String },

    #[error("path {path} is ignored by a .driftlessignore file above it")]
    PathIgnored { path: String },

    #[error(
        "symbolic link {} points to {}, which is outside of the path {base}; only links inside of it are \
         followed (an entry in .driftlessignore skips the link)",
        Readable(.link), Readable(.target)
    )]
    LinkLeaves { link: String, target: String, base: String },

    #[error(
        "symbolic link {} points to {}, which does not exist (an entry in .driftlessignore skips it)",
        Readable(.link), Readable(.target)
    )]
    LinkBroken { link: String, target: String },

    #[error(
        "symbolic link {} points to {}, which leads back to it (an entry in .driftlessignore skips it)",
        Readable(.link), Readable(.target)
    )]
    LinkLoop { link: String, target: String },

    #[error("{} is a submodule, and submodules are not read; an entry in .driftlessignore skips it", Readable(.path))]
    Submodule { path: String },

    #[error(
        "file {} has {bytes} bytes, and {limit} are allowed; split it, or, if it is no manifest, name it in .driftlessignore",
        Readable(.path)
    )]
    FileTooLarge { path: String, bytes: u64, limit: usize },

    #[error("path {path} holds more than {limit} manifest files; split it between several syncs")]
    TooManyFiles { path: String, limit: usize },

    #[error(
        "the manifest files in path {path} are larger than {limit} bytes together; split them between several syncs"
    )]
    TotalTooLarge { path: String, limit: usize },

    #[error(
        "path {path} holds more than {limit} files and directories, counted through symbolic links; narrow the path"
    )]
    TooManyEntries { path: String, limit: usize },

    #[error(
        "the files in {path} are larger than {limit} bytes together, which is too much for a renderer; narrow \
         `render.root` to what it needs"
    )]
    BundleTooLarge { path: String, limit: usize },

    #[error(
        "{path} holds more than {limit} files and directories, which is too much for a renderer; narrow `render.root` to \
         what it needs"
    )]
    BundleEntries { path: String, limit: usize },

    #[error("path {path} holds more than {limit} files, links and submodules that cannot be taken; the first: {first}")]
    TooManyRefused { path: String, limit: usize, first: Box<Refusal> },

    #[error("directory {} is nested deeper than {limit} levels; move it up, or name it in .driftlessignore", Readable(.path))]
    TooDeep { path: String, limit: usize },

    /// `tree`: git's id of the directory.
    #[error("a directory (git tree {tree}) has {bytes} bytes of names, and {limit} are allowed; split it")]
    DirectoryTooLarge { tree: String, bytes: usize, limit: usize },

    #[error(
        "reading the directories took more than {limit} bytes of them; make them smaller, or use fewer symbolic links"
    )]
    TooMuchWork { limit: usize },

    #[error("its path has {bytes} bytes, and {limit} are allowed; rename it, or name it in .driftlessignore")]
    PathTooLong { bytes: usize, limit: usize },

    #[error("the name {} is not UTF-8; rename it", Readable(.path))]
    NotUtf8 { path: String },

    #[error("{}: {}", Readable(.path), Readable(.detail))]
    IgnoreFile { path: String, detail: String },
}

impl Refusal {
    /// Whether it is about one entry, without which the others can be taken. Else the snapshot is
    /// beyond a bound as a whole.
    pub(super) fn is_of_one_entry(&self) -> bool {
        !matches!(
            self,
            Self::TooManyFiles { .. }
                | Self::TotalTooLarge { .. }
                | Self::TooManyEntries { .. }
                | Self::TooManyRefused { .. }
                | Self::TooMuchWork { .. }
                | Self::BundleTooLarge { .. }
                | Self::BundleEntries { .. }
        )
    }
}
