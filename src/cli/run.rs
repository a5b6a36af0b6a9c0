//! `driftless run` and `driftless run --once`.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::progress::ProgressLines;
use super::session::{DataDir, print};
use super::{CliError, Command, Common, Session};
use crate::agent::{
    Apart, Budget, Caches, Context, Daemon, Election, EventSink, Events, HEARTBEAT, Helpers, Holder, HttpServer, Once,
    Registry, Remotes, Tenure, digest_key, ensure_namespace, once, run as run_daemon, take_descriptors,
};
use crate::cluster::{Cluster, Connect, Discovery, LEASE_NAME, Leadership, RequestHook};
use crate::config::watch;
use crate::event::{Event, Outcome};
use crate::object::{DigestKey, Displayed};
use crate::retry::Pauses;
use crate::telemetry::{LogError, Observer, Traces, init};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Run every sync once, wait for health, and end: 0 synced, 1 error, 3 not healthy in time, 4 prune held
    #[arg(long)]
    once: bool,
    /// Let commits prune what the guard would hold
    #[arg(long, requires = "once")]
    allow_prune: bool,
    /// Run beside a daemon that holds the lease, and without taking it
    #[arg(long, requires = "once")]
    force: bool,
}

/// How often the configuration is read although nobody said that it changed.
const CONFIG_POLL: Duration = Duration::from_mins(1);
/// The first and the longest wait for an API server that is not there.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long giving up the Lease may take.
const RELEASE: Duration = Duration::from_secs(3);
/// How long the traces that are left may take.
const LAST_TRACES: Duration = Duration::from_secs(5);

/// Sets up the log. Commands that print a result log only what went wrong, and so does `--once` on
/// a terminal, where lines show the progress.
pub(super) fn init_log(command: &Command, common: &Common) -> Result<(), LogError> {
    let chosen = std::env::var_os("DRIFTLESS_LOG").is_some_and(|filter| !filter.is_empty());
    let quiet = match command {
        Command::Run(options) => options.once && std::io::stderr().is_terminal(),
        _ => true,
    };
    init(common.log_format, (quiet && !chosen).then_some("error"))
}

