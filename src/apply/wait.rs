//! Observing objects that others wait for, until they are as those need them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};

use crate::cluster::{ApiError, Discovery, Resource, reduce};
use crate::object::{GroupKind, Health, HealthStatus, ObjectId, Observed};
use crate::plan::{Stage, Step};

use super::applier::Applier;

/// Objects that are observed at once.
const AT_ONCE: usize = 16;
/// How long a Namespace may take to become Active, and a CRD to become Established.
const FOUNDATIONS: Duration = Duration::from_mins(1);
/// How long discovery may lag behind the establishment of a CRD. After that it is tried without.
const DISCOVERY: Duration = Duration::from_secs(15);
/// How long a custom resource without a status is waited for, where its definition has conditions: its controller has
/// not seen it yet. After that nobody reports on it (many definitions have conditions that nobody writes), and it
/// counts as it is, as in kstatus.
const UNREPORTED: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause grows with the number of objects that are waited for: 50 reads a second at most.
const PAUSE_EACH: Duration = Duration::from_millis(20);

/// Observes what one apply waits for.
pub(super) struct Waiter<'a> {
    applier: &'a Applier<'a>,
    /// The API server cannot be reached, so there is nothing to wait for.
    unreachable: &'a AtomicBool,
    permits: Semaphore,
    /// When the newest discovery began.
    discovered: Mutex<Option<Instant>>,
    /// By kind, whether its definition has conditions.
    reports: Mutex<BTreeMap<GroupKind, bool>>,
}

/// An object that is waited for.
pub(super) struct Wait<'p> {
    pub step: &'p Step,
    since: Instant,
    until: Instant,
    pause: Duration,
    /// What is to be served, where it is a CRD.
    defines: Option<(GroupKind, Vec<String>)>,
    /// When it was first seen to be established.
    established: Option<Instant>,
}

/// How it is.
pub(super) struct HealthReading<'p> {
    pub wait: Wait<'p>,
    pub health: Health,
    /// A Job that has run to its end.
    pub ended: bool,
}

impl<'a> Waiter<'a> {
    pub fn new(applier: &'a Applier<'a>, unreachable: &'a AtomicBool) -> Self {
        Self {
            applier,
            unreachable,
            permits: Semaphore::new(AT_ONCE),
            discovered: Mutex::new(None),
            reports: Mutex::default(),
        }
    }

