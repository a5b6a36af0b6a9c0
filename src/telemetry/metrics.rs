//! Events in numbers, for Prometheus. No label holds an object's name or an error's text, and
//! every label has a bounded number of values.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};

use super::bounded::{Bounded, HookResult, code, verb};
use super::families::Families;
use crate::event::{Ended, Event, Outcome, SyncEvent};
use crate::object::{HealthStatus, ObjectId};
use crate::plan::{ApplyResult, Drift, Held, Phase, PruneResult, SyncStatus};

/// Kinds are as many as a cluster has CRDs, which may be written by anybody.
const MOST_KINDS: usize = 200;
/// Whoever may write an object may call their field manager anything.
const MOST_MANAGERS: usize = 20;
/// The manager of drift that nobody signed: a deletion, wiped `managedFields`.
const UNKNOWN: &str = "unknown";
/// Filters of the log know it by this name.
const TARGET: &str = "driftless::observe::metrics";

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
    /// When a metric cannot be registered, which is a bug of the program.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(ProcessCollector::for_self()))?;
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
            Event::Sync(sync, event) => self.record_of_sync(sync, event),
            Event::Leadership { leads, .. } => families.leader.set(i64::from(*leads)),
            Event::ConfigLoaded { .. } => families.config_valid.set(1),
            Event::ConfigRejected { .. } => families.config_valid.set(0),
            // Reported in words only.
            Event::Note { .. } | Event::Warning { .. } | Event::Trouble { .. } => {}
        }
    }

    fn record_of_sync(&self, sync: &Arc<str>, event: &SyncEvent) {
        let families = &self.inner.families;
        match event {
            SyncEvent::Polled { result, .. } => {
                families.git_fetch_total.with_label_values(&[&**sync, result.as_str()]).inc();
            }
            SyncEvent::Applied { object, result, drifted, .. } => {
                families.apply_total.with_label_values(&[&**sync, self.kind(object), result.as_str()]).inc();
                if !(*drifted || matches!(result, ApplyResult::Failed | ApplyResult::Skipped)) {
                    self.no_longer_drifted(sync, object);
                }
            }
            SyncEvent::DriftDetected { drift: Drift { object, blame, .. }, missed, .. } => {
                self.drift(sync, object, blame.manager.as_deref());
                if *missed {
                    families.drift_missed_total.with_label_values(&[&**sync, self.kind(object)]).inc();
                }
            }
            SyncEvent::DriftGone { object } => self.no_longer_drifted(sync, object),
            SyncEvent::ContestedNow { objects } => {
                families.contested_objects.with_label_values(&[&**sync]).set(number(*objects));
            }
            SyncEvent::DriftHealed { object, after } => {
                families.drift_healed_total.with_label_values(&[&**sync, self.kind(object)]).inc();
                families.heal_duration.with_label_values(&[&**sync]).observe(after.as_secs_f64());
                self.no_longer_drifted(sync, object);
            }
            SyncEvent::Pruned { object, result, .. } => {
                families.prune_total.with_label_values(&[&**sync, self.kind(object), result.as_str()]).inc();
                if matches!(result, PruneResult::Deleted | PruneResult::Detached) {
                    self.no_longer_drifted(sync, object);
                }
            }
            SyncEvent::PruneHeld(Held { prune, .. }) => {
                families.prune_held_objects.with_label_values(&[&**sync]).set(number(*prune));
            }
            SyncEvent::Rendered { renderer, succeeded } => {
                let result = if *succeeded { "success" } else { "failed" };
                families.render_total.with_label_values(&[&**sync, *renderer, result]).inc();
            }
            SyncEvent::Took { part, took } => {
                families.sync_duration.with_label_values(&[&**sync, part.as_str()]).observe(took.as_secs_f64());
            }
            SyncEvent::Ended(Ended { outcome, lag, .. }) => {
                families.sync_total.with_label_values(&[&**sync, outcome.as_str()]).inc();
                if *outcome == Outcome::Synced {
                    let now = Timestamp::now().as_second();
                    families.last_success.with_label_values(&[&**sync]).set(now);
                }
                if let Some(lag) = lag {
                    families.commit_lag.with_label_values(&[&**sync]).observe(lag.as_secs_f64());
                }
            }
            SyncEvent::Status(status) => {
                if let Some(commit) = &status.synced {
                    families.commit_timestamp.with_label_values(&[&status.sync]).set(commit.time.as_second());
                }
                self.status(status);
            }
            SyncEvent::Suspended { .. } => families.sync_suspended.with_label_values(&[&**sync]).set(1),
            SyncEvent::Resumed => families.sync_suspended.with_label_values(&[&**sync]).set(0),
            SyncEvent::Forgotten | SyncEvent::StandingBy { commit: None } => {
                self.drifted(|drifted| drifted.remove(sync));
                families.forget(sync);
            }
            SyncEvent::EventsDropped { events, .. } => {
                families.events_dropped_total.with_label_values(&[&**sync]).inc_by(*events as u64);
            }
            // Reported in words only.
            SyncEvent::Started { .. }
            | SyncEvent::StandingBy { .. }
            | SyncEvent::Contested { .. }
            | SyncEvent::Uncontested { .. }
            | SyncEvent::Planned { .. }
            | SyncEvent::NotApplied { .. }
            | SyncEvent::Problem(_)
            | SyncEvent::RenderWarning { .. } => {}
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

    /// Counts a request to the receiver of webhooks.
    pub fn hook_request(&self, result: HookResult) {
        self.inner.families.hook_requests_total.with_label_values(&[result.as_str()]).inc();
    }

    /// All metrics in Prometheus' text exposition format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.inner.registry.gather(), &mut text) {
            tracing::error!(target: TARGET, %error, "the metrics cannot be written in full");
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
        // Zeros too: a phase that is over says so at once.
        for phase in Phase::ALL {
            let here = i64::from(status.phase == phase);
            families.sync_phase.with_label_values(&[sync[0], phase.as_str()]).set(here);
        }
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
#[path = "metrics_tests.rs"]
mod tests;
