//! User requests (approve, sync, suspend, resume) as one sync hears of them. A watch may tell of the
//! past, as a cache does that lags: then it would resume what is suspended, or bring back an approval
//! that was withdrawn. So all but a suspension is read once more, from the parent itself.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::Context;
use super::parents::{AllMarks, read_marks};
use crate::apply::Parent;
use crate::config::SyncName;
use crate::observe::Event;
use crate::reconcile::{Input, Marks};

/// The first and the longest wait before the parent is read again after an error.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// The requests of one sync.
pub(super) struct Requests<'a> {
    context: &'a Context,
    sync: &'a SyncName,
    /// `None`: they are heard of only at the start.
    told: Option<watch::Receiver<Option<AllMarks>>>,
    /// As they were taken in last; `None`: there was no parent.
    known: Option<Marks>,
    /// The read of what the watch told last.
    reading: Option<BoxFuture<'a, Option<Marks>>>,
}

impl<'a> Requests<'a> {
    /// `known` as they were read at the start.
    pub fn new(
        context: &'a Context,
        sync: &'a SyncName,
        told: Option<watch::Receiver<Option<AllMarks>>>,
        known: Option<Marks>,
    ) -> Self {
        Self { context, sync, told, known, reading: None }
    }

    /// The next that are others than before; never, without a watch. May be dropped and called again.
    pub async fn next(&mut self) -> Input {
        loop {
            let marks = tokio::select! {
                told = next_told(&mut self.told, self.sync) => match told {
                    // The safe side, and not to be put off.
                    Some(marks) if marks.suspended => {
                        self.reading = None;
                        Some(marks)
                    }
                    told => {
                        let differs = told != self.known || self.reading.is_some();
                        self.reading = differs.then(|| self.read());
                        continue;
                    }
                },
                read = reading(&mut self.reading) => {
                    self.reading = None;
                    read
                }
            };
            if marks != self.known {
                self.known.clone_from(&marks);
                return marks.map_or(Input::ParentMissing, Input::Marks);
            }
        }
    }

    /// Reads them, again and again while that fails.
    fn read(&self) -> BoxFuture<'a, Option<Marks>> {
        let (context, sync) = (self.context, self.sync);
        Box::pin(async move {
            let mut pause = FIRST_RETRY;
            loop {
                match read_marks(&context.cluster, &context.namespace, sync).await {
                    Ok(marks) => return marks,
                    Err(error) => {
                        let message = format!("sync {sync}: {error}; it is tried again");
                        (context.tell)(&Event::Trouble { message });
                    }
                }
                tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(LONGEST_RETRY);
            }
        })
    }
}

/// What the watch tells next of one parent; `None`: there is none.
async fn next_told(told: &mut Option<watch::Receiver<Option<AllMarks>>>, sync: &SyncName) -> Option<Marks> {
    let Some(receiver) = told else { return std::future::pending().await };
    if receiver.changed().await.is_err() {
        *told = None;
        return std::future::pending().await;
    }
    let all: AllMarks = receiver.borrow_and_update().as_ref().map(Arc::clone).unwrap_or_default();
    all.get(&Parent::name(sync)).cloned()
}

async fn reading(reading: &mut Option<BoxFuture<'_, Option<Marks>>>) -> Option<Marks> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}
