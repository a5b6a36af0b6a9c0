//! Carrying out the effects of one sync. Every effect ends with exactly one input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{Mutex, RwLock, mpsc};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::budget::Panicked;
use super::declared::Placed;
use super::error_deduplication::RecentErrors;
use super::git_login::{GitLogin, GitLoginError};
use super::named_data::Home;
use super::rendering::{ClusterView, Files, Made, Rendering, RenderingError};
use super::verification::verify;
use crate::apply::{Applier, Patience, prune};
use crate::cluster::{ApiError, Cluster, Discovery, Live, Wanted, with_causes};
use crate::config::SyncConfig;
use crate::event::{Event, Part, PollResult, SyncEvent};
use crate::inventory::{InventoryError, ParentStore};
use crate::object::{ObjectId, Scope};
use crate::plan::{AppliedObject, Inventory, Plan, Problem, PruneResult, PrunedObject, SyncStatus};
use crate::reconcile::{
    Effect, EffectError, EffectId, Input, Observation, RenderedCommit, Takeable, Unrendered, WaitedInVain,
};
use crate::render::{Cache, RenderError, Settings};
use crate::source::{Git, Revision, SourceError};

/// How long the inventory may take to be stored once the agent stops.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// Why the remote was not asked, or gave no answer.
#[derive(Debug, Error)]
enum Unpolled {
    #[error(transparent)]
    Login(#[from] GitLoginError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Why nothing was observed.
#[derive(Debug, Error)]
pub(super) enum Unobserved {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// What carrying out the effects of one sync needs.
pub(super) struct EffectRunner {
    pub context: Context,
    pub config: Arc<SyncConfig>,
    pub name: Arc<str>,
    pub set_id: String,
    /// With the rights of the sync's service account, where it names one.
    pub cluster: Cluster,
    /// What the server has, as this sync may know it: of its own where it names a service account.
    pub discovery: Arc<RwLock<Arc<Discovery>>>,
    pub git: Git,
    pub git_login: GitLogin,
    pub parent: ParentStore,
    pub revision: Mutex<Option<Revision>>,
    /// Of what writes and is under way: once cancelled, it begins no further object.
    pub interrupts: std::sync::Mutex<BTreeMap<EffectId, CancellationToken>>,
    pub cache: Arc<Mutex<Cache>>,
    /// This replica has begun to lead, and has not rendered since: the former leader may have had newer content of other hosts.
    pub took_over: AtomicBool,
    /// Which errors were reported lately.
    pub recent_errors: RecentErrors,
    /// What is known of the server's kinds may be outdated.
    pub rediscover: AtomicBool,
    pub stop: CancellationToken,
    /// What the newest commit declares, by the commit and the discovery that it was made from.
    pub resolved: Mutex<Option<Placed>>,
    /// For whose declarations it does not wait again.
    pub waited_in_vain: Mutex<WaitedInVain>,
    /// What other syncs may take over of this one's orphans.
    pub takeable: Mutex<Takeable>,
    /// The watches; `None` where one observation is enough, as with `run --once`.
    pub live: Option<Live>,
    /// Is notified of every object of an apply that is under way. Bounded by the steps of one plan.
    pub applied_one: mpsc::UnboundedSender<Input>,
}

impl EffectRunner {
    /// Begins to carry out one effect. From here on it can be interrupted, whoever runs first.
    pub fn execute(&self, effect: Effect) -> Option<BoxFuture<'_, Option<Input>>> {
        let id = match effect {
            Effect::Interrupt { id } => {
                if let Some(interrupt) = self.interrupts().get(&id) {
                    interrupt.cancel();
                }
                return None;
            }
            // At once, so that events come in the order in which the machine emits them.
            Effect::Emit(event) => {
                self.emit(event);
                return None;
            }
            Effect::Apply { id, .. } | Effect::Prune { id, .. } | Effect::Heal { id, .. } => Some(id),
            _ => None,
        };
        let interrupt = self.stop.child_token();
        self.interrupts().extend(id.map(|id| (id, interrupt.clone())));
        Some(Box::pin(async move {
            let input = self.run(effect, &interrupt).await;
            if let Some(id) = id {
                self.interrupts().remove(&id);
            }
            input
        }))
    }

    fn interrupts(&self) -> std::sync::MutexGuard<'_, BTreeMap<EffectId, CancellationToken>> {
        self.interrupts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out one effect; `None` for what has no result. What only reads is left where it is when
    /// the agent stops: a server that hangs must not keep it from ending.
    async fn run(&self, effect: Effect, interrupt: &CancellationToken) -> Option<Input> {
        Some(match effect {
            Effect::Poll { id } => {
                let result = self.unless_stopped(self.poll()).await?.map_err(|error| EffectError::of(&error));
                Input::Polled { id, result, watched: self.live.as_ref().is_some_and(Live::is_complete) }
            }
            Effect::Render { id, commit } => {
                Input::Rendered { id, result: self.unless_stopped(self.render(&commit)).await? }
            }
            Effect::Declare { commit } => {
                self.unless_stopped(self.declare_next(&commit)).await;
                return None;
            }
            Effect::Observe { id, rendered, inventory } => {
                let result = self.unless_stopped(self.observe(&rendered, inventory)).await?;
                Input::Observed { id, result: result.map_err(|error| EffectError::of(&error)) }
            }
            Effect::WriteParent { id, inventory, status } => {
                let result = tokio::select! {
                    result = self.write_parent(inventory, &status) => result,
                    () = self.given_up() => Err(InventoryError::GivenUp),
                };
                Input::ParentWritten { id, result: result.map_err(|error| EffectError::of(&error)) }
            }
            Effect::Apply { id, plan } => Input::Applied { id, outcomes: self.apply(id, &plan, interrupt).await },
            Effect::Examine { id, desired } => {
                let result = self.unless_stopped(self.examine(&desired)).await?;
                Input::Examined { id, result: result.map_err(|error| EffectError::of(&error)) }
            }
            Effect::Heal { id, step } => Input::Healed { id, outcome: self.heal(*step, interrupt).await },
            Effect::Audit { id, desired } => {
                Input::Audited { id, result: self.unless_stopped(self.audit(&desired)).await? }
            }
            Effect::Prune { id, plan } => Input::Pruned { id, outcomes: self.prune(&plan, interrupt).await },
            Effect::Emit(_) | Effect::Interrupt { .. } => return None,
        })
    }

    /// `None` once the agent stops.
    async fn unless_stopped<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            read = reading => Some(read),
            () = self.stop.cancelled() => None,
        }
    }

