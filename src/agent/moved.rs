//! Objects that move from one sync to another with one commit. The sync that loses an object may
//! come to that commit first; it must not delete what another one is about to take over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::effects::Worker;
use crate::cluster::Discovery;
use crate::config::SyncConfig;
use crate::object::ObjectId;
use crate::plan::resolve;
use crate::render::{Settings, render};

impl Worker {
    /// Which of the orphans of this commit it declares for other syncs of the same repository that
    /// have not come to it yet. They are read from this sync's own clone, so nobody is waited for.
    pub(super) async fn moved(
        &self,
        commit: &str,
        orphans: &BTreeSet<&ObjectId>,
        discovery: &Discovery,
    ) -> BTreeMap<ObjectId, Arc<str>> {
        let mut moved = BTreeMap::new();
        if orphans.is_empty() {
            return moved;
        }
        for other in self.context.registry.behind(&self.config, commit) {
            for id in self.declared_for(&other, commit, discovery).await {
                if orphans.contains(&id) {
                    moved.insert(id, other.name.as_str().into());
                }
            }
        }
        moved
    }

    /// What a commit declares for another sync; nothing where that sync cannot use the commit.
    async fn declared_for(&self, other: &SyncConfig, commit: &str, discovery: &Discovery) -> Vec<ObjectId> {
        let Ok(snapshot) = self.git.snapshot(commit, &other.path).await else { return Vec::new() };
        let settings = Settings { target_namespace: other.target_namespace.clone() };
        let Ok(rendered) = tokio::task::spawn_blocking(move || render(&snapshot, &settings)).await else {
            return Vec::new();
        };
        let target = other.target_namespace.as_deref();
        let scope = |gk: &_, version: &str| discovery.scope(gk, version);
        let resolved = resolve(&rendered.manifests, target, &self.context.key, &scope);
        resolved.desired.into_iter().map(|desired| desired.manifest.id.clone()).collect()
    }
}
