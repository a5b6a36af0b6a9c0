//! One task a sync: it feeds the machine, and carries out what the machine asks for.

mod turn;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::turn::Watched;
use super::Context;
use super::annotations::{AllAnnotations, requests};
use super::effects::EffectRunner;
use super::error_deduplication::RecentErrors;
use super::git_login::GitLogin;
use super::hooks::Hinted;
use super::rendering::{InputWatches, Reader};
use crate::cluster::{Cluster, Live};
use crate::config::{DataKind, DataRef, SourceAuth, SyncConfig, VerifyKeys};
use crate::event::{Event, Outcome, SyncEvent};
use crate::inventory::{Parent, ParentStore, read_parent, set_id};
use crate::plan::{Inventory, Phase, Problem};
use crate::reconcile::{Input, Machine};
use crate::source::Git;

/// The first and the longest wait before the parent is read again after an error.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// How the first cycle of a sync ended, for `run --once`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How the cycle ended, which decides the exit code. A suspended sync counts as synced.
    pub result: Outcome,
    /// For people: what was done, or why it failed.
    pub message: String,
}

/// The loop of one sync, ready to run.
pub struct SyncTask {
    /// What all syncs of the agent share.
    pub context: Context,
    /// Configuration of this sync. It stays the same; the supervisor starts a new task for a changed one.
    pub config: Arc<SyncConfig>,
    /// `--allow-prune`: the guard holds nothing. Only with `run --once`.
    pub allow_prune: bool,
    /// End after the first cycle that comes to a result.
    pub once: bool,
    /// Once cancelled, what is under way is finished and recorded, and the task ends.
    pub stop: CancellationToken,
    /// For so long it is known to the other syncs and does nothing else: many that start at once are spread.
    pub(super) begin_after: Duration,
    pub(super) requests: Option<watch::Receiver<Option<AllAnnotations>>>,
    /// Where webhooks are received.
    pub(super) hinted: Option<Arc<Hinted>>,
}

impl SyncTask {
    /// A sync task that reads annotations only when it starts.
    #[must_use]
    pub fn new(context: Context, config: Arc<SyncConfig>, stop: CancellationToken) -> Self {
        Self {
            context,
            config,
            allow_prune: false,
            once: false,
            stop,
            begin_after: Duration::ZERO,
            requests: None,
            hinted: None,
        }
    }

    /// Runs until stopped, or, with `once`, until the first result. What is under way when the stop
    /// comes is ended cleanly: no further object is begun, and what was done is recorded.
    pub async fn run(mut self) -> Option<Ending> {
        let name: Arc<str> = self.config.name.as_str().into();
        let set_id = set_id(&self.context.namespace, &self.config.name);
        self.context.registry.with(|fleet| fleet.enter(&self.config, &set_id));
        if !self.begin_after.is_zero() {
            self.stop.run_until_cancelled(tokio::time::sleep(self.begin_after)).await?;
        }
        // Asked before the parent is read: what was read before that was certain may be outdated.
        let led = self.context.leadership.is_held();
        let parent = match self.first_read(&name, led).await {
            Ok(parent) => parent,
            Err(ending) => return ending,
        };
        let cluster = match self
            .context
            .cluster
            .knowing(&self.config.managers)
            .impersonating(self.config.service_account.as_ref())
        {
            Ok(cluster) => cluster,
            Err(error) => return Some(self.fail(&name, &error.to_string(), led)),
        };
        if let Some(damaged) = parent.as_ref().and_then(|parent| parent.damaged.clone()) {
            (self.context.emit)(&Event::of(&name, SyncEvent::Problem(Problem::general(damaged))));
        }
        if let Some(uid) = parent.as_ref().and_then(|parent| parent.uid.as_deref()) {
            self.context.registry.with(|fleet| fleet.has_parent(&self.config.name, uid));
        }
        self.remember(parent.as_ref());
        let seen = parent.as_ref().map(requests).unwrap_or_default();
        let version = parent.as_ref().and_then(|parent| parent.resource_version.clone());
        let stored = parent.map(|parent| (parent.inventory, parent.status));
        let mut machine = Machine::new(Arc::clone(&self.config), set_id.clone(), stored, seen, self.context.now())
            .allowing_prune(self.allow_prune);
        if !led {
            (self.context.emit)(&Event::of(&name, SyncEvent::StandingBy { commit: None }));
            machine = machine.following();
        }
        // Empty at first: it is asked for, in the name of the account, when it is needed.
        let discovery = match &self.config.service_account {
            Some(_) => Arc::default(),
            None => Arc::clone(&self.context.discovery),
        };
        let (applied_one, applied) = mpsc::unbounded_channel();
        let (watched, set) = (cluster.clone(), set_id.clone());
        let runner = EffectRunner {
            git: Git::open_among(&self.config, &self.context.data_dir, self.context.budget.turns.clone()),
            git_login: GitLogin::default(),
            parent: ParentStore::new(
                self.context.cluster.clone(),
                Arc::clone(&self.context.namespace),
                self.config.name.clone(),
            )
            .with_version(version.as_deref()),
            cache: self.context.caches.enter(&name),
            took_over: AtomicBool::new(false),
            context: self.context.clone(),
            config: Arc::clone(&self.config),
            name,
            set_id,
            cluster,
            discovery,
            revision: tokio::sync::Mutex::default(),
            interrupts: std::sync::Mutex::default(),
            recent_errors: RecentErrors::default(),
            rediscover: AtomicBool::new(false),
            stop: self.stop.clone(),
            resolved: tokio::sync::Mutex::default(),
            waited_in_vain: tokio::sync::Mutex::default(),
            takeable: tokio::sync::Mutex::default(),
            applied_one,
            live: (!self.once).then(|| self.watches(&watched, &set)),
        };
        let all_annotations = self.requests.take();
        let watched = Watched {
            inputs: (!self.once).then(|| self.input_watches()).flatten(),
            login: (!self.once).then(|| self.login_watch()).flatten(),
            signers: (!self.once).then(|| self.signers_watch()).flatten(),
        };
        self.turn(machine, &runner, all_annotations, applied, watched).await
    }

