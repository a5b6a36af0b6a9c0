//! Kubernetes Events: a bounded queue between whoever reports something, which never waits, and
//! one task that writes. What is too much at once is left out, and that is said once.

mod limit;
mod series;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::limit::{BURST, EventLimits};
use self::writer::Writer;
use super::Context;
use crate::event::{Event, SyncEvent};
use crate::telemetry::{About, KubeEvent, KubeEvents};

/// Events that wait to be written, of all syncs.
const QUEUE: usize = 256;
/// What was left out is said this long after the first of it, so that a burst is one line.
const SAY_AFTER: Duration = Duration::from_secs(10);
/// How long the last Events may take to be written when the program ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Events of one sync that were not written.
#[derive(Debug)]
struct Dropped {
    events: usize,
    /// Why the first was not.
    why: String,
}

#[derive(Debug, Default)]
struct EventState {
    kube_events: KubeEvents,
    limits: EventLimits,
    dropped: BTreeMap<Arc<str>, Dropped>,
}

#[derive(Debug, Default)]
struct SharedEvents {
    state: Mutex<EventState>,
    /// Something was dropped.
    lost: Notify,
}

impl SharedEvents {
    fn state(&self) -> MutexGuard<'_, EventState> {
        // Nothing here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, sync: &Arc<str>, why: impl FnOnce() -> String) {
        let mut state = self.state();
        state.dropped.entry(Arc::clone(sync)).or_insert_with(|| Dropped { events: 0, why: why() }).events += 1;
        drop(state);
        self.lost.notify_one();
    }
}

/// Where Events are reported. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<KubeEvent>,
    shared: Arc<SharedEvents>,
}

/// Where they arrive, before somebody writes them.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Receiver<KubeEvent>,
    shared: Arc<SharedEvents>,
}

/// The task that writes them, held by whoever has to notice its end.
#[derive(Debug)]
pub struct Publishing {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Events {
    /// Both ends of the queue. What is reported is kept in it until the publisher starts.
    #[must_use]
    pub fn new() -> (Self, Publisher) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared: Arc<SharedEvents> = Arc::default();
        (Self { queue: sender, shared: Arc::clone(&shared) }, Publisher { queue: receiver, shared })
    }

    /// Lines up what is to be written of an event, if anything. Never waits.
    pub fn enqueue(&self, event: &Event) {
        let mut state = self.shared.state();
        if let Event::Sync(sync, SyncEvent::Forgotten) = event {
            state.limits.forget(sync);
            state.dropped.remove(sync);
        }
        let Some(kube_event) = state.kube_events.of(event) else { return };
        let admitted = state.limits.admit(&kube_event.sync, kube_event.about == About::Sync, Instant::now());
        drop(state);
        let sync = Arc::clone(&kube_event.sync);
        if !admitted {
            return self.shared.lose(&sync, || format!("more than {BURST} at once, and one a second after that"));
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(kube_event) {
            self.shared.lose(&sync, || "the API server takes them too slowly".into());
        }
    }
}

impl Publisher {
    /// Begins to write, with the agent's own rights.
    #[must_use]
    pub fn start(self, context: &Context) -> Publishing {
        let stop = CancellationToken::new();
        let writer = Writer::new(context.clone(), Arc::clone(&self.shared));
        Publishing { task: tokio::spawn(self.run(writer, stop.clone())), stop }
    }

    async fn run(mut self, mut writer: Writer, stop: CancellationToken) {
        let mut say = None;
        loop {
            let due = tokio::time::sleep(say.map_or(Duration::MAX, |due: Instant| due.duration_since(Instant::now())));
            tokio::select! {
                Some(event) = self.queue.recv() => writer.write(&event).await,
                () = self.shared.lost.notified(), if say.is_none() => say = Some(Instant::now() + SAY_AFTER),
                () = due, if say.is_some() => {
                    say = None;
                    writer.report_dropped();
                }
                () = stop.cancelled() => break,
            }
        }
        self.queue.close();
        while let Some(event) = self.queue.recv().await {
            writer.write(&event).await;
        }
        writer.report_dropped();
    }
}

impl Publishing {
    /// Comes back when the task has ended, which it does by itself only by a panic.
    pub async fn ended(&mut self) {
        // Whether it panicked or came back makes no difference.
        let _ = (&mut self.task).await;
    }

    /// Writes what is lined up, and ends; what takes longer than 5 seconds is given up.
    pub async fn end(mut self) {
        self.stop.cancel();
        if !self.task.is_finished() && tokio::time::timeout(FAREWELL, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Blame, ObjectId};
    use crate::plan::Drift;

    fn drifted(sync: &str) -> Event {
        let drift = Drift {
            object: ObjectId::new("", "ConfigMap", Some("shop"), "a"),
            at: jiff::Timestamp::UNIX_EPOCH,
            reason: "was deleted by somebody".into(),
            blame: Blame::default(),
            healed: true,
        };
        Event::of(&sync.into(), SyncEvent::DriftDetected { drift, uid: Some("u".into()), missed: false })
    }

    #[test]
    fn a_burst_is_cut_and_counted_and_holds_up_no_other_sync_nor_events_of_the_sync_itself() {
        let (events, mut publisher) = Events::new();
        for _ in 0..1000 {
            events.enqueue(&drifted("shop"));
        }
        events.enqueue(&drifted("other"));
        events.enqueue(&Event::of(&"shop".into(), SyncEvent::Suspended { by: "somebody" }));
        let mut sent = Vec::new();
        while let Ok(event) = publisher.queue.try_recv() {
            sent.push((event.sync.to_string(), event.reason));
        }
        let of = |sync: &str| sent.iter().filter(|(name, _)| name == sync).count();
        let dropped = events.shared.state().dropped[&Arc::from("shop")].events;
        assert_eq!(of("shop") + dropped, 1001);
        assert!((26..=30).contains(&of("shop")), "{}", of("shop"));
        assert_eq!(of("other"), 1);
        assert!(sent.contains(&("shop".into(), "Suspended")));
    }

    #[test]
    fn a_full_queue_drops_and_does_not_wait() {
        let (events, publisher) = Events::new();
        for number in 0..QUEUE + 3 {
            events.enqueue(&drifted(&format!("sync-{number}")));
        }
        assert_eq!(publisher.queue.len(), QUEUE);
        assert_eq!(events.shared.state().dropped.len(), 3);
    }
}
