//! The daemon: one task for each sync, the watch on the configuration, and the HTTP server; each a
//! task whose end somebody notices.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::annotations::watch_annotations;
use super::election::Election;
use super::hooks::Receiver;
use super::restored::Restored;
use super::supervisor::Supervisor;
use super::{Apart, Context, HttpServer, Publisher};
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError, Loaded, Watch};
use crate::event::Event;
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
    /// Connection that writes whether this agent leads or not: webhooks that come to a follower are passed on by it.
    pub own: Cluster,
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
/// Runs until `stop` is cancelled.
///
/// # Errors
/// The address or the data directory cannot be used.
pub async fn run(daemon: Daemon) -> Result<(), DaemonError> {
    let Daemon { context, config, mut watch, observer, own, mut http_server, events, election, stop } = daemon;
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
    // Dropped last of all, which ends it.
    let receiver = config.hooks.clone().map(|hooks| Receiver::start(hooks, &context, own, observer.metrics.clone()));
    let hints = receiver.as_ref().map(|receiver| Arc::clone(&receiver.hints));
    let mut supervisor = Supervisor::new(context, requests, hints);
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
    if old.hooks != new.hooks {
        keys.push("hooks");
    }
    let keys = keys.join(", ");
    (!keys.is_empty()).then(|| format!("the change of {keys} takes effect at the next start"))
}
