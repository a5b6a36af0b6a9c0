//! What a commit declares for a sync: its manifests in their places, and what the other syncs
//! know of them.

use std::sync::Arc;

use super::budget::Panicked;
use super::effects::{EffectRunner, Unobserved};
use crate::cluster::Discovery;
use crate::object::{Manifest, ObjectId};
use crate::plan::{Declaration, Reserved, Resolved, resolve};
use crate::reconcile::RenderedCommit;

/// What a commit declares, and what that was made from.
pub(super) struct Placed {
    rendered: Arc<RenderedCommit>,
    discovery: Arc<Discovery>,
    /// The agent's own objects, as far as its configuration says.
    configured: Reserved,
    reserved: Reserved,
    resolved: Arc<Resolved>,
}

impl EffectRunner {
    /// Says what a commit declares that the sync does not enforce yet, since it waits for others: what
    /// it owns stays its own only if it declares that, and those for which it waits may declare it, too.
    pub(super) async fn declare_next(&self, commit: &str) {
        if self.context.registry.with(|fleet| fleet.knows(&self.config.name, commit)) {
            return;
        }
        // What goes wrong here was reported, and is tried again with the next poll.
        let Ok(rendered) = self.render(commit).await else { return };
        let Ok(discovery) = self.discovery_for(&rendered, &[], false).await else { return };
        let configured = self.context.registry.with(|fleet| fleet.reserved(&self.context.namespace, []));
        let target = self.config.target_namespace.clone();
        let placed = self.place(rendered.manifests.clone(), target, &discovery, configured).await;
        let Ok(resolved) = placed else { return };
        let declaration = self.declaration(&rendered, &resolved);
        self.context.registry.with(|fleet| fleet.declare_next(&self.config.name, commit, declaration));
    }

    /// Says what the commit declares that the sync enforces.
    pub(super) async fn declare(&self, rendered: &RenderedCommit, resolved: &Resolved) {
        let commit = &rendered.commit.id;
        let newest = self.revision.lock().await.as_ref().is_none_or(|revision| revision.commit == *commit);
        let declaration = self.declaration(rendered, resolved);
        self.context.registry.with(|fleet| fleet.declare(&self.config.name, commit, newest, &declaration));
    }

    fn declaration(&self, rendered: &RenderedCommit, resolved: &Resolved) -> Declaration {
        Declaration::of(resolved, &rendered.problems, self.config.target_namespace.as_deref())
    }

    /// What a commit declares, made once for a commit, what is known of the server's kinds, and which
    /// objects are the agent's own.
    pub(super) async fn resolve(
        &self,
        rendered: &Arc<RenderedCommit>,
        discovery: &Arc<Discovery>,
        inventory: &[ObjectId],
    ) -> Result<(Arc<Resolved>, Reserved), Unobserved> {
        let configured = self.context.registry.with(|fleet| fleet.reserved(&self.context.namespace, []));
        let mut known = self.resolved.lock().await;
        if let Some(placed) = &*known
            && Arc::ptr_eq(&placed.rendered, rendered)
            && Arc::ptr_eq(&placed.discovery, discovery)
            && placed.configured == configured
        {
            return Ok((Arc::clone(&placed.resolved), placed.reserved.clone()));
        }
        let reserved = self.reserved(&configured, rendered, inventory).await?;
        let (manifests, target) = (rendered.manifests.clone(), self.config.target_namespace.clone());
        let resolved = Arc::new(self.place(manifests, target, discovery, reserved.clone()).await?);
        *known = Some(Placed {
            rendered: Arc::clone(rendered),
            discovery: Arc::clone(discovery),
            configured,
            reserved: reserved.clone(),
            resolved: Arc::clone(&resolved),
        });
        Ok((resolved, reserved))
    }

    /// Gives manifests their places and digests, which takes time with their number and size.
    pub(super) async fn place(
        &self,
        manifests: Vec<Arc<Manifest>>,
        target: Option<Arc<str>>,
        discovery: &Arc<Discovery>,
        reserved: Reserved,
    ) -> Result<Resolved, Panicked> {
        let (key, discovery, objects) = (self.context.key.clone(), Arc::clone(discovery), manifests.len());
        let place = move || {
            let scope = |gk: &_, version: &str| discovery.scope(gk, version);
            resolve(&manifests, target.as_deref(), &key, &reserved, &scope)
        };
        self.context.budget.compute(objects, place).await
    }
}
