//! The daemon: one task for each sync, the watch on the configuration, and the HTTP server; each a
//! task whose end somebody notices.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::annotations::{AllAnnotations, watch_annotations};
use super::election::Election;
use super::restored::Restored;
use super::{Apart, Context, Ending, HttpServer, Publisher, SyncTask};
use crate::config::{Config, ConfigError, Loaded, SyncConfig, SyncName, Watch};
use crate::event::{Event, SyncEvent};
use crate::source::remove_unused_clones;
use crate::telemetry::Observer;

/// What the daemon runs with.
pub struct Daemon {
    /// What the sync tasks share; each gets a clone.
    pub context: Context,
    /// Configuration at the start; `watch` delivers the later ones.
    pub config: Config,
    /// `None`: the configuration is not watched.
    pub watch: Option<Watch>,
    /// Receives the heartbeat of the main loop, and that the daemon is ready.
    pub observer: Observer,
    /// Where Kubernetes Events arrive.
    pub events: Publisher,
    /// With the thread on which its connection lives; `None`: there is no election, and this agent leads.
    pub election: Option<(Election, Apart)>,
    /// HTTP server that listens already; closed when the last sync task has ended.
    pub http_server: HttpServer,
    /// Once cancelled, the daemon shuts down. It cancels the token itself when one of its parts was lost.
    pub stop: CancellationToken,
}

/// The daemon cannot run.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The HTTP server cannot listen on its address, or its thread cannot be started.
    #[error(
        "cannot listen on {address} for metrics and status: {error}; set `listen` in the configuration to a free address"
    )]
    Listen {
        /// `listen` of the configuration.
        address: SocketAddr,
        /// Error of the socket or of the thread.
        #[source]
        error: io::Error,
    },
    /// The data directory cannot be created, or a file has its name.
    #[error(
        "cannot use the data directory {directory}: {error}; set `dataDir` in the configuration to one that can be written"
    )]
    DataDir {
        /// `dataDir` of the configuration.
        directory: PathBuf,
        /// Error of creating the directory.
        #[source]
        error: io::Error,
    },
    /// The leader election, the HTTP server or the watch on the inventories ended; the text names it.
    #[error("a part of the agent ended that never should, so it stops: {0}")]
    Lost(String),
}

/// How often the main loop shows that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long sync tasks may take to end what is under way when the daemon stops.
const FAREWELL: Duration = Duration::from_secs(25);
/// How long the Lease may take to be given up; if it takes longer, others wait for its end.
const RELEASE: Duration = Duration::from_secs(3);
/// A sync task that panicked is started again after this.
const RESPAWN: Duration = Duration::from_secs(10);
/// Of sync tasks that start together, each begins this much later than the one before; the last one not
/// later than the second one.
const APART: Duration = Duration::from_millis(10);
const LAST_BEGINS: Duration = Duration::from_secs(5);
/// A clone that is still used is tried to be removed again after this, so many times: together longer
/// than a fetch may take that was given up.
const STILL_USED: Duration = Duration::from_secs(10);
const TIDYING: usize = 40;

/// One running sync task.
struct Running {
    config: Arc<SyncConfig>,
    stop: CancellationToken,
    task: Id,
}

struct Supervisor {
    context: Context,
    running: BTreeMap<SyncName, Running>,
    tasks: JoinSet<(SyncName, Option<Ending>)>,
    requests: watch::Sender<Option<AllAnnotations>>,
    /// What is to run; a changed sync starts anew when its old sync task has ended.
    wanted: BTreeMap<SyncName, Arc<SyncConfig>>,
    /// Removes clones that are not used any more.
    tidying: Option<AbortOnDropHandle<()>>,
}

