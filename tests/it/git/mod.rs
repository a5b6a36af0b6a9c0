//! git: servers, references, clones, and what is read of a commit.

mod changed_source;
mod hooks;
mod http;
mod outages;
mod signed_commits;
mod source;
mod ssh;
