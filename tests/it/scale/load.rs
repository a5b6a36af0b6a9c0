//! Much at once: a hundred syncs, readers that never read, repositories that take long. The Lease, the
//! probes and the other syncs do not notice.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit::{self, Asked, Mark};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::process::peak_memory;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually, within};

/// What a kubelet waits for the answer to a probe, unless it is configured otherwise.
const PROBE: Duration = Duration::from_secs(1);
/// It restarts a container after three failures in a row, unless it is configured otherwise.
const FAILURES: usize = 3;
/// Between two renewals of the Lease lie 2 s and up to a fifth more; the rest is for a busy machine.
const RENEWAL: f64 = 6.0;
/// A heal takes some hundredths of a second; the rest is for a busy machine.
const HEAL: Duration = Duration::from_secs(5);
/// How long a hundred syncs may take on a busy machine with two cores.
const ALL: Duration = Duration::from_mins(4);

/// What Prometheus waits for the answer to a scrape.
const SCRAPE: Duration = Duration::from_secs(10);

/// Asks as a kubelet does; the status code.
fn probe(address: &str, path: &str) -> Result<u16, String> {
    ask(address, path, PROBE)
}

fn ask(address: &str, path: &str, patience: Duration) -> Result<u16, String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address.parse().expect("an address"), patience).map_err(failed)?;
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| format!("{path}: {answer:?}"))
}

/// Probes without a pause, from its start to [`Probes::end`].
struct Probes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Result<(), String>>>,
}

impl Probes {
    /// Of an agent that has become ready.
    fn of(agent: &Agent) -> Self {
        eventually("it is ready", || {
            let ready = probe(agent.address(), "/readyz");
            check(ready == Ok(200), format!("{ready:?}"))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (address, over) = (agent.address().to_owned(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut probes = Vec::new();
            while !over.load(Ordering::SeqCst) {
                for path in ["/healthz", "/readyz"] {
                    let began = Instant::now();
                    let code = probe(&address, path);
                    let good = code == Ok(200) && began.elapsed() < PROBE;
                    probes.push(check(good, format!("{path}: {code:?} after {:?}", began.elapsed())));
                }
            }
            probes
        });
        Self { stop, thread }
    }

    /// No kubelet would have restarted the container.
    #[track_caller]
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        let probes = self.thread.join().expect("the probes end");
        assert!(probes.len() > 10, "only {} probes", probes.len());
        let failed: Vec<&String> = probes.iter().filter_map(|probe| probe.as_ref().err()).collect();
        let in_a_row = probes.windows(FAILURES).any(|some| some.iter().all(Result::is_err));
        assert!(
            !in_a_row,
            "{} of {} probes failed, {FAILURES} of them in a row: {failed:?}",
            failed.len(),
            probes.len()
        );
    }
}

/// The longest time between two renewals of the Lease since a mark.
fn longest_gap(site: &Site, since: Mark) -> f64 {
    let times = audit::times(since, &site.user(), "update", &format!("leases {}/driftless", site.home));
    assert!(times.len() > 2, "{times:?}");
    times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

/// The most of these requests that the API server had at the same time.
fn most_at_once<'a>(requests: impl Iterator<Item = &'a Asked>) -> usize {
    let mut edges: Vec<(&str, isize)> = Vec::new();
    for request in requests {
        edges.extend([(&*request.begun, 1), (&*request.ended, -1)]);
    }
    edges.sort_unstable();
    let at_once = edges.iter().scan(0_isize, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    at_once.max().unwrap_or_default().unsigned_abs()
}

/// Syncs of as many directories of the repository, with one object each.
fn many(site: &Site, syncs: usize) -> Vec<Value> {
    let of = |number: usize| {
        let name = format!("s{number}");
        site.repo.write(&format!("{name}/a.yaml"), config_map(&format!("a{number}"), "1"));
        let mut sync = site.sync(&name);
        sync["path"] = json!(name);
        sync
    };
    let syncs = (0..syncs).map(of).collect();
    site.repo.commit_all("many");
    syncs
}

fn elected(config: &mut Value) {
    config["leaderElection"] = json!({"enabled": true});
}

#[test]
fn four_hundred_readers_that_never_read_keep_neither_probes_nor_prometheus_nor_a_sync_waiting() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(agent.http("/metrics").0, 200);
    let before = peak_memory(agent.pid());
    // Far more than fits into the buffers of a connection.
    let asking = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").repeat(400);
    let kinds = [String::new(), "GET /metrics HT".into(), asking("/metrics"), asking("/status")];
    let silent = |number: usize| {
        let mut stream = TcpStream::connect(agent.address()).expect("the daemon listens");
        stream.set_nonblocking(true).expect("an option");
        // As much as is taken. It may be closed any time.
        let _ = stream.write(kinds[number % kinds.len()].as_bytes());
        stream
    };
    let readers: Vec<TcpStream> = (0..400).map(silent).collect();
    let probes = Probes::of(&agent);
    site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    site.eventually_has("a", "two");
    let began = Instant::now();
    // Longer than a reader is waited for.
    while began.elapsed() < Duration::from_secs(15) {
        for path in ["/metrics", "/status"] {
            assert_eq!(ask(agent.address(), path, SCRAPE), Ok(200));
        }
    }
    probes.end();
    let grown = peak_memory(agent.pid()).saturating_sub(before) >> 20;
    assert!(grown < 32, "400 readers cost {grown} MiB");
    drop(readers);
    assert_eq!(agent.http("/status").0, 200);
    agent.stop();
}

#[test]
fn a_daemon_without_a_file_descriptor_left_for_a_connection_makes_room_for_one() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let agent = Agent::spawn(&site, with_descriptors(&site, "-n 64"));
    agent.eventually_synced("shop", &site.repo.head());
    let probes = Probes::of(&agent);
    let connect = |_| TcpStream::connect(agent.address()).expect("the daemon listens");
    let readers: Vec<TcpStream> = (0..200).map(connect).collect();
    for number in 0..3 {
        let commit = site.repo.commit(&[("a.yaml", &config_map("a", &format!("after {number}")))]);
        agent.eventually_synced("shop", &commit);
    }
    probes.end();
    drop(readers);
}

