//! Why what is in a commit or a directory is not taken: it breaks a rule or is beyond a bound, and reading it again changes
//! nothing. Every text names the entry, and says what to do.

use crate::object::Readable;

/// Why files of a readable commit or directory are not taken. Paths are relative to the
/// repository's root, and shown so that no name can steer a terminal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sync's path leads to nothing.
    #[error("path {path} does not exist")]
    NoSuchPath {
        /// The path, `.` for the root.
        path: String,
    },

    /// What a renderer may read begins nowhere. Unlike a path that is gone, this says nothing of what a sync declares.
    #[error("render.root {root} does not exist in the commit, or is a file")]
    NoSuchRoot {
        /// The root, `.` for that of the repository.
        root: String,
    },

    /// The sync's path is a file of another extension.
    #[error("path {path} is a file, but no .yaml, .yml or .json file")]
    PathIsNoManifest {
        /// The path.
        path: String,
    },

    /// A commit or tag has a message that is too long to verify its signature.
    #[error("the object {object} has {bytes} bytes of headers and message, and {limit} at most are verified")]
    MessageTooLarge {
        /// Id of the commit or tag.
        object: String,
        /// What it has.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
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