/// Runs until `stop` is cancelled.
///
/// # Errors
/// The address or the data directory cannot be used.
pub async fn run(daemon: Daemon) -> Result<(), DaemonError> {
    let Daemon { context, config, mut watch, observer, mut http_server, events, election, stop } = daemon;
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| DaemonError::DataDir { directory: config.data_dir.clone(), error })?;

    let mut events = events.start(&context);
    let mut written = true;
    // The watch on the parents lasts as long as somebody could receive from it: also before the first
    // sync task does, and while there is none.
    let (requests, _received) = watch::channel(None);
    let emit = Arc::clone(&context.emit);
    let annotations =
        watch_annotations(context.cluster.clone(), Arc::clone(&context.namespace), requests.clone(), Arc::clone(&emit));
    let mut watcher = tokio::spawn(annotations);
    let mut supervisor = Supervisor {
        context,
        running: BTreeMap::new(),
        tasks: JoinSet::new(),
        requests,
        wanted: BTreeMap::new(),
        tidying: None,
    };
    emit(&Event::ConfigLoaded { syncs: config.syncs.len(), reloaded: false });
    // It holds the Lease until the last sync task has ended.
    let over = CancellationToken::new();
    let (losing, mut losses) = mpsc::channel(1);
    let mut restored = Restored::of(&supervisor.context.cluster);
    let mut elector = elect(election, &supervisor.context, losing, &over);
    supervisor.adopt(&config);
    observer.board.set_ready(true);
    let mut current = config;
    let mut lost = None;
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = heartbeat.tick() => observer.board.beat(),
            Some(changed) = next_config(&mut watch) => match changed {
                Ok(Loaded { config, .. }) => {
                    emit(&Event::ConfigLoaded { syncs: config.syncs.len(), reloaded: true });
                    if let Some(message) = needs_restart(&current, &config) {
                        emit(&Event::Note { message });
                    }
                    supervisor.adopt(&config);
                    current = config;
                }
                Err(error) => emit(&Event::ConfigRejected { error: error.to_string() }),
            },
            Some(begun_anew) = losses.recv() => {
                supervisor.begin_anew().await;
                // Who waits for it may have been asked to end.
                let _: Result<(), ()> = oneshot::Sender::send(begun_anew, ());
            }
            went_back = restored.proven() => {
                emit(&Event::Trouble { message: format!("{went_back}; all syncs begin anew from what is there") });
                supervisor.begin_anew().await;
            }
            ended = &mut elector => {
                lost = Some(format!("the leader election{}", if ended.is_err() { ": it panicked" } else { "" }));
                break;
            }
            Some(ended) = supervisor.tasks.join_next_with_id() => {
                let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
                supervisor.ended(task, &stop);
            }
            why = http_server.ended() => {
                lost = Some(format!("the HTTP server: {why}"));
                break;
            }
            () = events.ended(), if written => {
                written = false;
                let message = "the task that writes Kubernetes Events panicked; everything else goes on".into();
                emit(&Event::Trouble { message });
            }
            _ = &mut watcher => {
                lost = Some("the watch on the inventories".into());
                break;
            }
        }
    }
    stop.cancel();
    emit(&Event::Note {
        message: "stopping: no further object is begun, what is under way is ended and recorded".into(),
    });
    for running in supervisor.running.values() {
        running.stop.cancel();
    }
    let all = async { while supervisor.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        let message = format!("some syncs did not end within {} s and are given up", FAREWELL.as_secs());
        emit(&Event::Trouble { message });
    }
    // Before the Lease is given up, since only a leader writes.
    if written {
        events.end().await;
    }
    over.cancel();
    if !elector.is_finished() {
        let _ = tokio::time::timeout(RELEASE, elector).await;
    }
    watcher.abort();
    http_server.close().await;
    lost.map_or(Ok(()), |part| Err(DaemonError::Lost(part)))
}

/// Runs for leader until notified that it is over; without an election this agent leads.
fn elect(
    election: Option<(Election, Apart)>,
    context: &Context,
    losing: mpsc::Sender<oneshot::Sender<()>>,
    over: &CancellationToken,
) -> JoinHandle<()> {
    let Some((election, thread)) = election else {
        let why = "leads: leader election is turned off".into();
        (context.emit)(&Event::Leadership { leads: true, holder: None, why });
        return tokio::spawn(over.clone().cancelled_owned());
    };
    let running = thread.spawn(election.run(context.leadership.clone(), losing, over.clone()));
    tokio::spawn(async move {
        // The thread has to last as long.
        let _thread = thread;
        if let Err(error) = running.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    })
}

/// When each of so many sync tasks that start together begins.
fn begins(tasks: usize) -> impl Iterator<Item = Duration> {
    let step = u32::try_from(tasks).map_or(Duration::ZERO, |tasks| APART.min(LAST_BEGINS / tasks.max(1)));
    (0..).map(move |number: u32| {
        // The first one at once: whoever has one sync waits for nothing.
        let jitter = if number == 0 { 0.0 } else { fastrand::f64() };
        step * number.saturating_sub(1) + step.mul_f64(jitter)
    })
}

