//! The metrics by name, with their labels and buckets; docs/metrics.md lists the same, and a
//! test holds the two together.

use std::collections::HashMap;

use prometheus::core::{Collector, Metric, MetricVec, MetricVecBuilder};
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// From a poll of the remote (milliseconds) to a settle that waits for health (minutes).
const WORK_SECONDS: [f64; 13] = [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];
/// People wait for their commit for seconds to minutes; a day stands for "held or failed for long".
const LAG_SECONDS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 86_400.0];
/// Healing is a matter of milliseconds, unless the API server is slow or the field contested.
const HEAL_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];
const REQUEST_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug)]
pub(super) struct Families {
    pub(super) sync_total: IntCounterVec,
    pub(super) apply_total: IntCounterVec,
    pub(super) prune_total: IntCounterVec,
    pub(super) drift_detected_total: IntCounterVec,
    pub(super) drift_healed_total: IntCounterVec,
    pub(super) drift_missed_total: IntCounterVec,
    pub(super) git_fetch_total: IntCounterVec,
    pub(super) render_total: IntCounterVec,
    pub(super) events_dropped_total: IntCounterVec,
    pub(super) hook_requests_total: IntCounterVec,
    pub(super) kube_requests_total: IntCounterVec,
    pub(super) sync_ready: IntGaugeVec,
    pub(super) sync_phase: IntGaugeVec,
    pub(super) sync_suspended: IntGaugeVec,
    pub(super) objects: IntGaugeVec,
    pub(super) drifted_objects: IntGaugeVec,
    pub(super) contested_objects: IntGaugeVec,
    pub(super) prune_held_objects: IntGaugeVec,
    pub(super) last_success: IntGaugeVec,
    pub(super) commit_timestamp: IntGaugeVec,
    pub(super) leader: IntGauge,
    pub(super) config_valid: IntGauge,
    pub(super) build_info: IntGaugeVec,
    pub(super) sync_duration: HistogramVec,
    pub(super) commit_lag: HistogramVec,
    pub(super) heal_duration: HistogramVec,
    pub(super) kube_request_duration: HistogramVec,
}