    /// Has the other syncs know what the stored inventory holds.
    fn remember(&self, parent: Option<&Parent>) {
        let (name, nothing) = (&self.config.name, Inventory::default());
        let inventory = parent.map_or(&nothing, |parent| &parent.inventory);
        self.context.registry.with(|fleet| {
            let holding = fleet.compare(name, inventory);
            fleet.holds(name, holding);
        });
    }

    /// Reads the parent, again and again while that fails: without it, nothing may be decided.
    async fn first_read(&self, name: &Arc<str>, led: bool) -> Result<Option<Parent>, Option<Ending>> {
        let mut pause = FIRST_RETRY;
        loop {
            let read = read_parent(&self.context.cluster, &self.context.namespace, &self.config.name);
            let error = tokio::select! {
                read = read => match read {
                    Ok(parent) => return Ok(parent),
                    Err(error) => error,
                },
                () = self.stop.cancelled() => return Err(None),
            };
            let ending = self.fail(name, &error.to_string(), led);
            if self.once {
                return Err(Some(ending));
            }
            let jittered = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.stop.cancelled() => return Err(None),
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// A follower reports the problem alone: where the sync stands, the leader knows.
    fn fail(&self, name: &Arc<str>, error: &str, led: bool) -> Ending {
        (self.context.emit)(&Event::of(name, SyncEvent::Problem(Problem::general(error))));
        let ending = Ending { result: Outcome::Failed, message: error.to_owned() };
        if !led {
            return ending;
        }
        let status = crate::plan::SyncStatus {
            sync: name.to_string(),
            phase: Phase::Failing,
            message: error.to_owned(),
            problems: vec![Problem::general(error)],
            url: self.config.source.display_url(),
            reference: self.config.source.reference.to_string(),
            path: self.config.path.to_string(),
            ..crate::plan::SyncStatus::default()
        };
        (self.context.emit)(&Event::of(name, SyncEvent::Status(Arc::new(status))));
        self.context.registry.set_phase(&self.config.name, Phase::Failing);
        ending
    }

    /// Waits until this agent leads, and then reads the parent, which is the former leader's last word.
    async fn promoted(&self, name: Arc<str>) -> Input {
        self.context.leadership.held().await;
        let Ok(parent) = self.first_read(&name, true).await else {
            // Stopped meanwhile.
            return std::future::pending().await;
        };
        if let Some(damaged) = parent.as_ref().and_then(|parent| parent.damaged.clone()) {
            (self.context.emit)(&Event::Sync(name, SyncEvent::Problem(Problem::general(damaged))));
        }
        self.remember(parent.as_ref());
        let requests = parent.as_ref().map(requests).unwrap_or_default();
        Input::Leads { stored: parent.map(|parent| Box::new((parent.inventory, parent.status))), requests }
    }

    /// Waits until leadership is about to end, `again` where that was said already.
    async fn endangered(&self, again: bool) {
        if again {
            self.context.leadership.changed().await;
        }
        self.context.leadership.shaky().await;
    }

    /// The watches of this sync, with its own rights.
    fn watches(&self, cluster: &Cluster, set_id: &str) -> Live {
        let (emit, sync) = (Arc::clone(&self.context.emit), self.config.name.clone());
        let emit = move |message: String| emit(&Event::Trouble { message: format!("sync {sync}: {message}") });
        Live::new(cluster.clone(), set_id, Arc::new(emit))
    }

    fn report_trouble(&self) -> Arc<dyn Fn(String) + Send + Sync> {
        let (emit, sync) = (Arc::clone(&self.context.emit), self.config.name.clone());
        Arc::new(move |message: String| emit(&Event::Trouble { message: format!("sync {sync}: {message}") }))
    }

    /// The watches of what its rendering reads in the agent's namespace, with the agent's rights.
    fn input_watches(&self) -> Option<InputWatches> {
        let report = self.report_trouble();
        let names = self.config.render.read_in_cluster();
        let reader = Reader { reads: "render reads", until: "its changes are found with the next commit" };
        InputWatches::start(names, reader, &self.context.cluster.client(), &self.context.namespace, &report)
    }

    /// The watch of the Secret with the credentials for the git server, likewise.
    fn login_watch(&self) -> Option<InputWatches> {
        let Some(SourceAuth::Secret(name)) = &self.config.source.auth else { return None };
        let until = "a change of it is used once the server refuses what it held before";
        self.watch_one(DataKind::Secret, name, Reader { reads: "the credentials for git come", until })
    }

    /// The watch of the Secret or `ConfigMap` with the keys of those who may sign, likewise.
    fn signers_watch(&self) -> Option<InputWatches> {
        let (kind, name) = match &self.config.source.verify.as_ref()?.keys {
            VerifyKeys::Secret(name) => (DataKind::Secret, name),
            VerifyKeys::ConfigMap(name) => (DataKind::ConfigMap, name),
            VerifyKeys::Files(_) => return None,
        };
        let reader = Reader { reads: "the keys of signers come", until: "its changes are found with the next commit" };
        self.watch_one(kind, name, reader)
    }

    fn watch_one(&self, kind: DataKind, name: &Arc<str>, reader: Reader) -> Option<InputWatches> {
        let names = [DataRef { kind, name: Arc::clone(name), optional: false }].into();
        let (client, report) = (self.context.cluster.client(), self.report_trouble());
        InputWatches::start(names, reader, &client, &self.context.namespace, &report)
    }
}
