//! Permissions, Secrets, hostile repositories and the sandbox of helpers.

mod hostile_repositories;
mod reader;
#[cfg(target_os = "linux")]
mod sandbox;
mod secrets;
mod service_accounts;