/// The daemon as a system starts it that limits file descriptors like this (`ulimit`).
fn with_descriptors(site: &Site, limit: &str) -> Command {
    let run = site.command(&["run"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(run.get_program()).args(run.get_args());
    limited.env_clear().envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(site.directory());
    limited
}

#[test]
fn a_system_that_gives_few_file_descriptors_unless_more_are_asked_for_is_asked() {
    let site = Site::with(&[]);
    site.configure(&many(&site, 40));
    let agent = Agent::spawn(&site, with_descriptors(&site, "-S -n 48"));
    within(ALL, "all syncs are synced", || all_synced(&agent, 40));
    agent.stop();
}

fn all_synced(agent: &Agent, syncs: usize) -> Result<(), String> {
    let status = agent.status();
    let synced = status["syncs"].as_array().expect("a list").iter().filter(|sync| sync["phase"] == "Synced").count();
    check(synced == syncs, format!("{synced} are synced"))
}

#[test]
fn a_hundred_syncs_fetch_and_list_a_few_at_once_and_neither_lease_nor_probes_notice() {
    let site = Site::with(&[]);
    let server = GitHttp::start(site.repo.root());
    let mut syncs = many(&site, 100);
    for sync in &mut syncs {
        (sync["source"]["url"], sync["interval"]) = (json!(server.url()), json!("1m"));
    }
    site.configure_with(&syncs, elected);
    let since = audit::mark();
    let agent = Agent::start(&site);
    let probes = Probes::of(&agent);
    within(ALL, "all syncs are synced", || all_synced(&agent, 100));
    probes.end();
    assert!(server.most_at_once() <= 4, "{} requests at once to one git server", server.most_at_once());
    if let Some(since) = since {
        let gap = longest_gap(&site, since);
        assert!(gap < RENEWAL, "{gap} s without a renewal of the Lease");
        let requests = site.requests(since);
        let lists = most_at_once(requests.iter().filter(|request| request.verb == "list"));
        assert!(lists <= 24, "{lists} LISTs at once");
    }
    agent.stop();
}

#[test]
fn a_run_of_many_syncs_once_calls_a_git_server_a_few_at_once() {
    let site = Site::with(&[]);
    let server = GitHttp::start(site.repo.root());
    let mut syncs = many(&site, 20);
    for sync in &mut syncs {
        sync["source"]["url"] = json!(server.url());
    }
    site.configure(&syncs);
    site.once().expect_code(0);
    assert_eq!(site.config_maps().len(), 20);
    assert!(server.most_at_once() <= 4, "{} requests at once to one git server", server.most_at_once());
}

#[test]
fn syncs_of_a_git_server_that_hangs_keep_no_other_sync_waiting() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let hanging = GitHttp::start(site.repo.root());
    hanging.behave(Behaviour::Hang);
    let good = GitHttp::start(site.repo.root());
    let mut syncs: Vec<Value> = (0..30)
        .map(|number| {
            let mut sync = site.sync(&format!("hangs{number}"));
            sync["source"]["url"] = json!(hanging.url());
            sync
        })
        .collect();
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(good.url());
    syncs.push(sync);
    site.configure(&syncs);
    let agent = Agent::start(&site);
    eventually("calls hang", || check(hanging.requests() >= 4, hanging.requests()));
    within(Duration::from_secs(15), "the other sync is synced", || {
        let status = agent.sync("shop");
        check(status["phase"] == "Synced", status)
    });
    assert!(hanging.most_at_once() <= 4, "{}", hanging.most_at_once());
    agent.stop();
}

/// Much to read, to hash and to plan, and nothing to apply: each object depends on one that nobody declares.
fn large(objects: usize) -> impl Iterator<Item = (String, String)> {
    let object = |number: usize| {
        let values: BTreeMap<String, String> =
            (0..10).map(|value| (format!("value{value}"), format!("text number {number}"))).collect();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": values, "metadata": {"name": format!("n{number}"),
            "annotations": {"config.kubernetes.io/depends-on": "/namespaces/nowhere/ConfigMap/nothing"}}})
    };
    (0..objects).step_by(1000).map(move |first| {
        let items: Vec<Value> = (first..first + 1000).map(object).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        (format!("{first}.json"), list.to_string())
    })
}

