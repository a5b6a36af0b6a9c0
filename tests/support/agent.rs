//! A running `driftless run`, with its log, metrics and status.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{cluster, path};
use super::process::{Leash, Lines, wait};
use super::site::Site;
use super::wait::{check, eventually};

/// The agent's own patience with what is under way is 25 s.
const FAREWELL: Duration = Duration::from_secs(35);
/// How much of its log is shown when a test fails.
const TAIL: usize = 60;

pub struct Agent {
    /// The namespace of its parents.
    home: String,
    child: Child,
    /// `None` once the daemon is being ended.
    leash: Option<Leash>,
    log: Lines,
    address: String,
}

impl Agent {
    /// Starts the daemon with the site's configuration, and waits until it serves.
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, |_| {})
    }

    /// The same with more arguments or variables.
    #[track_caller]
    pub fn start_with(site: &Site, adjust: impl FnOnce(&mut Command)) -> Self {
        let mut command = site.command(&["run"]);
        adjust(&mut command);
        Self::spawn(site, command)
    }

    /// Starts a command that runs the daemon.
    #[track_caller]
    pub fn spawn(site: &Site, command: Command) -> Self {
        let mut agent = Self::launch(site, command);
        eventually("the daemon serves", || {
            if let Some(status) = agent.child.try_wait().expect("the daemon can be waited for") {
                panic!("the daemon ended at once: {status}\n{}", agent.log().join("\n"));
            }
            if agent.serves() { Ok(()) } else { Err("no line with its address") }
        });
        agent
    }

    /// The same without waiting: it may not come that far.
    #[track_caller]
    pub fn launch(site: &Site, mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("driftless starts");
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        let leash = Some(Leash::of(&child));
        Self { home: site.home.clone(), child, leash, log, address: String::new() }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the daemon can be waited for").is_some()
    }

    /// Whether it has said where it listens.
    pub fn serves(&mut self) -> bool {
        let address = |line: &String| {
            let rest = line.split_once("/status on http://")?.1;
            let end = rest.find(|sign: char| !matches!(sign, '0'..='9' | '.' | ':')).unwrap_or(rest.len());
            Some(rest[..end].to_owned())
        };
        if self.address.is_empty() {
            self.address = self.log().iter().find_map(address).unwrap_or_default();
        }
        !self.address.is_empty()
    }

    /// Where it listens, as `127.0.0.1:34567`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// The first line of the log that holds all these parts.
    pub fn logged(&self, parts: &[&str]) -> Option<String> {
        self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
    }

    /// Waits for a line of the log that holds all these parts.
    #[track_caller]
    pub fn eventually_logs(&self, parts: &[&str]) -> String {
        eventually(&format!("the log says {parts:?}"), || self.logged(parts).ok_or("no such line"))
    }

    /// The status code and the body of an answer.
    pub fn http(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the daemon listens");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let code = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        (code, body.to_owned())
    }

    pub fn metrics(&self) -> String {
        self.http("/metrics").1
    }

    /// The sum of all samples of a metric whose labels hold these parts, such as `sync="shop"`;
    /// `None` when there is none.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = self.metrics();
        let fits = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        };
        let samples: Vec<f64> =
            text.lines().filter(fits).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!samples.is_empty()).then(|| samples.iter().sum())
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.http("/status").1).expect("the status is JSON")
    }

    /// What `/status` says of one sync; null when it says nothing.
    pub fn sync(&self, name: &str) -> Value {
        let status = self.status();
        let syncs = status["syncs"].as_array().expect("a list of syncs");
        syncs.iter().find(|sync| sync["sync"] == name).cloned().unwrap_or_default()
    }

    /// The same of an agent that may end in the middle of the answer: null then, too.
    pub fn try_sync(&self, name: &str) -> Value {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return Value::Null };
        let mut answer = String::new();
        let asked = write!(stream, "GET /status HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
        let body = answer.split_once("\r\n\r\n").filter(|_| asked.is_ok()).map(|(_, body)| body);
        let status: Value = body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let syncs = status["syncs"].as_array().into_iter().flatten();
        syncs.into_iter().find(|sync| sync["sync"] == name).cloned().unwrap_or_default()
    }

    /// Waits until a sync is in a phase with its newest commit; gives its status.
    #[track_caller]
    pub fn eventually_is(&self, sync: &str, phase: &str) -> Value {
        eventually(&format!("sync {sync} is {phase}"), || {
            let status = self.sync(sync);
            if status["phase"] == phase { Ok(status) } else { Err(status) }
        })
    }

    /// Waits until a sync says that the cluster is equal to a commit.
    #[track_caller]
    pub fn eventually_synced(&self, sync: &str, commit: &str) -> Value {
        eventually(&format!("sync {sync} is synced to {commit}"), || {
            let status = self.sync(sync);
            let there = status["phase"] == "Synced" && status["synced"]["id"] == commit;
            if there { Ok(status) } else { Err(status) }
        })
    }

    /// Waits until a sync has gone through everything so many times more, from begin to end: what it
    /// has not done by then it does not do. Each pass is asked for, the way `driftless sync` does,
    /// since a sync in a quiet cluster relies on its watches, and one that fails takes its time.
    #[track_caller]
    pub fn passes(&self, sync: &str, times: u32) {
        // One that is under way now does not count, and the last one has to end.
        for _ in 0..times + 2 {
            let before = self.ended(sync, "observe");
            self.poll_now(sync);
            eventually(&format!("sync {sync} has observed the cluster when asked to"), || {
                let more = self.ended(sync, "observe") - before;
                check(more >= 1.0, more)
            });
        }
    }

    /// Waits until so many cycles more of a sync have ended by themselves.
    #[track_caller]
    pub fn cycles(&self, sync: &str, times: u32) {
        let before = self.ended(sync, "total");
        eventually(&format!("cycles of sync {sync} have ended"), || {
            let more = self.ended(sync, "total") - before;
            check(more >= f64::from(times + 1), more)
        });
    }

    /// Asks a sync to poll its branch, the way `driftless sync` does.
    #[track_caller]
    pub fn poll_now(&self, sync: &str) {
        let now = jiff::Timestamp::now().to_string();
        let asked = json!({"metadata": {"annotations": {"driftless.dev/sync-requested-at": now}}});
        cluster().merge(&path("configmaps", Some(&self.home), &format!("driftless-{sync}")), "it", &asked);
    }

    fn ended(&self, sync: &str, phase: &str) -> f64 {
        let labels = [&*format!("sync=\"{sync}\""), &format!("phase=\"{phase}\"")];
        self.metric("driftless_sync_duration_seconds_count", &labels).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; gives the time that it took to end and its log. The exit code must be 0.
    #[track_caller]
    pub fn stop(mut self) -> (Duration, Vec<String>) {
        let began = Instant::now();
        self.leash = None;
        let killed = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        let status = wait(&mut self.child, FAREWELL).expect("the daemon ends after SIGTERM");
        let took = began.elapsed();
        assert_eq!(status.code(), Some(0), "the exit code of a daemon that was signalled to stop");
        (took, self.log())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.leash = None;
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            println!("the end of the agent's log:\n{}", log[log.len().saturating_sub(TAIL)..].join("\n"));
        }
    }
}
