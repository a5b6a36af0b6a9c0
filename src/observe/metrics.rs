//! Events in numbers, for Prometheus. No label holds an object's name or an error's text, and
//! every label has a bounded number of values.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Registry, TextEncoder};

use super::bounded::{Bounded, code, verb};
use super::event::{Event, SyncResult};
use super::families::Families;
use crate::object::{HealthStatus, ObjectId};
use crate::plan::{ApplyResult, Phase, PruneResult, SyncStatus};

/// Kinds are as many as a cluster has CRDs, which may be written by anybody.
const MOST_KINDS: usize = 200;
/// Whoever may write an object may call their field manager anything.
const MOST_MANAGERS: usize = 20;
/// The manager of drift that nobody signed: a deletion, wiped `managedFields`.
const UNKNOWN: &str = "unknown";

/// The metrics could not be registered: two of one name, or a name that Prometheus does not allow.
#[derive(Debug, thiserror::Error)]
#[error("cannot register the metrics")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics, in a registry of their own. Cheap to clone; clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    families: Families,
    kinds: Bounded,
    managers: Bounded,
    /// Which objects of a sync have drifted and were not put back yet.
    drifted: Mutex<HashMap<Arc<str>, HashSet<ObjectId>>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    ///
    /// # Errors
    /// When a metric cannot be registered, which is a defect of the program.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            inner: Arc::new(Inner {
                registry,
                families,
                kinds: Bounded::new(MOST_KINDS, &[]),
                managers: Bounded::new(MOST_MANAGERS, &[UNKNOWN]),
                drifted: Mutex::default(),
            }),
        })
    }

    /// Counts an event.
    pub fn record(&self, event: &Event) {
        let families = &self.inner.families;
        match event {
            Event::Looked { sync, result, .. } => {
                families.git_fetch_total.with_label_values(&[&**sync, result.as_str()]).inc();
            }
            Event::Applied { sync, object, result, .. } => {
                families.apply_total.with_label_values(&[&**sync, self.kind(object), result.as_str()]).inc();
                if !matches!(result, ApplyResult::Failed | ApplyResult::Skipped) {
                    self.no_longer_drifted(sync, object);
                }
            }
            Event::DriftDetected { sync, object, blame, missed, .. } => {
                self.drift(sync, object, blame.manager.as_deref());
                if *missed {
                    families.drift_missed_total.with_label_values(&[&**sync, self.kind(object)]).inc();
                }
            }
            Event::DriftGone { sync, object } => self.no_longer_drifted(sync, object),
            Event::ContestedNow { sync, objects } => {
                families.contested_objects.with_label_values(&[&**sync]).set(number(*objects));
            }
            Event::DriftHealed { sync, object, after } => {
                families.drift_healed_total.with_label_values(&[&**sync, self.kind(object)]).inc();
                families.heal_duration.with_label_values(&[&**sync]).observe(after.as_secs_f64());
                self.no_longer_drifted(sync, object);
            }
            Event::Pruned { sync, object, result, .. } => {
                families.prune_total.with_label_values(&[&**sync, self.kind(object), result.as_str()]).inc();
                if matches!(result, PruneResult::Deleted | PruneResult::Detached) {
                    self.no_longer_drifted(sync, object);
                }
            }
            Event::PruneHeld { sync, prune, .. } => {
                families.prune_held_objects.with_label_values(&[&**sync]).set(number(*prune));
            }
            Event::Worked { sync, work, took } => {
                families.sync_duration.with_label_values(&[&**sync, work.as_str()]).observe(took.as_secs_f64());
            }
            Event::SyncEnded { sync, result, lag, .. } => {
                families.sync_total.with_label_values(&[&**sync, result.as_str()]).inc();
                if *result == SyncResult::Synced {
                    let now = Timestamp::now().as_second();
                    families.last_success.with_label_values(&[&**sync]).set(now);
                }
                if let Some(lag) = lag {
                    families.commit_lag.with_label_values(&[&**sync]).observe(lag.as_secs_f64());
                }
            }
            Event::Status { status, commit_time } => {
                let commit_time = commit_time.or(status.synced.as_ref().map(|commit| commit.time));
                if let Some(time) = commit_time {
                    families.commit_timestamp.with_label_values(&[&status.sync]).set(time.as_second());
                }
                self.status(status);
            }
            Event::Suspended { sync, .. } => families.sync_suspended.with_label_values(&[&**sync]).set(1),
            Event::Resumed { sync } => families.sync_suspended.with_label_values(&[&**sync]).set(0),
            Event::Leadership { leads, .. } => families.leader.set(i64::from(*leads)),
            Event::SyncForgotten { sync } | Event::StandingBy { sync, commit: None } => {
                self.drifted(|drifted| drifted.remove(sync));
                families.forget(sync);
            }
            Event::EventsDropped { sync, events, .. } => {
                families.events_dropped_total.with_label_values(&[&**sync]).inc_by(*events as u64);
            }
            Event::ConfigLoaded { .. } => families.config_valid.set(1),
            Event::ConfigRejected { .. } => families.config_valid.set(0),
            // Told in words only.
            Event::SyncStarted { .. }
            | Event::StandingBy { .. }
            | Event::Contested { .. }
            | Event::Uncontested { .. }
            | Event::Planned { .. }
            | Event::Problem { .. }
            | Event::Note { .. }
            | Event::Warning { .. }
            | Event::Trouble { .. } => {}
        }
    }

    /// Counts a request to the API server. `code` is the HTTP status of the answer, `None` when
    /// none came; `took` ends with the headers of the answer, so a watch counts as short.
    pub fn request(&self, method: &str, status: Option<u16>, took: Duration) {
        let families = &self.inner.families;
        let verb = verb(method);
        families.kube_requests_total.with_label_values(&[verb, code(status).as_str()]).inc();
        families.kube_request_duration.with_label_values(&[verb]).observe(took.as_secs_f64());
    }

    /// All metrics in Prometheus' text exposition format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.inner.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written in full");
        }
        text
    }

    fn kind<'a>(&self, object: &'a ObjectId) -> &'a str {
        self.inner.kinds.admit(&object.gk.kind)
    }

    fn drift(&self, sync: &Arc<str>, object: &ObjectId, manager: Option<&str>) {
        let manager = manager.filter(|manager| !manager.is_empty()).unwrap_or(UNKNOWN);
        let manager = self.inner.managers.admit(manager);
        self.inner.families.drift_detected_total.with_label_values(&[&**sync, self.kind(object), manager]).inc();
        self.drifted(|drifted| {
            let objects = drifted.entry(sync.clone()).or_default();
            objects.insert(object.clone());
            self.show_drifted(sync, objects.len());
        });
    }

    fn no_longer_drifted(&self, sync: &Arc<str>, object: &ObjectId) {
        self.drifted(|drifted| {
            if let Some(objects) = drifted.get_mut(sync)
                && objects.remove(object)
            {
                self.show_drifted(sync, objects.len());
            }
        });
    }

    /// Called under the lock, so that of two counts the later one stays.
    fn show_drifted(&self, sync: &Arc<str>, count: usize) {
        self.inner.families.drifted_objects.with_label_values(&[&**sync]).set(number(count));
    }

    fn drifted<T>(&self, act: impl FnOnce(&mut HashMap<Arc<str>, HashSet<ObjectId>>) -> T) -> T {
        act(&mut self.inner.drifted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn status(&self, status: &SyncStatus) {
        let families = &self.inner.families;
        let sync = [status.sync.as_str()];
        families.sync_ready.with_label_values(&sync).set(i64::from(status.phase == Phase::Synced));
        families.sync_suspended.with_label_values(&sync).set(i64::from(status.phase == Phase::Suspended));
        let held = status.held.as_ref().map_or(0, |held| held.prune);
        families.prune_held_objects.with_label_values(&sync).set(number(held));
        // What an earlier process left behind, until a cycle of this one comes to its end.
        let success = families.last_success.with_label_values(&sync);
        if let Some(time) = status.synced_at.filter(|time| time.as_second() > success.get()) {
            success.set(time.as_second());
        }
        // Zeros too, so that an alert on a health has a series before the first such object.
        for health in HealthStatus::ALL {
            let count = status.health.get(&health).copied().unwrap_or(0);
            families.objects.with_label_values(&[sync[0], health.as_str()]).set(number(count));
        }
        // Shows 0 for a sync in which nothing has drifted yet.
        let _ = families.drifted_objects.with_label_values(&sync);
        let _ = families.contested_objects.with_label_values(&sync);
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{SyncResult, sample};

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
        let tell = |phase| Event::Status { status: Arc::new(sample::status("shop", phase)), commit_time: None };
        let metrics = recorded(&[tell(Phase::Synced)]);
        assert_series(&metrics, &[r#"driftless_sync_ready{sync="shop"} 1"#]);
        metrics.record(&tell(Phase::Suspended));
        let suspended = [r#"driftless_sync_ready{sync="shop"} 0"#, r#"driftless_sync_suspended{sync="shop"} 1"#];
        assert_series(&metrics, &suspended);
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
        metrics.record(&Event::DriftHealed { sync, object: other, after: Duration::from_millis(3) });
        assert_series(&metrics, &[r#"driftless_drifted_objects{sync="shop"} 0"#]);
    }

    #[test]
    fn ten_thousand_managers_and_kinds_stay_a_few_series() {
        let sync: Arc<str> = "shop".into();
        let metrics = Metrics::new().unwrap();
        for number in 0..10_000 {
            metrics.record(&sample::drifted(&sync, sample::web(), Some(&format!("manager-{number}"))));
            let object = ObjectId::new("example.com", &format!("Kind{number}"), None, "it");
            metrics.record(&Event::DriftHealed { sync: sync.clone(), object, after: Duration::from_millis(3) });
        }
        metrics.record(&sample::drifted(&sync, sample::web(), None));
        let text = metrics.render();
        let count = |family: &str| text.lines().filter(|line| line.starts_with(family)).count();
        assert!(count("driftless_drift_detected_total{") <= MOST_MANAGERS + 1);
        assert!(count("driftless_drift_healed_total{") <= MOST_KINDS + 1);
        assert!(text.contains(r#"manager="unknown""#));
    }

    #[test]
    fn a_forgotten_sync_leaves_no_series_and_others_stay() {
        let metrics = recorded(&sample::every_event());
        metrics.record(&sample::ended(&"infra".into(), SyncResult::Synced, 0, None));
        metrics.record(&Event::SyncForgotten { sync: "shop".into() });
        assert!(!metrics.render().contains("shop"));
        assert_series(&metrics, &[r#"driftless_sync_total{result="synced",sync="infra"} 1"#]);
    }

    #[test]
    fn the_last_success_is_that_of_the_last_cycle_also_when_it_changed_nothing() {
        let metrics = Metrics::new().unwrap();
        let last = || metrics.inner.families.last_success.with_label_values(&["shop"]).get();
        metrics.record(&Event::Status { status: Arc::new(sample::status("shop", Phase::Synced)), commit_time: None });
        assert_eq!(last(), 1_700_000_060, "what an earlier process left behind");
        let ended = |result| sample::ended(&"shop".into(), result, 0, None);
        metrics.record(&ended(SyncResult::Failed));
        assert_eq!(last(), 1_700_000_060);
        metrics.record(&ended(SyncResult::Synced));
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
}
