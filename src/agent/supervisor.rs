//! Which sync tasks run: those of the configuration, each started again when it panicked or was configured otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::annotations::AllAnnotations;
use super::hooks::Hints;
use super::{Context, Ending, SyncTask};
use crate::config::{Config, SyncConfig, SyncName};
use crate::event::{Event, SyncEvent};
use crate::source::remove_unused_clones;

/// A sync task that panicked is started again after this.
const RESPAWN: Duration = Duration::from_secs(10);
/// Of sync tasks that start together, each begins this much later than the one before; the last one not
/// later than the second one.
const APART: Duration = Duration::from_millis(10);
const LAST_BEGINS: Duration = Duration::from_secs(5);
/// A clone that is still used is tried to be removed again after this, so many times: together longer
/// than a fetch may take that was given up.
const STILL_USED: Duration = Duration::from_secs(10);
const TIDYING: usize = 40;

/// One running sync task.
pub(super) struct RunningSync {
    config: Arc<SyncConfig>,
    pub stop: CancellationToken,
    task: Id,
}

/// Starts the sync task of each configured sync, and ends those of syncs that are changed or gone.
pub(super) struct Supervisor {
    pub context: Context,
    pub running: BTreeMap<SyncName, RunningSync>,
    pub tasks: JoinSet<(SyncName, Option<Ending>)>,
    requests: watch::Sender<Option<AllAnnotations>>,
    /// Where webhooks are received.
    hints: Option<Arc<Hints>>,
    /// What is to run; a changed sync starts anew when its old sync task has ended.
    wanted: BTreeMap<SyncName, Arc<SyncConfig>>,
    /// Removes clones that are not used any more.
    tidying: Option<AbortOnDropHandle<()>>,
}

impl Supervisor {
    /// Runs no sync yet. `requests` is what each sync task receives the annotations of its parent from, `hints` what has its
    /// webhooks, where some are received.
    pub fn new(context: Context, requests: watch::Sender<Option<AllAnnotations>>, hints: Option<Arc<Hints>>) -> Self {
        Self {
            context,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            requests,
            hints,
            wanted: BTreeMap::new(),
            tidying: None,
        }
    }

    /// Makes the running sync tasks those of a configuration.
    pub fn adopt(&mut self, config: &Config) {
        if let Some(hints) = &self.hints {
            hints.configure(&config.syncs);
        }
        self.wanted = config.syncs.iter().map(|sync| (sync.name.clone(), Arc::clone(sync))).collect();
        for (name, running) in &self.running {
            if self.wanted.get(name) != Some(&running.config) {
                running.stop.cancel();
            }
        }
        let missing: Vec<_> = self.wanted.keys().filter(|name| !self.running.contains_key(*name)).cloned().collect();
        self.start_all(&missing);
    }

    fn start_all(&mut self, names: &[SyncName]) {
        for (name, begins) in names.iter().zip(begins(names.len())) {
            self.start(name, Duration::ZERO, begins);
        }
        if self.running.values().all(|running| !running.stop.is_cancelled()) {
            self.tidy();
        }
    }

