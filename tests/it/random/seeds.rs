//! Random runs: commits, edits by people, faults and crashes in an order that a seed decides, against the
//! real API server. Whatever happens, every single request of the agent is justified by git and
//! by its inventory, and once the faults end the cluster is as git says.
//!
//! A seed always gives the same actions and the same faults; what falls into what depends on the
//! machine. A seed that fails is made shorter, by leaving out actions as long as it still fails.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::action::Plot;
use super::run::{Checked, Failure, run};
use super::shrink::shortest;

/// Runs that go on at the same time.
const AT_ONCE: usize = 4;
/// Which seeds are tried, where nothing else is said: with prunes, held ones among them.
const SEEDS: std::ops::Range<u64> = 11..17;
/// Says how many, and with which to begin.
const MANY: &str = "DRIFTLESS_SEEDS";
const FIRST: &str = "DRIFTLESS_FIRST_SEED";
/// For how many seconds to search for a shorter story of a seed that fails.
const SHRINK: &str = "DRIFTLESS_SHRINK";
const PATIENCE: u64 = 180;
/// So much of what was asked and logged is shown of it.
const TAIL: usize = 150;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A panic, of an assertion of a helper, is a failure as well.
fn execute(plot: &Plot) -> Result<Checked, Failure> {
    catch_unwind(AssertUnwindSafe(|| run(plot))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure { what: format!("it panicked: {}", text.unwrap_or_default()), last: Vec::new() })
    })
}

/// Tries a seed; the error is the shortest story found of what went wrong.
fn story_of(seed: u64) -> Result<(), String> {
    let plot = Plot::of(seed);
    let began = Instant::now();
    let failure = match execute(&plot) {
        Ok(checked) => {
            let took = began.elapsed().as_secs_f64();
            println!("seed {seed}: {} actions in {took:.1} s, checked {checked:?}", plot.actions.len());
            return Ok(());
        }
        Err(failure) => failure,
    };
    println!("seed {seed} fails: {}; searching for a shorter story", failure.what);
    let patience = Duration::from_secs(number(SHRINK).unwrap_or(PATIENCE));
    let (plot, failure) = shortest(plot, failure, patience, execute);
    let actions: Vec<String> = plot.actions.iter().map(|action| format!("  {action:?}")).collect();
    let last = failure.last[failure.last.len().saturating_sub(TAIL)..].join("\n  ");
    let (first, syncs, actions) = (&plot.first, &plot.syncs, actions.join("\n"));
    Err(format!(
        "seed {seed}: {}\n  {syncs:?}, {first:?}\n{actions}\nwhat was asked, and the log:\n  {last}",
        failure.what
    ))
}

#[test]
fn whatever_happens_no_request_is_unjustified_and_the_cluster_becomes_as_git_says() {
    let first = number(FIRST).unwrap_or(SEEDS.start);
    let many = number(MANY).unwrap_or(SEEDS.end - SEEDS.start);
    let seeds: VecDeque<u64> = (first..first + many).collect();
    let (count, seeds) = (seeds.len(), Mutex::new(seeds));
    let failed = Mutex::new(Vec::new());
    let work = || {
        let next = || seeds.lock().expect("the seeds").pop_front();
        while let Some(seed) = next() {
            if let Err(story) = story_of(seed) {
                println!("{story}");
                failed.lock().expect("the failures").push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("the failures");
    println!("{count} seeds, of which {} failed", failed.len());
    assert!(failed.is_empty(), "seeds that failed, with their stories above: {failed:?}");
}
