//! The process of a helper: what it is given, and that it does not outlive whoever waits for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use driftless::sandbox::{LaunchError, Mode};

use super::fixture::{LIMITS, block_on, confined, launcher, marker, nothing};
use crate::support::escape::{Targets, escape, is_there, processes_of};
use crate::support::process::wait;
use crate::support::wait::{DEADLINE, check, eventually};

#[test]
fn a_helper_is_killed_when_nobody_waits_for_it_any_more() {
    let marker = marker("nobody waits");
    block_on(async {
        let (task, process) = waiting(marker).await;
        task.abort();
        let gone = move || eventually("the helper is gone", || check(!is_there(process), process));
        tokio::task::spawn_blocking(gone).await.expect("it is gone");
    });
}

/// A helper that waits, and the task that waits for it.
async fn waiting(marker: String) -> (tokio::task::JoinHandle<Result<Vec<u8>, LaunchError>>, u32) {
    let argument = marker.clone();
    let task =
        tokio::spawn(
            async move { launcher(escape(), Mode::Required).run(&["wait", &argument], LIMITS, nothing).await },
        );
    (task, tokio::task::spawn_blocking(move || running(&marker)).await.expect("a process"))
}

fn running(marker: &str) -> u32 {
    eventually("a helper runs", || processes_of(escape(), marker).first().copied().ok_or("none"))
}

#[test]
fn a_helper_dies_with_an_agent_that_is_killed() {
    let marker = &marker("with the agent");
    let mut agent = Command::new(std::env::current_exe().expect("the tests"));
    agent.args(["--exact", "security::sandbox::process::an_agent_that_waits_for_a_helper"]).env(AGENT, marker);
    let mut agent = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let process = running(marker);
    agent.kill().expect("it can be killed");
    wait(&mut agent, DEADLINE).expect("it is gone");
    eventually("the helper is gone", || check(!is_there(process), process));
}

const AGENT: &str = "DRIFTLESS_TEST_SANDBOX_AGENT";

/// A process of the test above.
#[test]
fn an_agent_that_waits_for_a_helper() {
    if let Ok(marker) = std::env::var(AGENT) {
        let error = confined(&["wait", &marker], LIMITS).expect_err("it is killed");
        panic!("{error}");
    }
}

/// Seen from outside, since the helper cannot see it.
#[test]
fn a_helper_has_no_capability_no_other_descriptor_and_no_environment() {
    let targets = Targets::new();
    let seen = block_on(async {
        let (task, process) = waiting(marker("seen from outside")).await;
        let seen = tokio::task::spawn_blocking(move || {
            let process = PathBuf::from("/proc").join(process.to_string());
            let read = |name: &str| fs::read_to_string(process.join(name)).expect(name);
            let link = |name: &str| fs::read_link(process.join(name)).expect(name);
            let files: Vec<String> = fs::read_dir(process.join("fd"))
                .expect("descriptors")
                .filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.display().to_string()))
                .collect();
            assert_eq!(read("oom_score_adj"), "1000\n");
            (read("status"), read("environ"), read("limits"), link("cwd"), files)
        });
        let seen = seen.await.expect("a process");
        task.abort();
        seen
    });
    drop(targets);
    let (status, environment, limits, directory, files) = seen;
    let fields = ["CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"];
    for field in fields.into_iter().chain(["CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]) {
        assert!(status.lines().any(|line| line == field), "{field}:\n{status}");
    }
    let names: Vec<&str> = environment.split_terminator('\0').filter_map(|one| one.split('=').next()).collect();
    assert_eq!(names, ["GOMAXPROCS", "GOMEMLIMIT"]);
    assert_eq!(directory, Path::new("/"));
    assert_eq!(files.iter().filter(|file| file.starts_with("pipe:")).count(), 3, "{files:?}");
    assert!(files.iter().all(|file| file.starts_with("pipe:") || file.starts_with("anon_inode:")), "{files:?}");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().take(2).map(|one| one.parse::<u64>().expect(name)).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max data size"), [1 << 30, 1 << 30]);
    assert_eq!((limit("Max file size"), limit("Max core file size")), (vec![0, 0], vec![1, 1]));
    assert_eq!(limit("Max open files"), [64, 64]);
}
