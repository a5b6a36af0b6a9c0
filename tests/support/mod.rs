//! What tests need of the world around driftless.

pub mod agent;
pub mod audit;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod deploy;
pub mod dns;
pub mod etcd;
pub mod fault;
pub mod git;
pub mod githttp;
pub mod image;
pub mod plane;
pub mod policy;
pub mod process;
pub mod prometheus;
pub mod rights;
pub mod site;
pub mod stall;
pub mod story;
pub mod tls;
pub mod wait;
pub mod watched;
pub mod webhook;
