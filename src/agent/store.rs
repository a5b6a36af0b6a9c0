//! Storing the inventory of one sync: its parent and, where that has no room for all of it, the
//! shards around it.
//!
//! The order is what keeps the stored inventory right when the agent dies between two writes:
//! first the shards, which nobody refers to yet; then the parent, which switches from the old
//! inventory to the new one at once; last the deletion of shards that nobody refers to any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::config_maps;
use super::inventory_error::InventoryError;
use crate::apply::{Parent, Shard, Stored};
use crate::cluster::{Applied, Cluster, DryRun, version_of};
use crate::config::SyncName;
use crate::object::{ObjectId, names};
use crate::plan::{Inventory, SyncStatus};
use crate::reconcile::may_write_over;

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
    known: Mutex<Option<StoredShards>>,
}

/// What came of storing.
pub struct ParentWritten {
    /// Of the parent.
    pub uid: String,
    /// For people: shards that could not be deleted. They do no harm but take room, and the next
    /// write tries again.
    pub trouble: Vec<String>,
}

#[derive(Default)]
struct StoredShards {
    /// UID of the parent.
    parent: Option<String>,
    /// Names and UIDs of the shards that exist. Those of the last inventory have the parent as owner.
    shards: BTreeMap<String, String>,
}

impl ParentStore {
    /// `cluster` with the agent's own rights: the parent is the agent's, not the sync's.
    #[must_use]
    pub fn new(cluster: Cluster, namespace: Arc<str>, sync: SyncName) -> Self {
        Self { cluster, namespace, sync, version: Mutex::default(), known: Mutex::default() }
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
    pub async fn write(&self, inventory: Inventory, status: &SyncStatus) -> Result<ParentWritten, InventoryError> {
        let mut parent = Parent::new(self.sync.clone(), Arc::clone(&self.namespace));
        parent.inventory = inventory;
        parent.status = status.clone();
        // It takes time with the number of objects.
        let stored = tokio::task::spawn_blocking(move || parent.to_apply()).await;
        let stored = stored.map_err(InventoryError::Encoding)??;

        let mut slot = self.known.lock().await;
        // Taken out, so that a write that fails leaves nothing known.
        let mut known = match slot.take() {
            Some(known) => known,
            None => self.ask(&stored).await?,
        };
        self.write_shards(&stored.shards, &mut known).await?;
        let uid = self.apply_parent(&stored.parent).await?.live.uid.to_string();
        if known.parent.as_ref() != Some(&uid) {
            // Only now has the parent its UID, or somebody deleted the old one, and its shards with it.
            known.parent = Some(uid.clone());
            known.shards.retain(|name, _| !stored.shards.iter().any(|shard| shard.name == *name));
            self.write_shards(&stored.shards, &mut known).await?;
        }
        let trouble = self.delete_others(&stored.shards, &mut known).await;
        *slot = Some(known);
        Ok(ParentWritten { uid, trouble })
    }

    /// What exists. Shards are distinguished from other `ConfigMap`s by label and name, and those that are
    /// not what they should be (edited, or of another parent) count as not written.
    async fn ask(&self, stored: &Stored) -> Result<StoredShards, InventoryError> {
        let label = format!("{}={}", names::OBSERVED_OF, self.sync);
        let live = self.cluster.list_whole(&config_maps(), Some(&self.namespace), &label).await;
        let live = live.map_err(|cause| InventoryError::ListShards { label, cause: Box::new(cause) })?;
        let mut known = StoredShards::default();
        if !stored.shards.is_empty() {
            let id = self.id(&Parent::name(&self.sync));
            let parent = self.cluster.read_one(&id, &config_maps()).await;
            let parent = parent.map_err(|cause| InventoryError::Write { id, cause: Box::new(cause) })?;
            known.parent = parent.map(|parent| parent.uid.to_string());
        }
        for object in &live {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let name = text("name");
            let wanted = stored.shards.iter().find(|shard| shard.name == name);
            let good = wanted.is_none_or(|shard| shard.is(object, known.parent.as_deref()));
            if good && Shard::is_name_of(&self.sync, name) {
                known.shards.insert(name.into(), text("uid").into());
            }
        }
        Ok(known)
    }

    async fn write_shards(&self, shards: &[Shard], known: &mut StoredShards) -> Result<(), InventoryError> {
        for shard in shards {
            if !known.shards.contains_key(&shard.name) {
                let object = shard.to_apply(known.parent.as_deref());
                let applied = self.apply(&shard.name, &object).await?;
                known.shards.insert(shard.name.clone(), applied.live.uid.to_string());
            }
        }
        Ok(())
    }

    async fn delete_others(&self, shards: &[Shard], known: &mut StoredShards) -> Vec<String> {
        let others = known.shards.extract_if(.., |name, _| !shards.iter().any(|shard| shard.name == *name));
        let others: Vec<(String, String)> = others.collect();
        let mut trouble = Vec::new();
        for (name, uid) in others {
            let id = self.id(&name);
            if let Err(error) = self.cluster.delete(&id, &config_maps(), &uid).await {
                trouble.push(format!(
                    "cannot delete {id}, a shard of an inventory that sync {} no longer has (`driftless check` shows whether the permission is missing): {error}",
                    self.sync
                ));
                known.shards.insert(name, uid);
            }
        }
        trouble
    }

    /// Writes the parent over the one that is known. People annotate it meanwhile, which changes its version.
    async fn apply_parent(&self, object: &Value) -> Result<Applied, InventoryError> {
        let id = self.id(&Parent::name(&self.sync));
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
            if let Some(now) = now.filter(|now| !may_write_over(known, now)) {
                return Err(InventoryError::Restored { id, now: now.into(), known: known.into() });
            }
            *version = now.map(Into::into);
        }
        Err(InventoryError::Contended(id))
    }

    async fn apply(&self, name: &str, object: &Value) -> Result<Applied, InventoryError> {
        let id = self.id(name);
        let applied = self.cluster.apply(&id, &config_maps(), object, DryRun::No).await;
        applied.map_err(|cause| InventoryError::Write { id, cause: Box::new(cause) })
    }

    fn id(&self, name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", Some(&self.namespace), name)
    }
}
