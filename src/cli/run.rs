//! `driftless run` and `driftless run --once`.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::session::{DataDir, print};
use super::{CliError, Command, Common, Session};
use crate::agent::{
    Context, Daemon, Front, HEARTBEAT, Once, Registry, Sink, digest_key, ensure_namespace, once, run as run_daemon,
};
use crate::cluster::{Cluster, Discovery};
use crate::config::watch;
use crate::object::DigestKey;
use crate::observe::{Event, LogError, Observer, SyncResult, init};

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Run every sync once, wait for health, and end: 0 synced, 1 error, 3 not healthy in time, 4 prune held
    #[arg(long)]
    once: bool,
    /// Let commits prune what the guard would hold
    #[arg(long, requires = "once")]
    allow_prune: bool,
}

/// How often the configuration is read although nobody said that it changed.
const CONFIG_POLL: Duration = Duration::from_mins(1);
/// The first and the longest wait for an API server that is not there.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

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
        for told in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if told {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

pub(super) async fn run(common: &Common, options: &RunArguments) -> Result<u8, CliError> {
    // The watch comes first, so that no change between reading and watching is missed.
    let changes = if options.once { None } else { Some(watch(common.config.clone(), CONFIG_POLL)?) };
    let session = Session::open(common)?;
    let observer = Observer::new().map_err(|error| CliError::Text(error.to_string()))?;
    let metrics = observer.metrics.clone();
    let cluster = session.connect(Some(Arc::new(move |verb, code, took| metrics.request(verb, code, took)))).await?;
    let stop = stop_on_signal()?;
    let progress = if options.once { Progress::on_terminal() } else { None };
    let (hearing, bars) = (observer.clone(), progress.clone());
    let tell: Sink = Arc::new(move |event: &Event| match &bars {
        Some(bars) => bars.around(event, || hearing.tell(event)),
        None => hearing.tell(event),
    });
    if session.config.syncs.is_empty() {
        tell(&Event::Note { message: "the configuration has no syncs, so there is nothing to do".into() });
    }
    let data = if options.once { Some(session.data_dir()?) } else { None };
    let front =
        if options.once { None } else { Some(Front::open(session.config.listen, observer.clone(), &tell).await?) };
    let prepared = tokio::select! {
        prepared = prepare(&session, cluster, tell, data.as_ref(), &stop) => prepared?,
        never = beat(&observer) => match never {},
    };
    let Some(context) = prepared else { return Ok(0) };
    if let Some(front) = front {
        run_daemon(Daemon { context, config: session.config, watch: changes, observer, front, stop }).await?;
        return Ok(0);
    }
    let options = Once { allow_prune: options.allow_prune, stop };
    let endings = once(&context, &session.config, &options).await;
    if let Some(progress) = progress {
        progress.end();
    }
    let lines: Vec<String> =
        endings.iter().map(|(name, end)| format!("{name}: {}: {}\n", end.result.as_str(), end.message)).collect();
    print(&lines.concat())?;
    Ok(exit_code(endings.values().map(|ending| ending.result)))
}

/// Shows signs of life while the API server is waited for.
async fn beat(observer: &Observer) -> Infallible {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        heartbeat.tick().await;
        observer.board.beat();
    }
}

/// Namespace, key and discovery. The daemon waits for an API server that is not there yet;
/// `--once`, which has a data directory of its own, fails. `None`: stopped meanwhile.
async fn prepare(
    session: &Session,
    cluster: Cluster,
    tell: Sink,
    data: Option<&DataDir>,
    stop: &CancellationToken,
) -> Result<Option<Context>, CliError> {
    let mut pause = FIRST_RETRY;
    let (key, discovery) = loop {
        let tried = tokio::select! {
            tried = foundation(session, &cluster) => tried,
            () = stop.cancelled() => return Ok(None),
        };
        match tried {
            Ok(found) => break found,
            Err(error) if data.is_some() => return Err(error),
            Err(error) => {
                let message = format!("cannot begin yet, and try again in about {} s: {error}", pause.as_secs());
                tell(&Event::Trouble { message });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
            () = stop.cancelled() => return Ok(None),
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    };
    let data_dir = data.map_or_else(|| session.config.data_dir.clone(), |data| data.path.clone());
    Ok(Some(Context {
        cluster,
        discovery: Arc::new(RwLock::new(Arc::new(discovery))),
        namespace: Arc::clone(&session.namespace),
        key,
        registry: Registry::default(),
        data_dir: Arc::new(data_dir),
        tell,
        started: Instant::now(),
    }))
}

async fn foundation(session: &Session, cluster: &Cluster) -> Result<(DigestKey, Discovery), CliError> {
    ensure_namespace(cluster, &session.namespace).await?;
    let key = digest_key(cluster, &session.namespace).await?;
    Ok((key, cluster.discover().await?))
}

/// The worst result counts: an error, then what is not healthy, then what is held.
fn exit_code(results: impl Iterator<Item = SyncResult>) -> u8 {
    let severity = |result: SyncResult| match result {
        SyncResult::Synced => (0, 0),
        SyncResult::Held => (1, 4),
        SyncResult::Unhealthy => (2, 3),
        SyncResult::Failed => (3, 1),
    };
    results.map(severity).max().map_or(0, |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_result() {
        use SyncResult::{Failed, Held, Synced, Unhealthy};
        assert_eq!(exit_code([].into_iter()), 0);
        assert_eq!(exit_code([Synced, Synced].into_iter()), 0);
        assert_eq!(exit_code([Synced, Held].into_iter()), 4);
        assert_eq!(exit_code([Held, Unhealthy].into_iter()), 3);
        assert_eq!(exit_code([Held, Failed, Unhealthy].into_iter()), 1);
    }
}