impl Families {
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntCounterVec::new(Opts::new(full(name), help), labels)?)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntGaugeVec::new(Opts::new(full(name), help), labels)?)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let options = HistogramOpts::new(full(name), help).buckets(buckets.to_vec());
            keep(registry, HistogramVec::new(options, labels)?)
        };
        Ok(Self {
            sync_total: counter("sync_total", "Cycles that ended.", &["sync", "result"])?,
            apply_total: counter("apply_total", "Objects applied.", &["sync", "kind", "result"])?,
            prune_total: counter("prune_total", "Orphans dealt with.", &["sync", "kind", "result"])?,
            drift_detected_total: counter(
                "drift_detected_total",
                "Live objects found to differ from what was applied.",
                &["sync", "kind", "manager"],
            )?,
            drift_healed_total: counter("drift_healed_total", "Drifted objects put back.", &["sync", "kind"])?,
            drift_missed_total: counter(
                "drift_missed_total",
                "Drift that the audit found and the watches did not show.",
                &["sync", "kind"],
            )?,
            git_fetch_total: counter("git_fetch_total", "Polls of the git remote.", &["sync", "result"])?,
            render_total: counter(
                "render_total",
                "Renderings of a commit, other than those that still held.",
                &["sync", "renderer", "result"],
            )?,
            events_dropped_total: counter("events_dropped_total", "Kubernetes Events not written.", &["sync"])?,
            hook_requests_total: counter("hook_requests_total", "Requests to the receiver of webhooks.", &["result"])?,
            kube_requests_total: counter("kube_requests_total", "Requests to the API server.", &["verb", "code"])?,
            sync_ready: gauge("sync_ready", "1 when the cluster equals the commit, else 0.", &["sync"])?,
            sync_phase: gauge("sync_phase", "1 for the phase that the sync is in, else 0.", &["sync", "phase"])?,
            sync_suspended: gauge("sync_suspended", "1 when the sync is suspended, else 0.", &["sync"])?,
            objects: gauge("objects", "Objects in the inventory by health.", &["sync", "health"])?,
            drifted_objects: gauge("drifted_objects", "Objects whose drift is not undone yet.", &["sync"])?,
            contested_objects: gauge(
                "contested_objects",
                "Objects that another manager changes again and again.",
                &["sync"],
            )?,
            prune_held_objects: gauge("prune_held_objects", "Orphans that wait for approval.", &["sync"])?,
            last_success: gauge(
                "last_success_timestamp_seconds",
                "When the cluster was last made equal to a commit, in Unix seconds.",
                &["sync"],
            )?,
            commit_timestamp: gauge(
                "commit_timestamp_seconds",
                "Committer time of the commit that the cluster equals, in Unix seconds.",
                &["sync"],
            )?,
            leader: keep(
                registry,
                IntGauge::new(full("leader"), "1 when this agent writes, 0 while it stands by for another.")?,
            )?,
            config_valid: keep(
                registry,
                IntGauge::new(
                    full("config_valid"),
                    "1 when the configuration file is the running one, 0 when refused.",
                )?,
            )?,
            build_info: gauge("build_info", "Always 1; the label says which version runs.", &["version"])?,
            sync_duration: histogram(
                "sync_duration_seconds",
                "Time that parts of a sync took.",
                &["sync", "phase"],
                &WORK_SECONDS,
            )?,
            commit_lag: histogram(
                "commit_lag_seconds",
                "Time from a commit to the cluster being equal to it.",
                &["sync"],
                &LAG_SECONDS,
            )?,
            heal_duration: histogram(
                "heal_duration_seconds",
                "Time from noticing drift to having undone it.",
                &["sync"],
                &HEAL_SECONDS,
            )?,
            kube_request_duration: histogram(
                "kube_request_duration_seconds",
                "Time that requests to the API server took.",
                &["verb"],
                &REQUEST_SECONDS,
            )?,
        })
    }

    /// Removes every series of a sync.
    pub(super) fn forget(&self, sync: &str) {
        for family in [
            &self.sync_total,
            &self.apply_total,
            &self.prune_total,
            &self.drift_detected_total,
            &self.drift_healed_total,
            &self.drift_missed_total,
            &self.git_fetch_total,
            &self.render_total,
            &self.events_dropped_total,
        ] {
            remove(family, sync);
        }
        for family in [
            &self.sync_ready,
            &self.sync_phase,
            &self.sync_suspended,
            &self.objects,
            &self.drifted_objects,
            &self.contested_objects,
            &self.prune_held_objects,
            &self.last_success,
            &self.commit_timestamp,
        ] {
            remove(family, sync);
        }
        for family in [&self.sync_duration, &self.commit_lag, &self.heal_duration] {
            remove(family, sync);
        }
    }
}

fn full(name: &str) -> String {
    format!("driftless_{name}")
}

fn keep<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// The crate removes one series by all its labels, so they are read back from what it collects.
fn remove<B>(family: &MetricVec<B>, sync: &str)
where
    B: MetricVecBuilder,
    B::M: Metric,
{
    for collected in family.collect() {
        for series in collected.get_metric() {
            let labels: HashMap<&str, &str> =
                series.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("sync") == Some(&sync) {
                // Only fails when the series is gone already.
                let _ = family.remove(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use crate::telemetry::{HookResult, Metrics, sample};

    /// Name, type and labels of every metric, without the `le` that each histogram has.
    fn exposed(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let mut found = BTreeMap::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let series = |line: &&str| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| ["{", " ", "_count{", "_count "].iter().any(|next| rest.starts_with(next)))
            };
            let series = text.lines().find(series).unwrap();
            let labels = series.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
            let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
            found.insert(name.to_owned(), (kind.to_owned(), labels));
        }
        found
    }

    fn documented(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let rows = text.lines().filter(|line| line.starts_with("| `driftless_") || line.starts_with("| `process_"));
        // Of what is elsewhere, the second column is no type.
        let rows = rows.filter(|row| [" counter ", " gauge ", " histogram "].contains(&row.split('|').nth(2).unwrap()));
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
            let labels = labels.filter(|label| !label.is_empty()).collect();
            (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
        })
        .collect()
    }

    #[test]
    fn the_documentation_lists_exactly_the_metrics_there_are() {
        let metrics = Metrics::new().unwrap();
        for event in sample::every_event() {
            metrics.record(&event);
        }
        metrics.request("get", Some(200), Duration::from_millis(2));
        metrics.hook_request(HookResult::Accepted);
        assert_eq!(documented(include_str!("../../docs/metrics.md")), exposed(&metrics.render()));
    }
}
