//! Traces: one of each commit that a sync takes up, from the poll that found it to its end, built of
//! the events that log and metrics receive as well. Where a trace goes is not known here.

mod builder;
mod export;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::event::{Ended, Event, Outcome, PollResult, SyncEvent};
use builder::Course;
pub use export::TracesError;

/// In every span: which program and version made it.
const SCOPE: &str = "driftless";

/// Makes spans of events. Cheap to clone.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// What is known of each sync since its last trace.
    syncs: Mutex<BTreeMap<Arc<str>, Course>>,
    /// Where the spans go, without credentials.
    target: String,
}

impl fmt::Debug for Traces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Traces").field(&self.0.target).finish()
    }
}

impl Traces {
    fn new(provider: SdkTracerProvider, target: String) -> Self {
        let tracer = provider.tracer(SCOPE);
        Self(Arc::new(Inner { provider, tracer, syncs: Mutex::default(), target }))
    }

    /// Where the spans go, without credentials.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// Receives an event. Waits for nothing: finished spans go into a bounded queue, which drops them
    /// when it is full.
    pub fn record(&self, event: &Event) {
        self.record_at(event, SystemTime::now());
    }

    fn record_at(&self, event: &Event, now: SystemTime) {
        let Event::Sync(sync, event) = event else { return };
        let mut syncs = self.0.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            SyncEvent::Took { part, took } => of(&mut syncs, sync).took(*part, *took, now),
            SyncEvent::Polled { result: PollResult::Failed, error, .. } => {
                of(&mut syncs, sync).note("look failed", error.as_deref(), now);
            }
            SyncEvent::Started { commit } => of(&mut syncs, sync).start(commit),
            SyncEvent::Planned { create, configure, replace, unchanged, prune, refuse } => {
                of(&mut syncs, sync).planned([*create, *configure, *replace, *unchanged, *prune, *refuse]);
            }
            SyncEvent::Applied { object, result, error, .. } => {
                let error = error.as_ref().map(ToString::to_string);
                of(&mut syncs, sync).object(object, result.as_str(), error.as_deref(), now);
            }
            SyncEvent::Pruned { object, result, detail } => {
                of(&mut syncs, sync).object(object, result.as_str(), detail.as_deref(), now);
            }
            SyncEvent::Problem(problem) => {
                of(&mut syncs, sync).note("problem", Some(&problem.to_string()), now);
            }
            SyncEvent::Ended(ended) => {
                let course = of(&mut syncs, sync);
                if is_reported(ended) {
                    course.trace(&self.0.tracer, sync, ended, now);
                }
                course.forget();
            }
            SyncEvent::StandingBy { .. } | SyncEvent::Forgotten => drop(syncs.remove(sync)),
            _ => {}
        }
    }

    /// Sends what is left, and ends. Blocks for as long as `within`; what is not taken by then is lost.
    ///
    /// # Errors
    /// It was not all taken in time.
    pub fn end(&self, within: Duration) -> OTelSdkResult {
        self.0.provider.shutdown_with_timeout(within)
    }
}

fn of<'a>(syncs: &'a mut BTreeMap<Arc<str>, Course>, sync: &Arc<str>) -> &'a mut Course {
    syncs.entry(Arc::clone(sync)).or_default()
}

/// A trace covers a commit once: when it got synced, and before that when it came to another end
/// than the cycle before.
fn is_reported(ended: &Ended) -> bool {
    match ended.outcome {
        Outcome::Synced => ended.lag.is_some(),
        Outcome::Unhealthy | Outcome::Held | Outcome::Failed => !ended.again,
    }
}