    /// Starts a sync task after a while, which then begins some time later.
    fn start(&mut self, name: &SyncName, after: Duration, begins: Duration) {
        let Some(config) = self.wanted.get(name) else { return };
        let stop = CancellationToken::new();
        let mut sync_task = SyncTask::new(self.context.clone(), Arc::clone(config), stop.clone());
        sync_task.requests = Some(self.requests.subscribe());
        sync_task.begin_after = begins;
        sync_task.hinted = self.hints.as_ref().and_then(|hints| hints.of(name));
        let (sync, delayed) = (name.clone(), stop.clone());
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = delayed.cancelled() => return (sync, None),
            }
            let ending = sync_task.run().await;
            (sync, ending)
        });
        self.running.insert(name.clone(), RunningSync { config: Arc::clone(config), stop, task: task.id() });
    }

    /// Ends all sync tasks where they are, as a crash would, and starts them again: they have to learn
    /// everything anew, since what they assume is another's to change from now on.
    pub async fn begin_anew(&mut self) {
        self.tasks.shutdown().await;
        for name in std::mem::take(&mut self.running).into_keys() {
            self.context.registry.leave(&name);
            if !self.wanted.contains_key(&name) {
                (self.context.emit)(&Event::of(&name.as_str().into(), SyncEvent::Forgotten));
            }
        }
        let wanted: Vec<_> = self.wanted.keys().cloned().collect();
        self.start_all(&wanted);
    }

    /// Removes the clones of syncs and repositories that are not configured any more. What a sync task of
    /// before still uses is tried again.
    fn tidy(&mut self) {
        let (data, emit) = (Arc::clone(&self.context.data_dir), Arc::clone(&self.context.emit));
        let syncs: Vec<Arc<SyncConfig>> = self.wanted.values().cloned().collect();
        let task = async move {
            for _ in 0..TIDYING {
                let (data, syncs) = (Arc::clone(&data), syncs.clone());
                let tidy = move || remove_unused_clones(&data, syncs.iter().map(|sync| &**sync));
                let Ok(tidied) = tokio::task::spawn_blocking(tidy).await else { return };
                for path in tidied.removed {
                    let message = format!("removed the clone {}, which no sync uses any more", path.display());
                    emit(&Event::Note { message });
                }
                for error in tidied.failed {
                    emit(&Event::Trouble { message: format!("a clone that no sync uses any more stays: {error}") });
                }
                if tidied.busy.is_empty() {
                    return;
                }
                tokio::time::sleep(STILL_USED).await;
            }
        };
        // Whoever is at it already goes by an older configuration.
        self.tidying = Some(AbortOnDropHandle::new(tokio::spawn(task)));
    }

    /// A sync task ended: because it was asked to, or since it panicked.
    pub fn ended(&mut self, task: Id, stop: &CancellationToken) {
        let Some(name) = self.running.iter().find(|(_, running)| running.task == task).map(|(name, _)| name.clone())
        else {
            return;
        };
        let asked = self.running.remove(&name).is_some_and(|running| running.stop.is_cancelled());
        if stop.is_cancelled() {
            return;
        }
        if asked && self.running.values().all(|running| !running.stop.is_cancelled()) {
            self.tidy();
        }
        if !self.wanted.contains_key(&name) {
            self.context.registry.leave(&name);
            (self.context.emit)(&Event::of(&name.as_str().into(), SyncEvent::Forgotten));
            return;
        }
        if !asked {
            let message = format!("the task of sync {name} panicked; restarting");
            (self.context.emit)(&Event::Trouble { message });
        }
        self.start(&name, if asked { Duration::ZERO } else { RESPAWN }, Duration::ZERO);
    }
}

/// When each of so many sync tasks that start together begins.
fn begins(tasks: usize) -> impl Iterator<Item = Duration> {
    let step = u32::try_from(tasks).map_or(Duration::ZERO, |tasks| APART.min(LAST_BEGINS / tasks.max(1)));
    (0..).map(move |number: u32| {
        // The first one at once: whoever has one sync waits for nothing.
        let jitter = if number == 0 { 0.0 } else { fastrand::f64() };
        step * number.saturating_sub(1) + step.mul_f64(jitter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sync_begins_at_once_and_many_are_spread_over_a_time_that_grows_with_their_number_up_to_a_bound() {
        for (tasks, all_within) in [(1, Duration::ZERO), (2, APART), (100, APART * 99), (100_000, LAST_BEGINS)] {
            let begins: Vec<Duration> = begins(tasks).take(tasks).collect();
            assert_eq!(begins[0], Duration::ZERO);
            assert!(begins.is_sorted() && begins[tasks - 1] <= all_within, "{tasks}: {:?}", begins[tasks - 1]);
            assert!(begins[tasks - 1] >= all_within.mul_f64(0.9) || tasks < 100);
        }
    }
}