    pub fn begin<'p>(&self, step: &'p Step) -> Wait<'p> {
        let since = Instant::now();
        let is_foundation = Stage::of(&step.id.gk) == Stage::Foundations;
        let patience = if is_foundation { FOUNDATIONS } else { self.applier.timeout };
        // One that is not applied is as established as it was.
        let manifest = step.desired.as_ref().filter(|_| step.applies()).map(|desired| &desired.manifest);
        let defines = manifest.and_then(|manifest| Some((manifest.defines()?.0, manifest.serves())));
        Wait { step, since, until: since + patience, pause: FIRST_PAUSE, defines, established: None }
    }

    /// Whether it was waited for long enough.
    pub fn is_over(&self, wait: &Wait<'_>) -> bool {
        self.unreachable.load(Ordering::Relaxed) || Instant::now() >= wait.until
    }

    /// Pauses, and reads; `others` are waited for, too.
    pub async fn observe<'p>(&self, mut wait: Wait<'p>, others: u32) -> HealthReading<'p> {
        self.applier.rest(wait.pause.min(wait.until.saturating_duration_since(Instant::now()))).await;
        wait.pause = (wait.pause * 2).min(LONGEST_PAUSE.max(PAUSE_EACH * others));
        // It is never closed; a read without a permit would do no harm.
        let _permit = self.permits.acquire().await;
        let id = &wait.step.id;
        let begun = Instant::now();
        let (mut health, mut ended) = (Health::new(HealthStatus::NotFound, "its kind does not exist"), false);
        if let Some(resource) = self.applier.resource_of(id, None).await {
            let may_be_unreported = id.gk.may_be_custom() && wait.since.elapsed() < UNREPORTED;
            let seen = if may_be_unreported {
                self.seen_whole(id, &resource).await
            } else {
                self.applier.cluster.read_one(id, &resource).await
            };
            health = match seen {
                Ok(Some(live)) => {
                    ended = live.finished;
                    live.health
                }
                // It ran to its end, and its time to live (`ttlSecondsAfterFinished`) was over before this was seen.
                Ok(None) if wait.step.desired.as_ref().is_some_and(|desired| desired.manifest.directives.expires) => {
                    ended = true;
                    Health::current()
                }
                Ok(None) => Health::new(HealthStatus::NotFound, "does not exist"),
                Err(error) => Health::new(HealthStatus::Unknown, error.to_string()),
            };
        }
        if health.is_current() && !self.is_served(&mut wait, begun).await {
            health = Health::new(HealthStatus::InProgress, "the API server does not serve yet what it defines");
        }
        HealthReading { wait, health, ended }
    }

    /// A custom resource, which is in progress as long as nothing is reported of it although its definition has conditions.
    async fn seen_whole(&self, id: &ObjectId, resource: &Resource) -> Result<Option<Observed>, ApiError> {
        let cluster = self.applier.cluster;
        let Some(live) = cluster.read(id, resource).await? else { return Ok(None) };
        let seen = reduce(&id.gk, resource.namespaced, &live, cluster.managers(), Timestamp::now());
        let is_silent = is_silent(&live);
        Ok(match seen {
            Some(seen)
                if seen.health.is_current() && is_silent && self.has_conditions(&id.gk, &resource.plural).await =>
            {
                let health = Health::new(HealthStatus::InProgress, "its controller has not reported on it yet");
                Some(Observed { health, ..seen })
            }
            seen => seen,
        })
    }

    /// Whether the definition of a kind has conditions; asked once. One that cannot be read counts as having none: to
    /// wait for them is a courtesy.
    async fn has_conditions(&self, gk: &GroupKind, plural: &str) -> bool {
        let mut reports = self.reports.lock().await;
        if let Some(known) = reports.get(gk) {
            return *known;
        }
        let name = format!("{plural}.{}", gk.group);
        let crd = ObjectId::new("apiextensions.k8s.io", "CustomResourceDefinition", None, &name);
        let live = match self.applier.resource_of(&crd, None).await {
            Some(crds) => self.applier.cluster.read(&crd, &crds).await.ok().flatten(),
            None => None,
        };
        let found = live.is_some_and(|live| declares_conditions(&live));
        reports.insert(gk.clone(), found);
        found
    }

    /// Discovery lags a moment behind the establishment of a CRD, so it is asked until it knows.
    async fn is_served(&self, wait: &mut Wait<'_>, begun: Instant) -> bool {
        let Some((gk, versions)) = &wait.defines else { return true };
        let mut discovered = self.discovered.lock().await;
        let known = |discovery: &Discovery| match &versions[..] {
            [] => discovery.preferred(gk).is_some(),
            versions => versions.iter().all(|version| discovery.resource(gk, version).is_some()),
        };
        // What was discovered before it was applied may be of a CRD that was called the same.
        let fresh = discovered.is_some_and(|at| at >= wait.since);
        if fresh && known(&*self.applier.discovery.read().await) {
            return true;
        }
        let established = *wait.established.get_or_insert(begun);
        if discovered.is_none_or(|at| at < begun) {
            let at = Instant::now();
            if let Ok(discovery) = self.applier.cluster.discover().await {
                *discovered = Some(at);
                *self.applier.discovery.write().await = std::sync::Arc::new(discovery);
            }
        }
        let served = discovered.is_some_and(|at| at >= wait.since) && known(&*self.applier.discovery.read().await);
        served || established.elapsed() > DISCOVERY
    }
}

/// Whether a version of a `CustomResourceDefinition` has `status.conditions` in its schema.
fn declares_conditions(crd: &Value) -> bool {
    const CONDITIONS: &str = "/schema/openAPIV3Schema/properties/status/properties/conditions";
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions.into_iter().flatten().any(|version| version.pointer(CONDITIONS).is_some())
}

/// Whether no controller has reported on a custom resource: it has no status, or only conditions that are all unknown, as
/// the definitions of the Gateway API set them by default.
fn is_silent(live: &Value) -> bool {
    let Some(status) = live.get("status").and_then(Value::as_object) else { return true };
    let unknown = |conditions: &Vec<Value>| conditions.iter().all(|condition| condition["status"] == "Unknown");
    status.iter().all(|(field, value)| field == "conditions" && value.as_array().is_some_and(unknown))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_of_unknown_conditions_is_no_report() {
        let unknown = json!({"type": "Accepted", "status": "Unknown", "reason": "Pending"});
        for silent in [json!({}), json!({"status": {}}), json!({"status": {"conditions": [unknown, unknown]}})] {
            assert!(is_silent(&silent), "{silent}");
        }
        let known = json!({"type": "Ready", "status": "False"});
        for reported in [json!({"conditions": [unknown, known]}), json!({"conditions": [unknown], "replicas": 1})] {
            assert!(!is_silent(&json!({"status": reported})), "{reported}");
        }
    }
}