/// Cancels the token at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, CliError> {
    let stop = CancellationToken::new();
    let failed = |error| CliError::Text(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let token = stop.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

pub(super) async fn run(common: &Common, options: &RunArguments) -> Result<u8, CliError> {
    take_descriptors();
    // The watch comes first, so that no change between reading and watching is missed.
    let changes = if options.once { None } else { Some(watch(common.config.clone(), CONFIG_POLL)?) };
    let session = Session::open(common)?;
    let mut observer = Observer::new().map_err(|error| CliError::Text(error.to_string()))?;
    let traces = Traces::from_env();
    observer.traces = traces.as_ref().ok().cloned().flatten();
    let metrics = observer.metrics.clone();
    let hook: RequestHook = Arc::new(move |verb, code, took| metrics.request(verb, code, took));
    let stop = stop_on_signal()?;
    let progress = if options.once { ProgressLines::on_terminal() } else { None };
    let (recorder, bars) = (observer.clone(), progress.clone());
    let (events, publisher) = Events::new();
    let emit: EventSink = Arc::new(move |event: &Event| {
        match &bars {
            Some(bars) => bars.around(event, || recorder.record(event)),
            None => recorder.record(event),
        }
        events.enqueue(event);
    });
    match &traces {
        Ok(Some(traces)) => emit(&Event::Note { message: format!("sending traces to {}", traces.target()) }),
        Ok(None) => {}
        Err(error) => emit(&Event::Warning { message: format!("no traces are sent: {error}") }),
    }
    let traces = traces.ok().flatten();
    if session.config.syncs.is_empty() {
        emit(&Event::Note { message: "the configuration has no syncs, so there is nothing to do".into() });
    }
    let data = if options.once { Some(session.data_dir()?) } else { None };
    let http_server =
        if options.once { None } else { Some(HttpServer::open(session.config.listen, observer.clone(), &emit).await?) };
    let prepared = tokio::select! {
        prepared = prepare(&session, hook.clone(), Arc::clone(&emit), data.as_ref(), &stop) => prepared?,
        never = beat(&observer) => match never {},
    };
    let Some(mut context) = prepared else { return Ok(0) };
    let own = context.cluster.clone();
    let election = if session.config.leader_election && !options.force {
        // A connection and a thread of its own: a renewal must not wait behind anything else.
        let thread = Apart::start("lease")
            .map_err(|error| CliError::Text(format!("cannot start the thread that renews the Lease: {error}")))?;
        let history = context.cluster.history().clone();
        let connect = Connect { hook: Some(hook.clone()), tries: Some(1), history, ..Connect::default() };
        let cluster = session.connect_apart(&thread, connect).await?;
        Some((Election::new(cluster, Arc::clone(&session.namespace), emit), thread))
    } else {
        None
    };
    if election.is_some() {
        context.leadership = Leadership::to_be_won();
        let (leadership, history) = (Some(context.leadership.clone()), context.cluster.history().clone());
        let connect = Connect { hook: Some(hook), leadership, history, ..Connect::default() };
        context.cluster = session.connect_with(connect).await?;
    }
    if let Some(http_server) = http_server {
        let config = session.config;
        let events = publisher;
        run_daemon(Daemon { context, config, watch: changes, observer, own, http_server, events, election, stop })
            .await?;
        send_last(traces).await;
        return Ok(0);
    }
    let tenure = match election {
        Some(election) => tokio::select! {
            tenure = hold(election, &mut context, &session) => tenure?,
            () = stop.cancelled() => return Ok(0),
        },
        None => None,
    };
    let options = Once { allow_prune: options.allow_prune, stop };
    let publishing = publisher.start(&context);
    let endings = once(&context, &session.config, &options).await;
    publishing.end().await;
    if let Some(Kept { over, keeping, _thread }) = tenure {
        over.cancel();
        // A Lease that is not given up ends by itself.
        let _ = tokio::time::timeout(RELEASE, keeping).await;
    }
    send_last(traces).await;
    if let Some(progress) = progress {
        progress.end();
    }
    let lines: Vec<String> = endings
        .iter()
        .map(|(name, end)| format!("{name}: {}: {}\n", end.result.as_str(), Displayed(&end.message)))
        .collect();
    print(&lines.concat())?;
    Ok(exit_code(endings.values().map(|ending| ending.result)))
}

/// Sends the traces that are left, for a while.
async fn send_last(traces: Option<Traces>) {
    let Some(traces) = traces else { return };
    // What is not taken by then is lost, which was reported when it was not taken.
    let _ = tokio::task::spawn_blocking(move || traces.end(LAST_TRACES)).await;
}

/// Shows signs of life while the API server is waited for.
async fn beat(observer: &Observer) -> Infallible {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        heartbeat.tick().await;
        observer.board.beat();
    }
}

/// A Lease that is renewed until `over`.
struct Kept {
    over: CancellationToken,
    keeping: JoinHandle<()>,
    _thread: Apart,
}

