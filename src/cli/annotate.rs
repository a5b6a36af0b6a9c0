//! `approve`, `sync`, `suspend` and `resume`: acting on a sync by annotating its parent.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::session::{parent_of, print};
use super::{CliError, Common, Session};
use crate::cluster::Cluster;
use crate::inventory::{Parent, config_maps};
use crate::object::{Displayed, names};
use crate::plan::{Approval, Held};

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// The name of the sync
    sync: String,
}

#[derive(Debug, Args)]
pub(super) struct ApproveArguments {
    /// The name of the sync
    sync: String,
    /// The commit to approve (or its first digits), to be sure that it is the one you reviewed
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
}

async fn find(common: &Common, sync: &str) -> Result<(Cluster, Parent), CliError> {
    let session = Session::open(common)?;
    let cluster = session.connect(None).await?;
    let parent = parent_of(&cluster, &session.namespace, sync).await?;
    Ok((cluster, parent))
}

async fn annotate(cluster: &Cluster, parent: &Parent, name: &str, value: Value) -> Result<(), CliError> {
    Ok(cluster.annotate(&parent.id(), &config_maps(), &json!({ name: value })).await?)
}

pub(super) async fn approve(common: &Common, options: &ApproveArguments) -> Result<u8, CliError> {
    let (cluster, parent) = find(common, &options.sync).await?;
    let sync = &options.sync;
    let Some(held) = &parent.status.held else {
        return Err(CliError::Text(format!("no prune of sync {sync} is held; there is nothing to approve")));
    };
    let short = held.commit.get(..12).unwrap_or(&held.commit);
    let other = |wanted: &&String| wanted.is_empty() || !held.commit.starts_with(wanted.as_str());
    if let Some(wanted) = options.commit.as_ref().filter(other) {
        return Err(CliError::Text(format!(
            "the prune of sync {sync} is held for commit {short}, not for {wanted}; review it again with `driftless plan --sync {sync}`"
        )));
    }
    if held.digest.is_empty() {
        return Err(CliError::Text(format!(
            "the prune of sync {sync} was held by an older version of driftless, which did not store what it is about; once an agent of this version has planned it, approve it again"
        )));
    }
    print(&shown(sync, held))?;
    let value = Approval::value_for(held, &Timestamp::now().to_string());
    annotate(&cluster, &parent, names::APPROVE, value.into()).await?;
    let despite =
        if held.is_dead_end() { format!(", before all of it is applied: {}", held.reason) } else { String::new() };
    print(&format!(
        "approved: sync {sync} may delete {} of {} objects with commit {short}{}\n",
        held.prune,
        held.total,
        Displayed(&despite)
    ))
}

/// What is held, as far as the parent lists it.
fn shown(sync: &str, held: &Held) -> String {
    let mut text = String::new();
    for object in &held.objects {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  delete {object}");
    }
    let more = held.prune.saturating_sub(held.objects.len());
    if more > 0 {
        let _ = writeln!(text, "  and {more} more; `driftless plan --sync {sync}` lists them all");
    }
    text
}

pub(super) async fn sync(common: &Common, options: &SyncArguments) -> Result<u8, CliError> {
    let (cluster, parent) = find(common, &options.sync).await?;
    annotate(&cluster, &parent, names::SYNC_REQUESTED, Timestamp::now().to_string().into()).await?;
    let suspended = if parent.suspended { "; it is suspended, so nothing happens before it is resumed" } else { "" };
    print(&format!("asked for: the agent polls git for sync {} now{suspended}\n", options.sync))
}

pub(super) async fn suspend(common: &Common, options: &SyncArguments) -> Result<u8, CliError> {
    let (cluster, parent) = find(common, &options.sync).await?;
    annotate(&cluster, &parent, names::SUSPEND, "true".into()).await?;
    let sync = &options.sync;
    print(&format!("suspended: sync {sync} applies, heals and prunes nothing until `driftless resume {sync}`\n"))
}

pub(super) async fn resume(common: &Common, options: &SyncArguments) -> Result<u8, CliError> {
    let (cluster, parent) = find(common, &options.sync).await?;
    let sync = &options.sync;
    if !parent.suspended {
        return print(&format!("sync {sync} is not suspended by `driftless suspend`; nothing was changed\n"));
    }
    annotate(&cluster, &parent, names::SUSPEND, Value::Null).await?;
    print(&format!("resumed: sync {sync} goes on\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;

    #[test]
    fn what_is_approved_is_shown_as_far_as_it_is_known_and_counted_in_full() {
        let object = |name: &str| ObjectId::new("", "ConfigMap", Some("shop"), name);
        let held = Held { prune: 7, objects: vec![object("a"), object("b")], ..Held::default() };
        let text = shown("shop", &held);
        assert_eq!(
            text,
            "  delete ConfigMap shop/a\n  delete ConfigMap shop/b\n  and 5 more; `driftless plan --sync shop` lists them all\n"
        );
        assert_eq!(shown("shop", &Held { prune: 2, ..held }), "  delete ConfigMap shop/a\n  delete ConfigMap shop/b\n");
    }
}
