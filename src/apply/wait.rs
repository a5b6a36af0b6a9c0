//! Looking at objects that others wait for, until they are as those need them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

use crate::cluster::Discovery;
use crate::object::{GroupKind, Health, HealthStatus};
use crate::plan::{Stage, Step};

use super::carry_out::Job;

/// Objects that are looked at at once.
const AT_ONCE: usize = 16;
/// How long a Namespace may take to become Active, and a CRD to become Established.
const FOUNDATIONS: Duration = Duration::from_mins(1);
/// How long discovery may lag behind the establishment of a CRD. After that it is tried without.
const DISCOVERY: Duration = Duration::from_secs(15);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause grows with the number of objects that are waited for: 50 looks a second at most.
const PAUSE_EACH: Duration = Duration::from_millis(20);

/// The looks at what one apply waits for.
pub(super) struct Looks<'a> {
    job: &'a Job<'a>,
    /// The API server cannot be reached, so there is nothing to wait for.
    unreachable: &'a AtomicBool,
    permits: Semaphore,
    /// When the newest discovery began.
    discovered: Mutex<Option<Instant>>,
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
pub(super) struct Looked<'p> {
    pub wait: Wait<'p>,
    pub health: Health,
    /// A Job that has run to its end.
    pub ended: bool,
}

impl<'a> Looks<'a> {
    pub fn new(job: &'a Job<'a>, unreachable: &'a AtomicBool) -> Self {
        Self { job, unreachable, permits: Semaphore::new(AT_ONCE), discovered: Mutex::new(None) }
    }

    pub fn begin<'p>(&self, step: &'p Step) -> Wait<'p> {
        let since = Instant::now();
        let is_foundation = Stage::of(&step.id.gk) == Stage::Foundations;
        let patience = if is_foundation { FOUNDATIONS } else { self.job.timeout };
        // One that is not applied is as established as it was.
        let manifest = step.desired.as_ref().filter(|_| step.applies()).map(|desired| &desired.manifest);
        let defines = manifest.and_then(|manifest| Some((manifest.defines()?.0, manifest.serves())));
        Wait { step, since, until: since + patience, pause: FIRST_PAUSE, defines, established: None }
    }

    /// Whether it was waited for long enough.
    pub fn is_over(&self, wait: &Wait<'_>) -> bool {
        self.unreachable.load(Ordering::Relaxed) || Instant::now() >= wait.until
    }

    /// Pauses, and looks; `others` are waited for, too.
    pub async fn look<'p>(&self, mut wait: Wait<'p>, others: u32) -> Looked<'p> {
        self.job.rest(wait.pause.min(wait.until.saturating_duration_since(Instant::now()))).await;
        wait.pause = (wait.pause * 2).min(LONGEST_PAUSE.max(PAUSE_EACH * others));
        // It is never closed; a look without a permit would do no harm.
        let _permit = self.permits.acquire().await;
        let id = &wait.step.id;
        let begun = Instant::now();
        let (mut health, mut ended) = (Health::new(HealthStatus::NotFound, "its kind does not exist"), false);
        if let Some(resource) = self.job.resource_of(id, None).await {
            health = match self.job.cluster.look_at(id, &resource).await {
                Ok(Some(live)) => {
                    ended = live.finished;
                    live.health
                }
                Ok(None) => Health::new(HealthStatus::NotFound, "does not exist"),
                Err(error) => Health::new(HealthStatus::Unknown, error.to_string()),
            };
        }
        if health.is_current() && !self.is_served(&mut wait, begun).await {
            health = Health::new(HealthStatus::InProgress, "the API server does not serve yet what it defines");
        }
        Looked { wait, health, ended }
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
        if fresh && known(&*self.job.discovery.read().await) {
            return true;
        }
        let established = *wait.established.get_or_insert(begun);
        if discovered.is_none_or(|at| at < begun) {
            let at = Instant::now();
            if let Ok(discovery) = self.job.cluster.discover().await {
                *discovered = Some(at);
                *self.job.discovery.write().await = std::sync::Arc::new(discovery);
            }
        }
        let served = discovered.is_some_and(|at| at >= wait.since) && known(&*self.job.discovery.read().await);
        served || established.elapsed() > DISCOVERY
    }
}
