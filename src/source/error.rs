//! What can go wrong between a URL and a snapshot. Every text names what was attempted and where,
//! holds no credentials, and says what to do where a person can do something.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
        /// Details of libgit2, without credentials.
        detail: String,
    },

    /// The server refuses the credentials, or asks for some that the URL and the ssh agent do not have.
    #[error(
        "{url} asks for credentials that it was not given, or refuses them: {}; check the user and password \
         in the URL, or the keys in the ssh agent",
        Readable(.detail)
    )]
    Credentials {
        /// URL without credentials.
        url: String,
        /// Details of libgit2, without credentials.
        detail: String,
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

    /// https: libgit2 does not trust the server's certificate.
    #[error("the TLS certificate of {url} is not trusted: {}", Readable(.detail))]
    Certificate {
        /// URL without credentials.
        url: String,
        /// Details of libgit2, without credentials.
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
        refusal: Refusal,
    },
}

/// Why files of a readable commit or directory are not taken. Paths are relative to the
/// repository's root, and shown so that no name can steer a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sync's path, or the root of a bundle, leads to nothing, or a bundle's root is a file.
    #[error("path {path} does not exist")]
    NoSuchPath {
        /// The path, `.` for the root.
        path: String,
    },

    /// The sync's path is a file of another extension.
    #[error("path {path} is a file, but no .yaml, .yml or .json file")]
    PathIsNoManifest {
        /// The path.
        path: String,
    },

    /// A part of the sync's path is a symbolic link, which is not followed there.
    #[error("path {path} leads through the symbolic link {}; name the directory that it points to", Readable(.link))]
    PathThroughLink {
        /// The whole path.
        path: String,
        /// Path of the link.
        link: String,
    },

    /// The sync's path is ignored, which would be taken for a commit that removed everything.
    #[error("path {path} is ignored by a .driftlessignore file above it")]
    PathIgnored {
        /// The path.
        path: String,
    },

    /// A link is absolute, or leads out of the path below which links are followed.
    #[error(
        "symbolic link {} points to {}, which is outside of the path {base}; only links inside of it are \
         followed (an entry in .driftlessignore skips the link)",
        Readable(.link), Readable(.target)
    )]
    LinkLeaves {
        /// Path of the link.
        link: String,
        /// What the link says.
        target: String,
        /// The path that it must not leave, `.` for the root.
        base: String,
    },

    /// A link leads to nothing, through a file, or has a target longer than 4,096 bytes.
    #[error(
        "symbolic link {} points to {}, which does not exist (an entry in .driftlessignore skips it)",
        Readable(.link), Readable(.target)
    )]
    LinkBroken {
        /// Path of the link.
        link: String,
        /// What the link says, or the length of it.
        target: String,
    },

    /// A link leads to a directory that it is in, or through more than 40 links.
    #[error(
        "symbolic link {} points to {}, which leads back to it (an entry in .driftlessignore skips it)",
        Readable(.link), Readable(.target)
    )]
    LinkLoop {
        /// Path of the link.
        link: String,
        /// What the link says.
        target: String,
    },

    /// The path, or an entry below it, is a submodule, or a link leads into one.
    #[error("{} is a submodule, and submodules are not read; an entry in .driftlessignore skips it", Readable(.path))]
    Submodule {
        /// Path of the submodule.
        path: String,
    },

    /// A manifest or a file of ignore rules is larger than the limit.
    #[error(
        "file {} has {bytes} bytes, and {limit} are allowed; split it, or, if it is no manifest, name it in .driftlessignore",
        Readable(.path)
    )]
    FileTooLarge {
        /// Path of the file.
        path: String,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: usize,
    },

    /// There are more manifest files than the limit.
    #[error("path {path} holds more than {limit} manifest files; split it between several syncs")]
    TooManyFiles {
        /// The sync's path, `.` for the root.
        path: String,
        /// Number of files.
        limit: usize,
    },

    /// The manifest files together are larger than the limit.
    #[error(
        "the manifest files in path {path} are larger than {limit} bytes together; split them between several syncs"
    )]
    TotalTooLarge {
        /// The sync's path, `.` for the root.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },

    /// More entries were examined than the limit, whether they are manifests or not.
    #[error(
        "path {path} holds more than {limit} files and directories, counted through symbolic links; narrow the path"
    )]
    TooManyEntries {
        /// The sync's path, `.` for the root.
        path: String,
        /// Number of entries.
        limit: usize,
    },

    /// The files of a bundle together are larger than the limit.
    #[error(
        "the files in {path} are larger than {limit} bytes together, which is too much for a renderer; narrow \
         `render.root` to what it needs"
    )]
    BundleTooLarge {
        /// Root of the bundle, `.` for that of the repository.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },

    /// A bundle has more entries than the limit.
    #[error(
        "{path} holds more than {limit} files and directories, which is too much for a renderer; narrow `render.root` to \
         what it needs"
    )]
    BundleEntries {
        /// Root of the bundle, `.` for that of the repository.
        path: String,
        /// Number of entries.
        limit: usize,
    },

    /// More entries are refused than are reported one by one.
    #[error("path {path} holds more than {limit} files, links and submodules that cannot be taken; the first: {first}")]
    TooManyRefused {
        /// The sync's path, `.` for the root.
        path: String,
        /// Number of entries.
        limit: usize,
        /// The refusal of the first one that was found.
        first: Box<Refusal>,
    },

    /// A directory is nested deeper than the limit, counted through links.
    #[error("directory {} is nested deeper than {limit} levels; move it up, or name it in .driftlessignore", Readable(.path))]
    TooDeep {
        /// Path of the directory.
        path: String,
        /// Number of levels.
        limit: usize,
    },

    /// `tree`: git's id of the directory.
    #[error("a directory (git tree {tree}) has {bytes} bytes of names, and {limit} are allowed; split it")]
    DirectoryTooLarge {
        /// Git's id of the directory, 40 hexadecimal digits.
        tree: String,
        /// Size of the tree object in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// One read has parsed more tree objects than the limit.
    #[error(
        "reading the directories took more than {limit} bytes of them; make them smaller, or use fewer symbolic links"
    )]
    TooMuchWork {
        /// The limit in bytes of all of them together.
        limit: usize,
    },

    /// The path of an entry is longer than the limit.
    #[error("its path has {bytes} bytes, and {limit} are allowed; rename it, or name it in .driftlessignore")]
    PathTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// The name of a manifest, directory, link or submodule is not UTF-8.
    #[error("the name {} is not UTF-8; rename it", Readable(.path))]
    NotUtf8 {
        /// Path of the entry, with U+FFFD for what is not.
        path: String,
    },

    /// A `.driftlessignore` is a symbolic link, is not UTF-8, or has a rule that cannot be understood.
    #[error("{}: {}", Readable(.path), Readable(.detail))]
    IgnoreFile {
        /// Path of the file.
        path: String,
        /// What is wrong with it, and on which line where it is one.
        detail: String,
    },
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
