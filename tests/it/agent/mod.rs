//! The agent itself: its replicas, its configuration and its own objects.

mod config;
mod leader;
mod own_objects;
mod self_managed;
