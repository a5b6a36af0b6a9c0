//! git: which commit a branch is at, and the files of one commit under a path.
//!
//! ```text
//!  Git (async, time limits) ──> Remote (trait, blocking) ──> GitRemote ──> transport: ls-remote, fetch ──> http, ssh, disk
//!                                                                ├───────> clone: the bare clone on disk
//!                                                                └───────> tree ─┐
//!                                              read_directory ──> directory ─────┴─> walk: the rules
//! ```
//! Nothing here knows what a manifest means, or of any cluster.

mod base;
mod bundle;
mod clone;
mod credentials;
mod directory;
mod error;
mod files;
mod git;
mod http;
mod ignore;
mod known_hosts;
mod libgit2;
mod links;
mod login;
mod reference;
mod refusal;
mod remote;
mod scrub;
mod snapshot;
mod tidy;
mod transport;
mod tree;
mod turns;
mod verify;
mod walk;

pub use base::RemoteBase;
pub use bundle::{Bundle, BundleContent, BundleEntry, Dependencies, Layout, MOST_BUNDLE_BYTES};
pub use directory::{bundle_directory, directory_layout, read_directory};
pub use error::SourceError;
pub use git::{Git, Timeouts};
pub use libgit2::GitRemote;
pub use login::{Login, LoginError};
pub use refusal::Refusal;
pub use remote::{Remote, Revision};
pub use snapshot::{Limits, Refused, Snapshot, SourceFile};
pub use tidy::{Tidied, remove_unused_clones};
pub use turns::Turns;
pub use verify::{Signer, Signers, SignersError, Unverified};