/// Takes the Lease for a run of `--once`, so that no daemon and no other run writes beside it.
async fn hold(
    (mut election, thread): (Election, Apart),
    context: &mut Context,
    session: &Session,
) -> Result<Option<Kept>, CliError> {
    let leadership = context.leadership.clone();
    let stood = thread.spawn(async move {
        let tenure = election.stand_once(&leadership).await;
        (election, tenure)
    });
    let stood = stood.await.map_err(|error| CliError::Text(format!("cannot ask for the Lease: {error}")));
    let (election, tenure) = stood?;
    match tenure? {
        Tenure::Won => {
            let over = CancellationToken::new();
            let keeping = thread.spawn(election.keep_until(context.leadership.clone(), over.clone()));
            Ok(Some(Kept { over, keeping, _thread: thread }))
        }
        Tenure::Forbidden(why) => {
            let message = format!("runs without knowing whether a daemon runs as well: {why}");
            (context.emit)(&Event::Warning { message });
            context.leadership = Leadership::unopposed();
            let hook = context.cluster.hook();
            context.cluster = session.connect_with(Connect { hook, ..Connect::default() }).await?;
            Ok(None)
        }
        Tenure::Taken(Holder { name, renewed, duration }) => {
            let namespace = &session.namespace;
            let renewed = renewed.map(|renewed| format!(", renewed at {renewed}")).unwrap_or_default();
            Err(CliError::Text(format!(
                "{name} holds the Lease {namespace}/{LEASE_NAME} ({} s{renewed}): a daemon or another `run --once` is at work, and two must not write at the same time; stop it (scale the daemon to 0) and run this again, have the daemon do the work by `driftless sync`, or run beside it by --force",
                duration.as_secs()
            )))
        }
    }
}

/// Namespace, key and discovery. What is created here is created by whoever comes first, and never
/// changed: that needs no leader, and the Lease needs the namespace. The daemon waits for an API server that is not there yet;
/// `--once`, which has a data directory of its own, fails. `None`: stopped meanwhile.
async fn prepare(
    session: &Session,
    hook: RequestHook,
    emit: EventSink,
    data: Option<&DataDir>,
    stop: &CancellationToken,
) -> Result<Option<Context>, CliError> {
    let cluster = session.connect(Some(hook)).await?;
    let mut pauses = Pauses::new(FIRST_RETRY, LONGEST_RETRY);
    let (key, discovery) = loop {
        let tried = tokio::select! {
            tried = bootstrap(session, &cluster) => tried,
            () = stop.cancelled() => return Ok(None),
        };
        match tried {
            Ok(found) => break found,
            Err(error) if data.is_some() => return Err(error),
            Err(error) => {
                let pause = pauses.next_pause();
                let message = format!("cannot start yet; next try in {} s: {error}", pause.as_secs());
                emit(&Event::Trouble { message });
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return Ok(None),
                }
            }
        }
    };
    let data_dir = data.map_or_else(|| session.config.data_dir.clone(), |data| data.path.clone());
    Ok(Some(Context {
        cluster,
        discovery: Arc::new(RwLock::new(Arc::new(discovery))),
        namespace: Arc::clone(&session.namespace),
        key,
        registry: Registry::default(),
        leadership: Leadership::unopposed(),
        remotes: Remotes::new(&data_dir),
        data_dir: Arc::new(data_dir),
        budget: Budget::default(),
        caches: Caches::default(),
        helpers: Arc::new(Helpers::of_this_program()),
        emit,
        started: Instant::now(),
    }))
}

async fn bootstrap(session: &Session, cluster: &Cluster) -> Result<(DigestKey, Discovery), CliError> {
    ensure_namespace(cluster, &session.namespace).await?;
    let key = digest_key(cluster, &session.namespace).await?;
    Ok((key, cluster.discover().await?))
}

/// The worst result counts: an error, then what is not healthy, then what is held.
fn exit_code(results: impl Iterator<Item = Outcome>) -> u8 {
    let severity = |result: Outcome| match result {
        Outcome::Synced => (0, 0),
        Outcome::Held => (1, 4),
        Outcome::Unhealthy => (2, 3),
        Outcome::Failed => (3, 1),
    };
    results.map(severity).max().map_or(0, |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_result() {
        use Outcome::{Failed, Held, Synced, Unhealthy};
        assert_eq!(exit_code([].into_iter()), 0);
        assert_eq!(exit_code([Synced, Synced].into_iter()), 0);
        assert_eq!(exit_code([Synced, Held].into_iter()), 4);
        assert_eq!(exit_code([Held, Unhealthy].into_iter()), 3);
        assert_eq!(exit_code([Held, Failed, Unhealthy].into_iter()), 1);
    }
}
