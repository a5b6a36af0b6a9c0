//! The API server: client, discovery, and live objects reduced to what decisions need.

mod access;
mod client;
mod discovery;
mod error;
mod health;
mod list;
mod live;
mod observe;
mod store;
mod watch;
mod write;

pub use access::{Access, Denied};
pub use client::{Cluster, Connect, RequestHook};
pub use discovery::{Discovery, Resource};
pub use error::{ApiError, Cause, with_causes};
pub use health::{has_health, health, health_of, waits_for_consumer};
pub use live::{Followed, Live};
pub use observe::{Seen, Wanted, reduce};
pub use write::{Applied, Deletion, DryRun};