    /// Waits until the agent stops, and for as long then as it may take to store what was learned.
    async fn given_up(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(LAST_WRITE).await;
    }

    /// Emits an event of this sync.
    pub(super) fn emit(&self, event: SyncEvent) {
        (self.context.emit)(&Event::of(&self.name, event));
    }

    fn took(&self, part: Part, since: Instant) {
        self.emit(SyncEvent::Took { part, took: since.elapsed() });
    }

    fn polled(&self, result: PollResult, commit: Option<String>, error: Option<&str>) {
        let error = error.map(ToOwned::to_owned);
        self.emit(SyncEvent::Polled { result, commit, error, retry_in: None });
    }

    /// Should the watch of the Secret have missed a change, or not be allowed.
    fn doubt_login(&self, error: Option<&SourceError>) {
        if error.is_some_and(SourceError::may_be_the_login) {
            self.git_login.forget();
        }
    }

    fn home(&self) -> Home<'_> {
        Home { cluster: &self.context.cluster, namespace: &self.context.namespace }
    }

    /// The machine reports what fails, and when it is tried again.
    async fn poll(&self) -> Result<String, Unpolled> {
        let began = Instant::now();
        self.git.use_login(self.git_login.current(&self.config.source, Some(self.home())).await?);
        let polled = self.git.poll().await;
        self.took(Part::Poll, began);
        self.doubt_login(polled.as_ref().err());
        let revision = polled?;
        let mut known = self.revision.lock().await;
        if known.as_ref().is_some_and(|known| known.commit == revision.commit) {
            self.polled(PollResult::Unchanged, Some(revision.commit.clone()), None);
        }
        let commit = revision.commit.clone();
        *known = Some(revision);
        Ok(commit)
    }

    pub(super) async fn render(&self, commit: &str) -> Result<Arc<RenderedCommit>, Unrendered> {
        let rendered = self.render_commit(commit).await;
        // A branch that moved meanwhile says nothing of what its commit can be used for.
        if !matches!(rendered, Err(Unrendered::Moved(_))) {
            self.context.registry.with(|fleet| fleet.can_use(&self.config.name, rendered.is_ok()));
        }
        rendered
    }

    async fn render_commit(&self, commit: &str) -> Result<Arc<RenderedCommit>, Unrendered> {
        let revision = self.revision.lock().await.clone().filter(|revision| revision.commit == commit);
        let revision =
            revision.ok_or_else(|| Unrendered::Moved("another poll has shown another commit since".into()))?;
        let began = Instant::now();
        let fetched = self.git.fetch(&revision).await.inspect_err(|error| {
            self.doubt_login(Some(error));
            self.polled(PollResult::Failed, None, Some(&error.to_string()));
        });
        let fetched = fetched.map_err(unrendered)?;
        self.took(Part::Fetch, began);
        self.polled(PollResult::Fetched, Some(commit.to_owned()), None);

        let began = Instant::now();
        let made = self.rendering_of(&revision, &self.config, &self.cache).await;
        self.count_rendering(&made);
        let made = made.map_err(|error| match error {
            RenderingError::Source(error) => unrendered(error),
            error => Unrendered::Failed(with_causes(&error)),
        })?;
        self.took(Part::Render, began);
        Ok(Arc::new(made.of(fetched)))
    }

    /// Renders a commit for this sync, or for another one of the same repository with that one's settings and rights, if it is
    /// signed as that sync demands: each time, since keys change.
    pub(super) async fn rendering_of(
        &self,
        revision: &Revision,
        sync: &SyncConfig,
        cache: &Mutex<Cache>,
    ) -> Result<Made, RenderingError> {
        let own = sync.name == self.config.name;
        verify(&self.git, revision, sync.source.verify.as_ref(), Some(self.home())).await?;
        let commit = revision.commit.as_str();
        if own && self.took_over.swap(false, Ordering::AcqRel) {
            cache.lock().await.forget_verification();
        }
        let cluster = if own {
            self.cluster.clone()
        } else {
            let account = self.context.cluster.impersonating(sync.service_account.as_ref());
            account.map_err(|error| RenderingError::Account { sync: sync.name.to_string(), error })?
        };
        // What another account may know of is learned when it is needed.
        let discovery = if own || sync.service_account.is_none() && self.config.service_account.is_none() {
            Arc::clone(&self.discovery)
        } else {
            Arc::default()
        };
        let view = ClusterView {
            home: self.context.cluster.clone(),
            cluster,
            namespace: Arc::clone(&self.context.namespace),
            discovery,
            key: Some(self.context.key.clone()),
        };
        let settings = Settings::of(sync, &self.context.namespace);
        let rendering = Rendering {
            files: Files::Commit { git: &self.git, commit },
            path: &sync.path,
            settings: &settings,
            budget: &self.context.budget,
            helpers: &self.context.helpers,
            remotes: &self.context.remotes,
            cluster: Some(&view),
        };
        rendering.render(cache).await
    }

    /// Counts a rendering, unless the last one still held.
    fn count_rendering(&self, result: &Result<Made, RenderingError>) {
        for message in result.iter().flat_map(Made::warnings) {
            self.emit(SyncEvent::RenderWarning { message: message.to_owned() });
        }
        let counted = |renderer: &'static str, succeeded| {
            self.emit(SyncEvent::Rendered { renderer, succeeded });
        };
        match result {
            Ok(Made { rendered_now: false, .. }) | Err(RenderingError::Source(_) | RenderingError::Unverified(_)) => {}
            Ok(Made { rendered, renderer, .. }) => {
                counted(renderer.name(), rendered.errors.is_empty());
            }
            Err(error) => counted(error.renderer().unwrap_or(self.config.render.renderer).name(), false),
        }
    }

    async fn observe(
        &self,
        rendered: &Arc<RenderedCommit>,
        inventory: Vec<ObjectId>,
    ) -> Result<Observation, Unobserved> {
        let began = Instant::now();
        let seen = self.see(rendered, inventory).await;
        self.took(Part::Observe, began);
        seen
    }

    async fn see(&self, rendered: &Arc<RenderedCommit>, inventory: Vec<ObjectId>) -> Result<Observation, Unobserved> {
        match self.see_once(rendered, &inventory, false).await? {
            (observation, false) => Ok(observation),
            (_, true) => Ok(self.see_once(rendered, &inventory, true).await?.0),
        }
    }

    /// What is seen, and whether discovery proved outdated by it.
    async fn see_once(
        &self,
        rendered: &Arc<RenderedCommit>,
        inventory: &[ObjectId],
        anew: bool,
    ) -> Result<(Observation, bool), Unobserved> {
        let discovery = self.discovery_for(rendered, inventory, anew).await?;
        let (resolved, reserved) = self.resolve(rendered, &discovery, inventory).await?;
        let mut wanted = Wanted::default();
        for desired in &resolved.desired {
            wanted.versions.insert(desired.manifest.id.gk.clone(), Arc::clone(&desired.manifest.version));
            wanted.ids.insert(desired.manifest.id.clone());
        }
        self.declare(rendered, &resolved).await;
        wanted.orphans = inventory.iter().filter(|id| !wanted.ids.contains(id)).cloned().collect();
        wanted.ids.extend(inventory.iter().cloned());
        let seen = self.cluster.see(&discovery, &wanted, &self.set_id, self.live.as_ref()).await?;
        let commit = &rendered.commit.id;
        let mut others = self.others(commit, &wanted.ids, &wanted.orphans, &seen.observed, &discovery).await;
        others.reserved = reserved;
        let observation = Observation {
            resolved,
            observed: seen.observed,
            unreadable: seen.unreadable,
            crds: discovery.crds(),
            others,
        };
        Ok((observation, seen.outdated))
    }

    /// Discovery, asked anew when it does not know all kinds of the commit and of the inventory,
    /// or an apply failed.
    pub(super) async fn discovery_for(
        &self,
        rendered: &RenderedCommit,
        inventory: &[ObjectId],
        anew: bool,
    ) -> Result<Arc<Discovery>, ApiError> {
        let known = Arc::clone(&*self.discovery.read().await);
        let kinds: BTreeSet<_> =
            rendered.manifests.iter().map(|manifest| (&manifest.id.gk, &*manifest.version)).collect();
        let complete = |scope: &Scope| matches!(scope, Scope::Namespaced | Scope::Cluster);
        let anew = self.rediscover.swap(false, Ordering::Relaxed) || anew;
        let declared = kinds.iter().all(|(gk, version)| complete(&known.scope(gk, version)));
        if !anew && declared && inventory.iter().all(|id| known.preferred(&id.gk).is_some()) {
            return Ok(known);
        }
        let fresh = Arc::new(self.cluster.discover().await?);
        *self.discovery.write().await = Arc::clone(&fresh);
        if let Some(watches) = &self.live {
            watches.retry_now();
        }
        Ok(fresh)
    }

    async fn write_parent(&self, inventory: Inventory, status: &SyncStatus) -> Result<(), InventoryError> {
        let (registry, name) = (&self.context.registry, &self.config.name);
        let holding = registry.with(|fleet| fleet.compare(name, &inventory));
        let written = self.parent.write(inventory, status).await?;
        registry.with(|fleet| {
            fleet.holds(name, holding);
            fleet.has_parent(name, &written.parent_uid);
        });
        for message in written.warnings {
            (self.context.emit)(&Event::Trouble { message });
        }
        Ok(())
    }

    async fn apply(&self, id: EffectId, plan: &Plan, interrupt: &CancellationToken) -> Vec<AppliedObject> {
        let began = Instant::now();
        let report = |outcome: &AppliedObject| {
            self.applied(outcome);
            // The receiver is gone only when the sync ends.
            let _ = self.applied_one.send(Input::AppliedOne { id, outcome: outcome.clone() });
        };
        let cluster = self.cluster.repeating_until(interrupt);
        let applier = Applier {
            cluster: &cluster,
            discovery: &self.discovery,
            set_id: &self.set_id,
            drift: self.config.drift,
            atomic: self.config.atomic,
            timeout: self.config.timeout,
            stop: interrupt,
            report: &report,
        };
        let outcomes = applier.execute(plan).await;
        // Kinds come and go while the agent runs; an apply that failed may have gone to an old address.
        let failed = outcomes.iter().any(|outcome| !outcome.result.succeeded());
        if failed {
            self.suspect_discovery();
        }
        self.took(Part::Apply, began);
        outcomes
    }

    /// Has the next observation ask anew which kinds there are.
    pub(super) fn suspect_discovery(&self) {
        self.rediscover.store(true, Ordering::Relaxed);
    }

    async fn prune(&self, plan: &Plan, interrupt: &CancellationToken) -> Vec<PrunedObject> {
        let began = Instant::now();
        let discovery = Arc::clone(&*self.discovery.read().await);
        let report = |PrunedObject { id, result, gone: _, detail }: &PrunedObject| {
            self.emit(SyncEvent::Pruned { object: id.clone(), result: *result, detail: detail.clone() });
        };
        let cluster = self.cluster.repeating_until(interrupt);
        // The watches report the end of what others wait for.
        let patience = match self.live {
            Some(_) => Patience { wait: Duration::ZERO, then_let_go: false },
            None => Patience { wait: self.config.timeout, then_let_go: true },
        };
        let outcomes = prune(&cluster, &discovery, plan, patience, interrupt, &report).await;
        if let Some(watches) = &self.live {
            for outcome in outcomes.iter().filter(|outcome| outcome.gone && outcome.result == PruneResult::Deleted) {
                if let Some(seen) = plan.step(&outcome.id).and_then(|step| step.live.as_ref()) {
                    watches.removed(&outcome.id, &seen.uid);
                }
            }
        }
        self.took(Part::Prune, began);
        outcomes
    }
}

/// What a failed fetch or read of a commit means for it.
fn unrendered(error: SourceError) -> Unrendered {
    match error {
        SourceError::Moved { .. } => Unrendered::Moved(error.to_string()),
        error => Unrendered::Failed(error.to_string()),
    }
}

/// A rendering error as something to report to a person.
#[must_use]
pub fn rendering_problem(error: &RenderError) -> Problem {
    let origin = crate::object::Origin { file: Arc::clone(&error.file), line: error.line };
    let message = match error.column {
        0 => error.message.clone(),
        column => format!("column {column}: {}", error.message),
    };
    Problem { object: error.object.clone(), origin: Some(origin), message }
}
