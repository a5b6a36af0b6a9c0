//! What the agent compares: objects as git declares them (`Manifest`) and as the API server
//! holds them (`Observed`), with the hashes that decide whether the two still agree.
//! Pure values: this room knows of no git, no cluster, no clock.

mod blame;
mod canonical;
mod chance;
mod characters;
mod digest;
mod error;
mod fields;
mod health;
mod identity;
pub(crate) mod lists;
mod managers;
mod manifest;
mod masked;
pub mod names;
mod normalise;
mod observed;
mod path;
mod plain_url;
mod project;
mod quantity;
pub mod version;

pub use blame::{Blame, FieldChange, blame, blame_drift, rewritten};
pub use canonical::canonical_json;
pub use chance::fields_of_chance;
pub use characters::{Displayed, Readable, is_deceptive};
pub use digest::{Digest, DigestKey, Fingerprint, ParseDigestError, Short};
pub use error::{IgnoreFieldsError, ManifestError};
pub use fields::{
    Addition, FieldSet, Foreign, ManagedFieldsEntry, Objection, additions, entries, foreign, lost, owned_siblings,
    owners, unowned_siblings,
};
pub(crate) use fields::{Choice, Element, FieldNode, Released, take_paths};
pub use health::{Health, HealthStatus};
pub use identity::{Commit, GroupKind, ObjectId, Origin, Scope};
pub use managers::{Client, ManagerPattern, Managers};
pub use manifest::{Directives, Manifest};
pub use masked::{HIDDEN, masked};
pub use names::{is_server_metadata, remove_server_metadata};
pub use normalise::normalise;
pub use observed::{Change, Observed, Termination, Unreadable};
pub use path::{FieldPath, ParsePathError, only};
pub use plain_url::PlainUrl;
pub use project::project;
