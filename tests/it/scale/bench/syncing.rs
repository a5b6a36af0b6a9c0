//! How long the first sync and a heal take, and what quiet costs, of one binary or of two in turns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::fixture::{binaries, mebibytes, number, spawn};
use crate::support::audit::{self, Mark, Timed};
use crate::support::cluster::{cluster, path};
use crate::support::process::{peak_memory, resident_memory};
use crate::support::site::{Site, config_map};

const FILES: usize = 20;
/// Objects that the second commit adds.
const ADDED: usize = 10;

/// What one run of one binary showed.
struct Run {
    first_sync: Duration,
    /// From the answer to an edit to that of the heal, as the audit log has them; sorted.
    heals: Vec<Duration>,
    /// Requests in the quiet time, without watches and the Lease.
    quiet: usize,
    /// Requests for each heal.
    requests: f64,
    /// Requests for a commit that adds [`ADDED`] objects.
    commit: usize,
    resident: u64,
    peak: u64,
}

fn many(objects: usize) -> Vec<(String, String)> {
    let file = |file: usize| {
        let mut text = String::new();
        for number in (file..objects).step_by(FILES) {
            write!(text, "---\n{}", config_map(&format!("c-{number}"), "git")).expect("text");
        }
        (format!("{file}.yaml"), text)
    };
    (0..FILES).map(file).collect()
}

/// When writes of `ConfigMap`s were answered, by the object, oldest first.
fn by_object(since: Mark, user: &str) -> BTreeMap<String, Vec<Timestamp>> {
    let mut times: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for Timed { done, asked, .. } in audit::writes_since(since, user) {
        if asked.verb == "patch" {
            times.entry(asked.what).or_default().push(done.parse().expect("a time"));
        }
    }
    times
}

fn run(binary: &Path, objects: usize, edits: usize, quiet: Duration) -> Run {
    let files = many(objects);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let site = Site::of_shop(&files);
    let began = Instant::now();
    let agent = spawn(&site, binary);
    agent.eventually_synced("shop", &site.repo.head());
    let first_sync = began.elapsed();
    // What is written after the first sync, such as the status, is not quiet yet.
    agent.cycles("shop", 2);

    let start = audit::mark().expect("an audit log");
    std::thread::sleep(quiet);
    let asked = site.requests(start).into_iter();
    let quiet = asked.filter(|asked| asked.verb != "watch" && !asked.what.starts_with("leases")).count();

    let start = audit::mark().expect("an audit log");
    for edit in 0..edits {
        let name = format!("c-{}", edit * (objects / edits));
        site.edit("configmaps", &name, "somebody", &json!({"data": {"value": "by hand"}}));
        site.eventually_has(&name, "git");
    }
    let (by_hand, healed) = (by_object(start, "admin"), by_object(start, &site.user()));
    let latency = |(what, edited): (&String, &Vec<Timestamp>)| {
        let healed = healed.get(what).and_then(|times| times.iter().find(|time| **time > edited[0]))?;
        healed.duration_since(edited[0]).try_into().ok()
    };
    let mut heals: Vec<Duration> = by_hand.iter().filter_map(latency).collect();
    assert_eq!(heals.len(), edits, "one heal for each edit");
    heals.sort_unstable();
    let asked = site.requests(start).into_iter().filter(|asked| asked.what.starts_with("configmaps"));
    let own = format!("configmaps {}/", site.home);
    let asked = asked.filter(|asked| asked.verb != "watch" && !asked.what.starts_with(&own)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let requests = asked as f64 / edits as f64;

    let start = audit::mark().expect("an audit log");
    let document = |number: usize| format!("---\n{}", config_map(&format!("new-{number}"), "1"));
    let added = (0..ADDED).map(document).collect::<Vec<_>>().concat();
    site.repo.write("new.yaml", added);
    agent.eventually_synced("shop", &site.repo.commit_all("new"));
    let asked = site.requests(start).into_iter();
    let commit = asked.filter(|asked| asked.verb != "watch" && !asked.what.starts_with("leases")).count();

    let (resident, peak) = (resident_memory(agent.pid()), peak_memory(agent.pid()));
    drop(agent);
    cluster().delete(&path("namespaces", None, &site.namespace));
    Run { first_sync, heals, quiet, requests, commit, resident, peak }
}

/// The value below which so many of a hundred lie.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)].as_secs_f64() * 1000.0
}

#[test]
#[ignore = "a benchmark: make bench"]
fn side_by_side() {
    let (objects, edits) = (number("OBJECTS", 2000), number("EDITS", 200));
    let (rounds, quiet) = (number("ROUNDS", 3), Duration::from_secs(number("QUIET", 30) as u64));
    println!("{objects} objects, {edits} edits, {} s of quiet; heals in ms, memory in MiB", quiet.as_secs());
    println!("requests: for each heal, for a commit that adds {ADDED} objects, and in the quiet time");
    println!(
        "{:<12} {:>12} {:>8} {:>8} {:>8} {:>9} {:>7} {:>6} {:>9} {:>6}",
        "binary", "first sync s", "heal 50%", "90%", "99%", "requests", "commit", "quiet", "resident", "peak"
    );
    for _ in 0..rounds {
        for (name, binary) in binaries() {
            let run = run(&binary, objects, edits, quiet);
            let [middle, most, nearly_all] = [50, 90, 99].map(|percent| percentile(&run.heals, percent));
            println!(
                "{name:<12} {:>12.2} {middle:>8.1} {most:>8.1} {nearly_all:>8.1} {:>9.2} {:>7} {:>6} {:>9.1} {:>6.1}",
                run.first_sync.as_secs_f64(),
                run.requests,
                run.commit,
                run.quiet,
                mebibytes(run.resident),
                mebibytes(run.peak),
            );
        }
    }
}