#[test]
fn a_repository_that_takes_many_seconds_of_cpu_delays_neither_lease_nor_probes_nor_another_sync() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    for number in 0..300 {
        site.repo.write(&format!("{number}.yaml"), config_map(&format!("a{number}"), "1"));
    }
    site.repo.commit_all("small");
    let repo = TestRepo::new();
    for (path, text) in large(45_000) {
        repo.write(&path, text);
    }
    repo.commit_all("large");
    let mut large = site.sync("large");
    large["source"]["url"] = json!(repo.url());
    site.configure_with(&[site.sync("small"), large], elected);
    let since = audit::mark();
    // As in a container with one core.
    let agent = Agent::start_with(&site, |command| {
        command.env("TOKIO_WORKER_THREADS", "1");
    });
    let probes = Probes::of(&agent);
    agent.eventually_is("small", "Synced");
    let mut healed = Vec::new();
    within(ALL, "the large one is through", || {
        // Each time another one, or it would be a contest.
        let name = format!("a{}", healed.len());
        site.edit("configmaps", &name, "kubectl-edit", &json!({"data": {"value": "by hand"}}));
        let edited = Instant::now();
        site.eventually_has(&name, "1");
        healed.push(edited.elapsed());
        let status = agent.sync("large");
        check(status["phase"] == "Failing" || healed.len() == 300, status)
    });
    if let Some(since) = since {
        let gap = longest_gap(&site, since);
        assert!(gap < RENEWAL, "{gap} s without a renewal of the Lease");
    }
    healed.sort_unstable();
    assert!(healed.last().is_some_and(|longest| *longest < HEAL), "{healed:?}");
    probes.end();
    agent.stop();
}
