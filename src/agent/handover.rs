//! What the other syncs have to say about the objects of this one. Two syncs of one repository come to
//! a commit at different times; so that neither deletes nor takes over what the other one declares
//! in it, each reads out of its own clone what the commit declares for the other. For whom and for how long that is waited,
//! what is asked and what an answer means is decided by `reconcile`; here it is slept, rendered and asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::time::timeout;

use super::effects::EffectRunner;
use super::rendering::{Made, RenderingError};
use crate::cluster::{ApiError, Cluster, Discovery};
use crate::config::{ServiceAccount, SyncConfig, SyncName};
use crate::inventory::{parent_names, set_id};
use crate::object::{ObjectId, Observed, names};
use crate::plan::{Declaration, Others, Reserved};
use crate::reconcile::{
    DECLARATIONS, OtherRendering, RenderedCommit, Takeable, TakeoverQuestion, has_unknown_set, to_read,
};
use crate::render::Rendered;
use crate::source::{Refusal, Revision, SourceError};

/// Questions that are asked at once.
const AT_ONCE: usize = 16;

impl EffectRunner {
    /// What the other syncs have to say about what this one declares and what it has.
    pub(super) async fn others(
        &self,
        commit: &str,
        wanted: &BTreeSet<ObjectId>,
        orphans: &BTreeSet<ObjectId>,
        observed: &BTreeMap<ObjectId, Observed>,
        discovery: &Arc<Discovery>,
    ) -> Others {
        self.await_declarations(observed).await;
        let registry = &self.context.registry;
        let mut others = registry.with(|fleet| fleet.others(&self.config, commit, wanted));
        let behind = registry.with(|fleet| fleet.behind(&self.config, commit));
        for other in to_read(behind, &others, orphans, observed) {
            let declaration = self.declared_for(&other, commit, wanted, discovery).await;
            others.declares(other.name.as_str(), declaration);
        }
        if self.context.leadership.is_held() {
            let orphans = orphans.iter().filter_map(|id| observed.get(id));
            let mut takeable = self.takeable.lock().await;
            let (cluster, started) = (&self.context.cluster, self.context.started);
            let account = |sync: &str| registry.with(|fleet| fleet.account(sync));
            bar_without_right(cluster, discovery, &mut others, orphans, account, &mut takeable, started).await;
        }
        registry.with(|fleet| fleet.take(&self.config.name, &mut others, wanted.difference(orphans), observed));
        if has_unknown_set(&others, &self.set_id, observed) {
            let namespace = &self.context.namespace;
            // Without the list, the message has less to say.
            let parents = self.unconfigured().await.unwrap_or_default().into_iter();
            others.unconfigured = parents.map(|sync| (set_id(namespace, &sync), sync.as_str().into())).collect();
        }
        others
    }

    /// Waits for what the syncs declare whose labels the objects carry.
    async fn await_declarations(&self, observed: &BTreeMap<ObjectId, Observed>) {
        let mut in_vain = self.waited_in_vain.lock().await;
        let wait = in_vain.begin(observed, self.context.started.elapsed());
        loop {
            let (now, stopping) = (self.context.started.elapsed(), self.stop.is_cancelled());
            let registry = &self.context.registry;
            let pause = registry.with(|fleet| in_vain.pause(&wait, fleet, &self.config.name, now, stopping));
            let Some(pause) = pause else { return };
            tokio::time::sleep(pause).await;
        }
    }

    /// The agent's own objects, as far as they have to do with a commit and an inventory. The server
    /// is asked only where a name might be that of a sync which left the configuration.
    pub(super) async fn reserved(
        &self,
        configured: &Reserved,
        rendered: &RenderedCommit,
        inventory: &[ObjectId],
    ) -> Result<Reserved, ApiError> {
        let declared = rendered.manifests.iter().map(|manifest| &manifest.id);
        let mut named = declared.chain(inventory).filter(|id| id.gk.is("", "ConfigMap"));
        if !named.any(|id| id.name.starts_with(names::PARENT_PREFIX)) {
            return Ok(configured.clone());
        }
        let more = self.unconfigured().await?;
        let more = more.iter().map(|sync| sync.as_str().into());
        Ok(self.context.registry.with(|fleet| fleet.reserved(&self.context.namespace, more)))
    }

    /// The syncs that have a parent and are not configured.
    async fn unconfigured(&self) -> Result<Vec<SyncName>, ApiError> {
        let mut all = parent_names(&self.context.cluster, &self.context.namespace).await?;
        self.context.registry.with(|fleet| all.retain(|sync| !fleet.has(sync)));
        Ok(all)
    }

