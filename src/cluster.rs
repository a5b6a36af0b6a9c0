//! The API server: client, discovery, and live objects reduced to what decisions need.

mod access;
mod client;
mod discovery;
mod error;
mod events;
mod fence;
mod health;
mod history;
mod immutable;
mod leadership;
mod lease;
mod list;
mod live;
mod observe;
mod renew;
mod store;
mod takeover;
mod watch;
mod write;

pub use access::{Denied, RbacRule};
pub use client::{Cluster, Connect, RequestHook};
pub use discovery::{Discovery, Resource};
pub use error::{ApiError, Cause, with_causes};
pub use events::NewEvent;
pub use health::{has_health, health, health_of, waits_for_consumer};
pub use history::{History, WentBack, version_of};
pub use leadership::{Leadership, NotLeader};
pub use lease::{LEASE_NAME, leases};
pub use live::{Followed, Live};
pub use observe::{Seen, Wanted, reduce};
pub(crate) use takeover::Takes;
pub use takeover::{Taken, Taking};
pub use write::{Applied, Deletion, DryRun};
