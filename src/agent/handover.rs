//! What the other syncs have to say about the objects of this one. Two syncs of one repository come to
//! a commit at different times; so that neither deletes nor takes over what the other one declares
//! in it, each reads out of its own clone what the commit declares for the other.

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
use crate::reconcile::RenderedCommit;
use crate::render::Rendered;
use crate::source::{Refusal, SourceError};

/// How long another sync may take to say what it declares.
const DECLARATIONS: Duration = Duration::from_secs(15);
/// Orphans about which the API server is asked in one cycle, whether another sync may take them.
/// The others count as if it may, and stay until a later cycle.
const ASKED: usize = 64;
const AT_ONCE: usize = 16;
/// For how long such an answer counts.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Orphans that other syncs may take over, by the time at which the API server said so.
pub type Takeable = BTreeMap<(Arc<str>, ObjectId), Instant>;

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
        let sets: BTreeSet<&str> = observed.values().filter_map(|live| live.part_of.as_deref()).collect();
        for other in registry.with(|fleet| fleet.behind(&self.config, commit)) {
            let of_it = |set: &str| others.of_set(set).is_some_and(|(name, _)| **name == *other.name.as_str());
            if orphans.is_empty() && !sets.iter().any(|set| of_it(set)) {
                continue;
            }
            let mut declaration = self.declared_for(&other, commit, discovery).await;
            declaration.ids.retain(|id| wanted.contains(id));
            others.declares(other.name.as_str(), declaration);
        }
        if self.context.leadership.is_held() {
            let orphans = orphans.iter().filter_map(|id| observed.get(id));
            let mut takeable = self.takeable.lock().await;
            let cluster = &self.context.cluster;
            let account = |sync: &str| registry.with(|fleet| fleet.account(sync));
            bar_without_right(cluster, discovery, &mut others, orphans, account, &mut takeable).await;
        }
        registry.with(|fleet| fleet.take(&self.config.name, &mut others, wanted.difference(orphans), observed));
        if sets.iter().any(|set| **set != *self.set_id && others.of_set(set).is_none()) {
            let namespace = &self.context.namespace;
            // Without the list, the message has less to say.
            let parents = self.unconfigured().await.unwrap_or_default().into_iter();
            others.unconfigured = parents.map(|sync| (set_id(namespace, &sync), sync.as_str().into())).collect();
        }
        others
    }

    /// At the start all syncs read git at the same time. An object that carries the label of one
    /// which has not done so yet may be moving here, or may stay: worth a moment of waiting, once.
    async fn await_declarations(&self, observed: &BTreeMap<ObjectId, Observed>) {
        let mut awaited = self.awaited.lock().await;
        let sets = observed.values().filter_map(|live| live.part_of.as_deref());
        let sets: BTreeSet<Arc<str>> = sets.filter(|set| !awaited.contains(*set)).map(Arc::from).collect();
        let undecided = || self.context.registry.with(|fleet| fleet.undecided(&self.config.name, &sets));
        let until = Instant::now() + DECLARATIONS;
        loop {
            let open = if sets.is_empty() { BTreeSet::new() } else { undecided() };
            if open.is_empty() {
                return;
            }
            if Instant::now() >= until || self.stop.is_cancelled() {
                // Its repository may not answer for hours, and this sync has other things to do.
                awaited.extend(open);
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
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

    /// What a commit declares for another sync of the same repository.
    async fn declared_for(&self, other: &SyncConfig, commit: &str, discovery: &Arc<Discovery>) -> Declaration {
        // Its own rendering. While that sync is at work on it, this waits for it rather than render the same twice.
        let cache = self.context.caches.of(other.name.as_str()).unwrap_or_default();
        let rendered = match rendered_within(DECLARATIONS, Box::pin(self.rendering_of(commit, other, &cache))).await {
            Ok(rendered) => rendered,
            Err(declaration) => return declaration,
        };
        let problems: Vec<_> = rendered.errors.iter().map(super::rendering_problem).collect();
        let target = other.target_namespace.clone();
        // What is the agent's own is declared by nobody.
        let placed = self.place(rendered.manifests.clone(), target.clone(), discovery, Reserved::default()).await;
        let Ok(resolved) = placed else { return Declaration::default() };
        Declaration::of(&resolved, &problems, target.as_deref())
    }
}

/// What another sync's rendering gave within a time; else what is known of what it declares: all, which is nothing, where it
/// has no path in the commit. Its rendering may wait for hosts that hang, and this sync has other things to do.
async fn rendered_within(
    limit: Duration,
    rendering: impl Future<Output = Result<Made, RenderingError>>,
) -> Result<Arc<Rendered>, Declaration> {
    match timeout(limit, rendering).await {
        // It may be older than what the other sync has applied, and lack something.
        Ok(Ok(made)) if made.unverified => Err(Declaration::default()),
        Ok(Ok(made)) => Ok(made.rendered),
        Ok(Err(RenderingError::Source(SourceError::Refused { refusal: Refusal::NoSuchPath { .. }, .. }))) => {
            Err(Declaration { complete: true, ..Declaration::default() })
        }
        Ok(Err(_)) | Err(_) => Err(Declaration::default()),
    }
}

/// Finds out which of the orphans that other syncs name those may not take over: a sync that has no
/// right to an object does not keep it by naming it. `account`: as whom a sync acts; one with the
/// agent's own rights is not asked about. `takeable` is what was learned before.
pub async fn bar_without_right(
    cluster: &Cluster,
    discovery: &Discovery,
    others: &mut Others,
    orphans: impl Iterator<Item = &Observed>,
    account: impl Fn(&str) -> Option<ServiceAccount>,
    takeable: &mut Takeable,
) {
    takeable.retain(|_, asked| asked.elapsed() < REMEMBERED);
    let mut questions = Vec::new();
    for live in orphans {
        for name in others.named_by(&live.id) {
            let known = takeable.contains_key(&(Arc::clone(name), live.id.clone()));
            if let (Some(account), false, true) = (account(name), known, questions.len() < ASKED) {
                let set = others.syncs.get(name).map(|sync| sync.set_id.clone()).unwrap_or_default();
                questions.push(may_take(cluster, discovery, name, account, live, set));
            }
        }
    }
    let mut answers = futures::stream::iter(questions).buffer_unordered(AT_ONCE);
    let mut barred = Vec::new();
    while let Some((name, id, answer)) = answers.next().await {
        match answer {
            Some(true) => drop(takeable.insert((name, id), Instant::now())),
            Some(false) => barred.push((name, id)),
            None => {}
        }
    }
    drop(answers);
    for (name, id) in barred {
        others.bar(&name, &id);
    }
}

/// Asks whether an account may take an object over into a set of its own, by trying without doing
/// it. `None`: that cannot be said.
async fn may_take(
    cluster: &Cluster,
    discovery: &Discovery,
    name: &Arc<str>,
    account: ServiceAccount,
    live: &Observed,
    set: String,
) -> (Arc<str>, ObjectId, Option<bool>) {
    let answer = |may| (Arc::clone(name), live.id.clone(), may);
    let Some(resource) = discovery.preferred(&live.id.gk) else { return answer(None) };
    let Ok(cluster) = cluster.impersonating(Some(&account)) else { return answer(None) };
    answer(cluster.may_take_over(&live.id, resource, &live.uid, &set).await.ok())
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
        assert!(!known.complete && known.ids.is_empty());
        drop(busy);

        let place = "commit 1".to_owned();
        let refusal = Refusal::NoSuchPath { path: "apps".into() };
        let gone = async { Err(RenderingError::Source(SourceError::Refused { place, refusal })) };
        assert!(rendered_within(DECLARATIONS, gone).await.err().unwrap().complete, "it declares nothing");
    }
}