    /// What a commit declares for another sync of the same repository, of the objects that are wanted.
    async fn declared_for(
        &self,
        other: &SyncConfig,
        commit: &str,
        wanted: &BTreeSet<ObjectId>,
        discovery: &Arc<Discovery>,
    ) -> Declaration {
        // Its own rendering. While that sync is at work on it, this waits for it rather than render the same twice.
        let cache = self.context.caches.of(other.name.as_str()).unwrap_or_default();
        let revision = self.revision.lock().await.clone().filter(|known| known.commit == commit);
        // Without the name, a tag cannot be verified, and then it is not known what it declares.
        let by_id = || Revision { commit: commit.to_owned(), name: commit.to_owned(), tag: None };
        let revision = revision.unwrap_or_else(by_id);
        let rendering = Box::pin(self.rendering_of(&revision, other, &cache));
        let rendered = match rendered_within(DECLARATIONS, rendering).await {
            Ok(rendered) => rendered,
            Err(without) => return without.declaration(wanted),
        };
        let problems: Vec<_> = rendered.errors.iter().map(super::rendering_problem).collect();
        let target = other.target_namespace.clone();
        // What is the agent's own is declared by nobody.
        let placed = self.place(rendered.manifests.clone(), target.clone(), discovery, Reserved::default()).await;
        let made = match &placed {
            Ok(resolved) => OtherRendering::Made { resolved, problems: &problems, target: target.as_deref() },
            Err(_) => OtherRendering::Unknown,
        };
        made.declaration(wanted)
    }
}

/// What another sync's rendering gave within a time, or why it says nothing of its objects. It may wait for hosts that hang.
async fn rendered_within(
    limit: Duration,
    rendering: impl Future<Output = Result<Made, RenderingError>>,
) -> Result<Arc<Rendered>, OtherRendering<'static>> {
    match timeout(limit, rendering).await {
        Ok(Ok(made)) if made.unverified => Err(OtherRendering::Unverified),
        Ok(Ok(made)) => Ok(made.rendered),
        Ok(Err(RenderingError::Source(SourceError::Refused { refusal: Refusal::NoSuchPath { .. }, .. }))) => {
            Err(OtherRendering::NoPath)
        }
        Ok(Err(_)) | Err(_) => Err(OtherRendering::Unknown),
    }
}

/// Finds out which of the orphans that other syncs name those may not take over: a sync that has no
/// right to an object does not keep it by naming it. `account`: as whom a sync acts; one with the
/// agent's own rights is not asked about. `takeable` is what was learned before, at times since `started`.
pub async fn bar_without_right(
    cluster: &Cluster,
    discovery: &Discovery,
    others: &mut Others,
    orphans: impl Iterator<Item = &Observed>,
    account: impl Fn(&str) -> Option<ServiceAccount>,
    takeable: &mut Takeable,
    started: Instant,
) {
    let mut asked = Vec::new();
    for question in takeable.questions(others, orphans, account, started.elapsed()) {
        asked.push(may_take(cluster, discovery, question));
    }
    let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some((question, may)) = answers.next().await {
        takeable.answered(others, &question, may, started.elapsed());
    }
}

/// Asks whether an account may take an object over into a set of its own, by trying without doing
/// it. `None`: that cannot be said.
async fn may_take<'a>(
    cluster: &Cluster,
    discovery: &Discovery,
    question: TakeoverQuestion<'a>,
) -> (TakeoverQuestion<'a>, Option<bool>) {
    let TakeoverQuestion { account, live, set_id, .. } = &question;
    let Some(resource) = discovery.preferred(&live.id.gk) else { return (question, None) };
    let Ok(cluster) = cluster.impersonating(Some(account)) else { return (question, None) };
    let may = cluster.may_take_over(&live.id, resource, &live.uid, set_id).await.ok();
    (question, may)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Mutex;

    use super::*;
    use crate::render::Cache;

    #[tokio::test]
    async fn what_a_sync_declares_is_not_known_while_its_rendering_takes_long() {
        let cache = Mutex::new(Cache::default());
        // The sync is at work on it, and waits for a host that hangs.
        let busy = cache.lock().await;
        let rendering = async {
            let _cache = cache.lock().await;
            Err(RenderingError::Source(SourceError::Busy { url: String::new() }))
        };
        let known = rendered_within(Duration::from_millis(20), rendering).await.err().unwrap();
        let known = known.declaration(&BTreeSet::new());
        assert!(!known.complete && known.ids.is_empty());
        drop(busy);

        let place = "commit 1".to_owned();
        let refusal = Refusal::NoSuchPath { path: "apps".into() };
        let gone = async { Err(RenderingError::Source(SourceError::Refused { place, refusal })) };
        let known = rendered_within(DECLARATIONS, gone).await.err().unwrap();
        assert!(known.declaration(&BTreeSet::new()).complete, "it declares nothing");

        let place = "commit 1".to_owned();
        let refusal = Refusal::NoSuchRoot { root: "apps".into() };
        let wrong = async { Err(RenderingError::Source(SourceError::Refused { place, refusal })) };
        let known = rendered_within(DECLARATIONS, wrong).await.err().unwrap();
        assert!(!known.declaration(&BTreeSet::new()).complete, "a wrong render.root says nothing of what it declares");
    }
}