async fn next_config(watch: &mut Option<Watch>) -> Option<Result<Loaded, ConfigError>> {
    match watch {
        Some(watch) => match watch.changed().await {
            Some(change) => Some(change),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// What a changed configuration says about things that only a start can change.
fn needs_restart(old: &Config, new: &Config) -> Option<String> {
    let mut keys = Vec::new();
    if old.listen != new.listen {
        keys.push("listen");
    }
    if old.namespace != new.namespace {
        keys.push("namespace");
    }
    if old.data_dir != new.data_dir {
        keys.push("dataDir");
    }
    if old.leader_election != new.leader_election {
        keys.push("leaderElection");
    }
    let keys = keys.join(", ");
    (!keys.is_empty()).then(|| format!("the change of {keys} takes effect at the next start"))
}

impl Supervisor {
    /// Makes the running sync tasks those of a configuration.
    fn adopt(&mut self, config: &Config) {
        self.wanted = config.syncs.iter().map(|sync| (sync.name.clone(), Arc::clone(sync))).collect();
        for (name, running) in &self.running {
            if self.wanted.get(name) != Some(&running.config) {
                running.stop.cancel();
            }
        }
        let missing: Vec<_> = self.wanted.keys().filter(|name| !self.running.contains_key(*name)).cloned().collect();
        self.start_all(&missing);
    }

    fn start_all(&mut self, names: &[SyncName]) {
        for (name, begins) in names.iter().zip(begins(names.len())) {
            self.start(name, Duration::ZERO, begins);
        }
        if self.running.values().all(|running| !running.stop.is_cancelled()) {
            self.tidy();
        }
    }

    /// Starts a sync task after a while, which then begins some time later.
    fn start(&mut self, name: &SyncName, after: Duration, begins: Duration) {
        let Some(config) = self.wanted.get(name) else { return };
        let stop = CancellationToken::new();
        let mut sync_task = SyncTask::new(self.context.clone(), Arc::clone(config), stop.clone());
        sync_task.requests = Some(self.requests.subscribe());
        sync_task.begin_after = begins;
        let (sync, delayed) = (name.clone(), stop.clone());
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = delayed.cancelled() => return (sync, None),
            }
            let ending = sync_task.run().await;
            (sync, ending)
        });
        self.running.insert(name.clone(), Running { config: Arc::clone(config), stop, task: task.id() });
    }

    /// Ends all sync tasks where they are, as a crash would, and starts them again: they have to learn
    /// everything anew, since what they assume is another's to change from now on.
    async fn begin_anew(&mut self) {
        self.tasks.shutdown().await;
        for name in std::mem::take(&mut self.running).into_keys() {
            self.context.registry.leave(&name);
            if !self.wanted.contains_key(&name) {
                (self.context.emit)(&Event::of(&name.as_str().into(), SyncEvent::Forgotten));
            }
        }
        let wanted: Vec<_> = self.wanted.keys().cloned().collect();
        self.start_all(&wanted);
    }

    /// Removes the clones of syncs and repositories that are not configured any more. What a sync task of
    /// before still uses is tried again.
    fn tidy(&mut self) {
        let (data, emit) = (Arc::clone(&self.context.data_dir), Arc::clone(&self.context.emit));
        let syncs: Vec<Arc<SyncConfig>> = self.wanted.values().cloned().collect();
        let task = async move {
            for _ in 0..TIDYING {
                let (data, syncs) = (Arc::clone(&data), syncs.clone());
                let tidy = move || remove_unused_clones(&data, syncs.iter().map(|sync| &**sync));
                let Ok(tidied) = tokio::task::spawn_blocking(tidy).await else { return };
                for path in tidied.removed {
                    let message = format!("removed the clone {}, which no sync uses any more", path.display());
                    emit(&Event::Note { message });
                }
                for error in tidied.failed {
                    emit(&Event::Trouble { message: format!("a clone that no sync uses any more stays: {error}") });
                }
                if tidied.busy.is_empty() {
                    return;
                }
                tokio::time::sleep(STILL_USED).await;
            }
        };
        // Whoever is at it already goes by an older configuration.
        self.tidying = Some(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    /// A sync task ended: because it was asked to, or since it panicked.
    fn ended(&mut self, task: Id, stop: &CancellationToken) {
        let Some(name) = self.running.iter().find(|(_, running)| running.task == task).map(|(name, _)| name.clone())
        else {
            return;
        };
        let asked = self.running.remove(&name).is_some_and(|running| running.stop.is_cancelled());
        if stop.is_cancelled() {
            return;
        }
        if asked && self.running.values().all(|running| !running.stop.is_cancelled()) {
            self.tidy();
        }
        if !self.wanted.contains_key(&name) {
            self.context.registry.leave(&name);
            (self.context.emit)(&Event::of(&name.as_str().into(), SyncEvent::Forgotten));
            return;
        }
        if !asked {
            let message = format!("the task of sync {name} panicked; restarting");
            (self.context.emit)(&Event::Trouble { message });
        }
        self.start(&name, if asked { Duration::ZERO } else { RESPAWN }, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_begins_at_once_and_many_are_spread_over_a_time_that_grows_with_their_number_up_to_a_bound() {
        for (tasks, all_within) in [(1, Duration::ZERO), (2, APART), (100, APART * 99), (100_000, LAST_BEGINS)] {
            let begins: Vec<Duration> = begins(tasks).take(tasks).collect();
            assert_eq!(begins[0], Duration::ZERO);
            assert!(begins.is_sorted() && begins[tasks - 1] <= all_within, "{tasks}: {:?}", begins[tasks - 1]);
            assert!(begins[tasks - 1] >= all_within.mul_f64(0.9) || tasks < 100);
        }
    }
}
