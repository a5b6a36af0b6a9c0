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
use crate::source::{Refusal, SourceError};

/// What a commit declares for the other syncs of its repository, as far as orphans are concerned.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// The orphans that another sync declares.
    pub declared: BTreeMap<ObjectId, Arc<str>>,
    /// Another sync, some of whose manifests cannot be used: any orphan may be among them.
    pub unsure: Option<Arc<str>>,
}

impl Worker {
    /// What this commit declares for the other syncs of the same repository that have not said so
    /// yet, or not in full. It is read from this sync's own clone, so nobody is waited for.
    pub(super) async fn moved(&self, commit: &str, orphans: &BTreeSet<&ObjectId>, discovery: &Discovery) -> Moved {
        let mut moved = Moved::default();
        if orphans.is_empty() {
            return moved;
        }
        for other in self.context.registry.behind(&self.config, commit) {
            let name: Arc<str> = other.name.as_str().into();
            let (declared, complete) = self.declared_for(&other, commit, discovery).await;
            let orphans = declared.into_iter().filter(|id| orphans.contains(id));
            moved.declared.extend(orphans.map(|id| (id, Arc::clone(&name))));
            if !complete {
                moved.unsure = Some(name);
            }
        }
        moved
    }

    /// What a commit declares for another sync, and whether that is all of it.
    async fn declared_for(&self, other: &SyncConfig, commit: &str, discovery: &Discovery) -> (Vec<ObjectId>, bool) {
        let snapshot = match self.git.snapshot(commit, &other.path).await {
            Ok(snapshot) => snapshot,
            Err(SourceError::Refused { refusal: Refusal::NoSuchPath { .. }, .. }) => return (Vec::new(), true),
            Err(_) => return (Vec::new(), false),
        };
        let settings = Settings::of(other, &self.context.namespace);
        let Ok(rendered) = tokio::task::spawn_blocking(move || render(&snapshot, &settings)).await else {
            return (Vec::new(), false);
        };
        let target = other.target_namespace.as_deref();
        let scope = |gk: &_, version: &str| discovery.scope(gk, version);
        let resolved = resolve(&rendered.manifests, target, &self.context.key, &scope);
        // A kind that is not there has no live object that could be an orphan, so only files count.
        let complete = rendered.errors.is_empty();
        (resolved.desired.into_iter().map(|desired| desired.manifest.id.clone()).collect(), complete)
    }
}
