//! A wall clock that jumps: decisions go by the monotonic one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::clock::Clock;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const DAY: i64 = 86_400;

#[test]
fn a_clock_that_jumps_far_ahead_and_back_again_hastens_and_delays_nothing() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let Some(clock) = Clock::new(site.directory()) else { return };
    let agent = Agent::start_with(&site, |command| clock.give_to(command));
    agent.eventually_synced("shop", &site.repo.head());
    // Certificates are good from an hour before the start of the cluster, and for a year.
    for (number, seconds) in [30 * DAY, -1800, 200 * DAY, 0].into_iter().enumerate() {
        let mark = audit::mark();
        clock.set(seconds);
        let (began, polls) = (Instant::now(), agent.metric("driftless_git_fetch_total", &[]).unwrap_or_default());
        agent.cycles("shop", 2);
        let more = agent.metric("driftless_git_fetch_total", &[]).unwrap_or_default() - polls;
        assert!(more <= began.elapsed().as_secs_f64() + 3.0, "{more} polls in {:?}", began.elapsed());
        if let Some(mark) = mark {
            // The drift that was undone before is recorded in the parent some time later.
            let home = format!("{}/", site.home);
            let mut writes = site.writes(mark);
            writes.retain(|write| !write.what.contains(&home));
            assert!(writes.is_empty(), "after {seconds} s: {writes:#?}");
        }
        site.edit("configmaps", "b", "tuner", &json!({"data": {"value": "by hand"}}));
        let edited = Instant::now();
        eventually("drift is undone", || check(site.value_of("b").as_deref() == Some("1"), "not yet"));
        assert!(edited.elapsed() < Duration::from_secs(20), "{:?}", edited.elapsed());
        let value = format!("after jump {number}");
        let commit = site.repo.commit(&[("a.yaml", &config_map("a", &value))]);
        let status = agent.eventually_synced("shop", &commit);
        assert_eq!(site.value_of("a").as_deref(), Some(&*value));
        let synced_at: Timestamp = status["syncedAt"].as_str().and_then(|at| at.parse().ok()).expect("a time");
        let wrong = synced_at.as_second() - Timestamp::now().as_second();
        assert!((wrong - seconds).abs() < 120, "the agent does not live by the clock: {wrong} s instead of {seconds}");
    }
    let (took, _) = agent.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
