//! Reading parents, each with the shards that it names.

use serde_json::Value;

use super::parent::config_map_id;
use super::{InventoryError, Parent, config_maps, parent_id};
use crate::cluster::{ApiError, Cluster};
use crate::config::SyncName;
use crate::object::{GroupKind, ObjectId, names};

/// How often a parent is read that is stored anew while it is read.
const READS: usize = 5;

/// Reads the parent of a sync; `None` when there is none yet.
///
/// # Errors
/// It cannot be read, is damaged, or belongs to another tool.
pub async fn read_parent(
    cluster: &Cluster,
    namespace: &str,
    sync: &SyncName,
) -> Result<Option<Parent>, InventoryError> {
    let id = parent_id(namespace, sync);
    let live = cluster.read_own(&id, &config_maps()).await;
    match live.map_err(|cause| InventoryError::Read { id, cause: Box::new(cause) })? {
        Some(live) => with_shards(cluster, namespace, live).await,
        None => Ok(None),
    }
}

/// All parents in a namespace, with those that cannot be read as errors.
///
/// # Errors
/// They cannot be listed.
pub async fn read_parents(
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<Result<Parent, InventoryError>>, InventoryError> {
    let mut parents = Vec::new();
    for live in list(cluster, namespace).await? {
        parents.extend(with_shards(cluster, namespace, live).await.transpose());
    }
    Ok(parents)
}

/// Like [`read_parents`], for those who want to know which objects there are and not what was
/// recorded of them: of an inventory that has shards, nothing is.
///
/// # Errors
/// They cannot be listed.
pub async fn list_parents(
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<Result<Parent, InventoryError>>, InventoryError> {
    let live = list(cluster, namespace).await?;
    Ok(live.iter().map(|live| Parent::from_live(live, &[]).map_err(Into::into)).collect())
}

/// The syncs that have a parent in a namespace, by its name alone.
///
/// # Errors
/// They cannot be listed.
pub async fn parent_names(cluster: &Cluster, namespace: &str) -> Result<Vec<SyncName>, ApiError> {
    let kind = GroupKind::new("", "ConfigMap");
    let all = cluster.names(&kind, &config_maps(), namespace, names::SYNC_LABEL).await?;
    Ok(all.iter().filter_map(|name| SyncName::parse(name.strip_prefix(names::PARENT_PREFIX)?)).collect())
}

async fn list(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, InventoryError> {
    let items = cluster.list_whole(&config_maps(), Some(namespace), names::SYNC_LABEL).await;
    items.map_err(|cause| InventoryError::List { namespace: namespace.to_owned(), cause: Box::new(cause) })
}

async fn read_config_map(cluster: &Cluster, id: ObjectId) -> Result<Option<Value>, InventoryError> {
    let live = cluster.read(&id, &config_maps()).await;
    live.map_err(|cause| InventoryError::Read { id, cause: Box::new(cause) })
}

/// Reads the shards of a live parent, if it has any. `None`: it was deleted meanwhile.
async fn with_shards(cluster: &Cluster, namespace: &str, mut live: Value) -> Result<Option<Parent>, InventoryError> {
    for _ in 1..READS {
        let (parent, complete) = assemble(cluster, namespace, &live).await?;
        if complete {
            return Ok(Some(parent));
        }
        // Either a shard is lost, or the agent has replaced it and the parent since that was read.
        match read_config_map(cluster, parent.id()).await? {
            Some(again) if again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"] => {
                return Ok(Some(parent));
            }
            Some(again) => live = again,
            None => return Ok(None),
        }
    }
    Ok(Some(assemble(cluster, namespace, &live).await?.0))
}

/// The parent, and whether all shards that it names are there.
async fn assemble(cluster: &Cluster, namespace: &str, live: &Value) -> Result<(Parent, bool), InventoryError> {
    let names = Parent::shard_names(live);
    let reads = names.iter().map(|name| read_config_map(cluster, config_map_id(namespace, name)));
    let shards: Vec<Value> = futures::future::try_join_all(reads).await?.into_iter().flatten().collect();
    let parent = Parent::from_live(live, &shards)?;
    Ok((parent, shards.len() == names.len()))
}
