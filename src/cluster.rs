//! The API server: client, discovery, and live objects reduced to what decisions need.

mod client;
mod discovery;
mod error;
mod health;
mod list;
mod live;
mod observe;
mod renew;
mod store;
mod watch;
mod write;

pub use client::{Access, Cluster, Connect, RequestHook};
pub use discovery::{Discovery, Resource};
pub use error::{ApiError, Cause, with_causes};
pub use health::{has_health, health, health_of, waits_for_consumer};
pub use live::{Followed, Live};
pub use observe::{Seen, Wanted, reduce};
pub use write::{Applied, Deletion, DryRun};
