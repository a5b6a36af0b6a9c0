use super::*;
use crate::event::PollResult;
use crate::plan::Problem;
use crate::telemetry::sample;

fn recorded(events: &[Event]) -> Metrics {
    let metrics = Metrics::new().unwrap();
    for event in events {
        metrics.record(event);
    }
    metrics
}

fn assert_series(metrics: &Metrics, expected: &[&str]) {
    let text = metrics.render();
    for series in expected {
        assert!(text.lines().any(|line| line == *series), "no line `{series}` in\n{text}");
    }
}

fn healed(sync: &Arc<str>, object: ObjectId) -> Event {
    Event::of(sync, SyncEvent::DriftHealed { object, after: Duration::from_millis(3) })
}

#[test]
fn events_are_counted_under_the_documented_labels() {
    let metrics = recorded(&sample::every_event());
    assert_series(
        &metrics,
        &[
            r#"driftless_git_fetch_total{result="unchanged",sync="shop"} 1"#,
            r#"driftless_git_fetch_total{result="fetched",sync="shop"} 1"#,
            r#"driftless_git_fetch_total{result="failed",sync="shop"} 1"#,
            r#"driftless_apply_total{kind="Deployment",result="created",sync="shop"} 1"#,
            r#"driftless_apply_total{kind="Deployment",result="skipped",sync="shop"} 1"#,
            r#"driftless_prune_total{kind="Deployment",result="kept",sync="shop"} 1"#,
            r#"driftless_drift_detected_total{kind="Deployment",manager="kubectl-edit",sync="shop"} 1"#,
            r#"driftless_drift_healed_total{kind="Deployment",sync="shop"} 1"#,
            r#"driftless_heal_duration_seconds_bucket{sync="shop",le="0.0025"} 0"#,
            r#"driftless_heal_duration_seconds_bucket{sync="shop",le="0.005"} 1"#,
            r#"driftless_sync_duration_seconds_count{phase="total",sync="shop"} 1"#,
            r#"driftless_sync_total{result="held",sync="shop"} 1"#,
            r#"driftless_commit_lag_seconds_sum{sync="shop"} 80"#,
            r#"driftless_sync_ready{sync="shop"} 0"#,
            r#"driftless_sync_suspended{sync="shop"} 0"#,
            r#"driftless_objects{health="Current",sync="shop"} 4"#,
            r#"driftless_objects{health="InProgress",sync="shop"} 0"#,
            r#"driftless_prune_held_objects{sync="shop"} 12"#,
            r#"driftless_commit_timestamp_seconds{sync="shop"} 1700000000"#,
            "driftless_config_valid 1",
            concat!("driftless_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ],
    );
}

#[test]
fn the_phase_of_a_sync_shows_as_ready_or_suspended() {
    let status = |phase| sample::stands(sample::status("shop", phase));
    let metrics = recorded(&[status(Phase::Synced)]);
    assert_series(
        &metrics,
        &[
            r#"driftless_sync_ready{sync="shop"} 1"#,
            r#"driftless_sync_phase{phase="Synced",sync="shop"} 1"#,
            r#"driftless_sync_phase{phase="Suspended",sync="shop"} 0"#,
        ],
    );
    metrics.record(&status(Phase::Suspended));
    assert_series(
        &metrics,
        &[
            r#"driftless_sync_ready{sync="shop"} 0"#,
            r#"driftless_sync_suspended{sync="shop"} 1"#,
            r#"driftless_sync_phase{phase="Synced",sync="shop"} 0"#,
            r#"driftless_sync_phase{phase="Suspended",sync="shop"} 1"#,
        ],
    );
}

#[test]
fn an_object_counts_as_drifted_until_it_is_put_back() {
    let sync: Arc<str> = "shop".into();
    let other = ObjectId::new("", "Service", Some("shop"), "web");
    let detected = |object: &ObjectId| sample::drifted(&sync, object.clone(), None);
    let metrics = recorded(&[detected(&sample::web()), detected(&sample::web()), detected(&other)]);
    assert_series(&metrics, &[r#"driftless_drifted_objects{sync="shop"} 2"#]);
    metrics.record(&sample::applied(&sync, ApplyResult::Failed));
    assert_series(&metrics, &[r#"driftless_drifted_objects{sync="shop"} 2"#]);
    metrics.record(&sample::applied(&sync, ApplyResult::Configured));
    metrics.record(&healed(&sync, other));
    assert_series(&metrics, &[r#"driftless_drifted_objects{sync="shop"} 0"#]);
}

#[test]
fn ten_thousand_managers_and_kinds_stay_a_few_series() {
    let sync: Arc<str> = "shop".into();
    let metrics = Metrics::new().unwrap();
    for number in 0..10_000 {
        metrics.record(&sample::drifted(&sync, sample::web(), Some(&format!("manager-{number}"))));
        let object = ObjectId::new("example.com", &format!("Kind{number}"), None, "it");
        metrics.record(&healed(&sync, object));
    }
    metrics.record(&sample::drifted(&sync, sample::web(), None));
    let text = metrics.render();
    let count = |family: &str| text.lines().filter(|line| line.starts_with(family)).count();
    assert!(count("driftless_drift_detected_total{") <= MOST_MANAGERS + 1);
    assert!(count("driftless_drift_healed_total{") <= MOST_KINDS + 1);
    assert!(text.contains(r#"manager="unknown""#));
}

/// Everything that can happen to an object, and every way to fail with words of its own.
fn much_happens(metrics: &Metrics, sync: &Arc<str>, round: &str) {
    for number in 0..10_000 {
        let id = ObjectId::new("apps", "Deployment", Some(&format!("ns-{round}-{number}")), "needle");
        for result in [ApplyResult::Created, ApplyResult::Unchanged, ApplyResult::Failed] {
            let mut event = sample::applied(sync, result);
            if let Event::Sync(_, SyncEvent::Applied { object, error, .. }) = &mut event {
                object.clone_from(&id);
                *error = Some(Problem::general(format!("needle {round} {number}")));
            }
            metrics.record(&event);
        }
        metrics.record(&sample::drifted(sync, id.clone(), Some("kubectl-edit")));
        metrics.record(&healed(sync, id.clone()));
        let (result, detail) = (PruneResult::Deleted, Some(format!("needle {round} {number}")));
        metrics.record(&Event::of(sync, SyncEvent::Pruned { object: id, result, detail }));
    }
    for number in 0..1_000_u16 {
        let words = format!("needle {round} {number}");
        let mut polled = sample::polled(sync, PollResult::Failed);
        if let Event::Sync(_, SyncEvent::Polled { commit, error, .. }) = &mut polled {
            (*commit, *error) = (Some(words.clone()), Some(words.clone()));
        }
        metrics.record(&polled);
        metrics.record(&Event::of(sync, SyncEvent::Problem(Problem::general(&words))));
        let mut ended = sample::ended(sync, Outcome::Failed, 0, None);
        if let Event::Sync(_, SyncEvent::Ended(Ended { commit, message, .. })) = &mut ended {
            commit.id.clone_from(&words);
            message.clone_from(&words);
        }
        metrics.record(&ended);
        let status = SyncStatus { message: words.clone(), ..sample::status(sync, Phase::Failing) };
        metrics.record(&sample::stands(status));
        metrics.record(&Event::of(sync, SyncEvent::EventsDropped { events: 1, why: words.clone() }));
        metrics.record(&Event::ConfigRejected { error: words });
        metrics.request(&format!("verb-{number}"), Some(number), Duration::from_millis(1));
    }
}

#[test]
fn ten_thousand_objects_and_a_thousand_failures_stay_the_same_few_series() {
    let sync: Arc<str> = "shop".into();
    let metrics = Metrics::new().unwrap();
    let series = || {
        let text = metrics.render();
        assert!(!text.contains("needle") && !text.contains("ns-"), "a name or an error is a label:\n{text}");
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    much_happens(&metrics, &sync, "first");
    let first = series();
    // Most are the codes of HTTP, of which 500 are there; a real server uses a dozen.
    assert!(first < 500 + 150, "{first} series");
    much_happens(&metrics, &sync, "second");
    assert_eq!(series(), first, "the second round makes no new series");
    assert_series(
        &metrics,
        &[
            r#"driftless_apply_total{kind="Deployment",result="created",sync="shop"} 20000"#,
            r#"driftless_git_fetch_total{result="failed",sync="shop"} 2000"#,
            r#"driftless_sync_total{result="failed",sync="shop"} 2000"#,
            r#"driftless_drifted_objects{sync="shop"} 0"#,
        ],
    );
}

#[test]
fn the_process_itself_is_measured() {
    let text = Metrics::new().unwrap().render();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse::<f64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e6, "{text}");
    assert!(value("process_start_time_seconds ") > 1.7e9, "{text}");
    assert!(value("process_open_fds ") > 2.0, "{text}");
}

#[test]
fn a_forgotten_sync_leaves_no_series_and_others_stay() {
    let metrics = recorded(&sample::every_event());
    metrics.record(&sample::ended(&"infra".into(), Outcome::Synced, 0, None));
    metrics.record(&Event::of(&"shop".into(), SyncEvent::Forgotten));
    assert!(!metrics.render().contains("shop"));
    assert_series(&metrics, &[r#"driftless_sync_total{result="synced",sync="infra"} 1"#]);
}

#[test]
fn the_last_success_is_that_of_the_last_cycle_also_when_it_changed_nothing() {
    let metrics = Metrics::new().unwrap();
    let last = || metrics.inner.families.last_success.with_label_values(&["shop"]).get();
    metrics.record(&sample::stands(sample::status("shop", Phase::Synced)));
    assert_eq!(last(), 1_700_000_060, "what an earlier process left behind");
    let ended = |result| sample::ended(&"shop".into(), result, 0, None);
    metrics.record(&ended(Outcome::Failed));
    assert_eq!(last(), 1_700_000_060);
    metrics.record(&ended(Outcome::Synced));
    assert!(last() > 1_700_000_060);
}

#[test]
fn requests_are_counted_by_verb_and_status() {
    let metrics = Metrics::new().unwrap();
    metrics.request("patch", Some(200), Duration::from_millis(2));
    metrics.request("patch", None, Duration::from_secs(1));
    metrics.request("CONNECT", Some(101), Duration::from_millis(2));
    assert_series(
        &metrics,
        &[
            r#"driftless_kube_requests_total{code="200",verb="patch"} 1"#,
            r#"driftless_kube_requests_total{code="error",verb="patch"} 1"#,
            r#"driftless_kube_requests_total{code="101",verb="other"} 1"#,
            r#"driftless_kube_request_duration_seconds_count{verb="patch"} 2"#,
        ],
    );
}
