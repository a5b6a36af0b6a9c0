//! Storing the inventory of one sync: its parent and, where that has no room for all of it, the
//! shards around it.
//!
//! The order is what keeps the stored inventory right when the agent dies between two writes:
//! first the shards, which nobody refers to yet; then the parent, which switches from the old
//! inventory to the new one at once; last the deletion of shards that nobody refers to any more.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::parent::config_map_id;
use super::shards::LiveShards;
use super::{EncodedParent, InventoryError, Parent, Shard, config_maps, parent_id};
use crate::cluster::{ApiError, Applied, Cluster, DryRun, version_of};
use crate::config::SyncName;
use crate::object::version::is_older;
use crate::plan::{Inventory, SyncStatus};

/// How often a parent is written that others change meanwhile.
const TRIES: usize = 5;

/// Where the inventory of one sync is stored, and what is there.
pub struct ParentStore {
    cluster: Cluster,
    namespace: Arc<str>,
    sync: SyncName,
    /// The resource version of the parent when it was read or written last; `None`: there was none.
    version: Mutex<Option<Arc<str>>>,
    /// `None` before the first write and after one that failed: the server is asked.
    shards: Mutex<Option<LiveShards>>,
}

/// What came of a write.
pub struct WriteOutcome {
    /// Of the parent.
    pub parent_uid: String,
    /// For people: shards that could not be deleted. They do no harm but take room, and the next
    /// write tries again.
    pub warnings: Vec<String>,
}

impl ParentStore {
    /// `cluster` with the agent's own rights: the parent is the agent's, not the sync's.
    #[must_use]
    pub fn new(cluster: Cluster, namespace: Arc<str>, sync: SyncName) -> Self {
        Self { cluster, namespace, sync, version: Mutex::default(), shards: Mutex::default() }
    }

    /// Knows the resource version with which the parent was read.
    #[must_use]
    pub fn with_version(mut self, version: Option<&str>) -> Self {
        self.version = Mutex::new(version.map(Into::into));
        self
    }

    /// Stores inventory and status. One request (and a LIST at the first time), unless the inventory
    /// needs shards or needed some before; of those, only the changed ones are written.
    ///
    /// # Errors
    /// The inventory is not stored, or not known to be.
    pub async fn write(&self, inventory: Inventory, status: &SyncStatus) -> Result<WriteOutcome, InventoryError> {
        let mut parent = Parent::new(self.sync.clone(), Arc::clone(&self.namespace));
        parent.inventory = inventory;
        parent.status = status.clone();
        // It takes time with the number of objects.
        let encoded = tokio::task::spawn_blocking(move || parent.to_apply()).await;
        let encoded = encoded.map_err(InventoryError::Encoding)??;

        let mut slot = self.shards.lock().await;
        // Taken out, so that a write that fails leaves nothing known.
        let mut live = match slot.take() {
            Some(live) => live,
            None => self.list_shards(&encoded).await?,
        };
        self.write_shards(&encoded.shards, &mut live).await?;
        let parent_uid = self.write_parent(&encoded.parent).await?.live.uid.to_string();
        // Only now has the parent its UID, or somebody deleted the old one, and its shards with it.
        if live.change_parent(&parent_uid, &encoded.shards) {
            self.write_shards(&encoded.shards, &mut live).await?;
        }
        let warnings = self.delete_unneeded(&encoded.shards, &mut live).await;
        *slot = Some(live);
        Ok(WriteOutcome { parent_uid, warnings })
    }

    /// What exists before a write.
    async fn list_shards(&self, encoded: &EncodedParent) -> Result<LiveShards, InventoryError> {
        let label = Shard::selector(&self.sync);
        let live = self.cluster.list_whole(&config_maps(), Some(&self.namespace), &label).await;
        let live = live.map_err(|cause| InventoryError::ListShards { label, cause: Box::new(cause) })?;
        let mut parent_uid = None;
        if !encoded.shards.is_empty() {
            let id = parent_id(&self.namespace, &self.sync);
            let parent = self.cluster.read_one(&id, &config_maps()).await;
            let parent = parent.map_err(|cause| InventoryError::Write { id, cause: Box::new(cause) })?;
            parent_uid = parent.map(|parent| parent.uid.to_string());
        }
        Ok(LiveShards::of(&live, &self.sync, &encoded.shards, parent_uid))
    }

    /// Writes those that are missing.
    async fn write_shards(&self, needed: &[Shard], live: &mut LiveShards) -> Result<(), InventoryError> {
        for shard in needed {
            if !live.contains(shard) {
                let id = config_map_id(&self.namespace, &shard.name);
                let object = shard.to_apply(live.parent_uid());
                let applied = self.cluster.apply(&id, &config_maps(), &object, DryRun::No).await;
                let applied = applied.map_err(|cause| InventoryError::Write { id, cause: Box::new(cause) })?;
                live.insert(shard.name.clone(), applied.live.uid.to_string());
            }
        }
        Ok(())
    }

    /// Deletes the shards of former inventories; says of which that failed.
    async fn delete_unneeded(&self, needed: &[Shard], live: &mut LiveShards) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, uid) in live.take_unneeded(needed) {
            let id = config_map_id(&self.namespace, &name);
            if let Err(error) = self.cluster.delete(&id, &config_maps(), &uid).await {
                warnings.push(format!(
                    "cannot delete {id}, a shard of an inventory that sync {} no longer has (`driftless check` shows whether the permission is missing): {error}",
                    self.sync
                ));
                live.insert(name, uid);
            }
        }
        warnings
    }

    /// Writes the parent over the one that was read or written last. People annotate it meanwhile, which changes
    /// its version. One that is older now is out of a backup, and with it, what it lists: it is to be read before
    /// it is written.
    async fn write_parent(&self, object: &Value) -> Result<Applied, InventoryError> {
        let id = parent_id(&self.namespace, &self.sync);
        let mut version = self.version.lock().await;
        for _ in 0..TRIES {
            let error = match self.cluster.apply_own(&id, &config_maps(), object, version.as_deref()).await {
                Ok(applied) => {
                    *version = Some(Arc::clone(&applied.live.resource_version));
                    return Ok(applied);
                }
                Err(error) => error,
            };
            let Some(known) = version.as_deref().filter(|_| error.is_conflict() || error.is_not_found()) else {
                return Err(InventoryError::Write { id, cause: Box::new(error) });
            };
            let live = self.cluster.read_own(&id, &config_maps()).await;
            let live = match live {
                Ok(live) => live,
                Err(cause) => return Err(InventoryError::Write { id, cause: Box::new(cause) }),
            };
            let now = live.as_ref().and_then(version_of);
            if let Some(now) = now.filter(|now| is_older(now, known)) {
                return Err(InventoryError::Restored { id, now: now.into(), known: known.into() });
            }
            *version = now.map(Into::into);
        }
        Err(InventoryError::Contended(id))
    }
}

/// Deletes all shards of a parent that is deleted. Those that it names go with it, since it owns them; others
/// may be left of a write that broke off.
///
/// # Errors
/// They cannot be listed, or one cannot be deleted.
pub async fn delete_shards(cluster: &Cluster, parent: &Parent) -> Result<(), ApiError> {
    let live = cluster.list_whole(&config_maps(), Some(&parent.namespace), &Shard::selector(&parent.sync)).await?;
    for (name, uid) in LiveShards::of(&live, &parent.sync, &[], None).take_unneeded(&[]) {
        let id = config_map_id(&parent.namespace, &name);
        cluster.delete(&id, &config_maps(), &uid).await?;
    }
    Ok(())
}
