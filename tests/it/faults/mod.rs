//! Faults of an API server, of etcd, of the clock and of the agent's own process.

mod api_server;
mod clock_jumps;
mod conflicts;
mod control_plane;
mod crash;
mod lag;
mod restored_etcd;
mod silence;
mod unseen;
mod unserved;
mod watches;
