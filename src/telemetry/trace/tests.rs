//! Spans as an exporter gets them, made of events at given times.

use opentelemetry::Value;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::super::sample::{COMMIT, applied, commit, ended, polled};
use super::*;
use crate::event::Part;
use crate::plan::ApplyResult;

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Records events at times in milliseconds.
struct Recorder {
    traces: Traces,
    kept: Kept,
    now: SystemTime,
}

impl Recorder {
    fn new() -> Self {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        Self { traces: Traces::new(provider, "here".into()), kept, now }
    }

    fn record(&self, at: u64, event: &Event) {
        self.traces.record_at(event, self.now + Duration::from_millis(at));
    }

    fn worked(&self, at: u64, part: Part, took: u64) {
        let took = Duration::from_millis(took);
        self.record(at, &Event::of(&"shop".into(), SyncEvent::Took { part, took }));
    }

    /// A cycle on the commit, from the poll that finds it at 100 to 1000; other polls find nothing.
    fn cycle(&self, result: Outcome, lag: Option<Duration>, again: bool) {
        let sync: &Arc<str> = &"shop".into();
        self.worked(50, Part::Poll, 10);
        self.record(50, &polled(sync, PollResult::Unchanged));
        self.worked(200, Part::Poll, 100);
        self.worked(300, Part::Fetch, 100);
        self.worked(310, Part::Poll, 5);
        self.worked(350, Part::Render, 50);
        self.record(350, &Event::of(sync, SyncEvent::Started { commit: commit() }));
        self.worked(400, Part::Observe, 50);
        self.record(450, &applied(sync, ApplyResult::Unchanged));
        self.record(460, &applied(sync, ApplyResult::Configured));
        self.record(470, &applied(sync, ApplyResult::Failed));
        self.worked(500, Part::Apply, 90);
        self.worked(1000, Part::Settle, 500);
        self.worked(1000, Part::Total, 799);
        let mut end = ended(sync, result, 1, lag);
        if let Event::Sync(_, SyncEvent::Ended(ended)) = &mut end {
            ended.again = again;
        }
        self.record(1000, &end);
    }

    fn spans(&self) -> Vec<SpanData> {
        self.kept.0.lock().unwrap().clone()
    }

    fn at(&self, span: &SpanData) -> (u128, u128) {
        let since = |time: SystemTime| time.duration_since(self.now).unwrap().as_millis();
        (since(span.start_time), since(span.end_time))
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.clone())
}

const LAG: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn a_cycle_on_a_new_commit_is_one_trace_with_its_parts_in_order() {
    let recorder = Recorder::new();
    recorder.cycle(Outcome::Synced, LAG, false);
    let spans = recorder.spans();
    let (root, parts) = spans.split_last().unwrap();
    assert_eq!((&*root.name, root.parent_span_id), ("sync", SpanId::INVALID));
    assert_eq!(recorder.at(root), (100, 1000));
    let seen: Vec<_> = parts.iter().map(|span| (&*span.name, recorder.at(span))).collect();
    let wanted = [
        ("look", (100, 200)),
        ("fetch", (200, 300)),
        ("render", (300, 350)),
        ("observe", (350, 400)),
        ("apply", (410, 500)),
        ("settle", (500, 1000)),
    ];
    assert_eq!(seen, wanted);
    for part in parts {
        assert_eq!(part.parent_span_id, root.span_context.span_id());
        assert_eq!(part.span_context.trace_id(), root.span_context.trace_id());
    }
    assert_eq!(parts[4].events.len(), 2, "an object that did not change is nothing to report");
    assert_eq!(attribute(root, "vcs.ref.head.revision"), Some(COMMIT.into()));
    assert_eq!(attribute(root, "driftless.result"), Some("synced".into()));
    assert_eq!(root.status, Status::Unset);
}

#[test]
fn a_commit_is_reported_once_and_a_failure_as_long_as_it_is_new() {
    let recorder = Recorder::new();
    recorder.cycle(Outcome::Synced, LAG, false);
    let first = recorder.spans().len();
    recorder.cycle(Outcome::Synced, None, false);
    assert_eq!(recorder.spans().len(), first, "a cycle in which nothing happened");
    recorder.cycle(Outcome::Failed, None, false);
    let failed = recorder.spans().pop().unwrap();
    assert!(matches!(failed.status, Status::Error { .. }));
    let second = recorder.spans().len();
    recorder.cycle(Outcome::Failed, None, true);
    assert_eq!(recorder.spans().len(), second);
    recorder.cycle(Outcome::Synced, LAG, false);
    let root = recorder.spans().pop().unwrap();
    assert_ne!(root.span_context.trace_id(), failed.span_context.trace_id());
    assert_eq!(root.links.iter().map(|link| &link.span_context).collect::<Vec<_>>(), [&failed.span_context]);
}

#[test]
fn spans_and_what_they_hold_are_bounded() {
    let recorder = Recorder::new();
    let sync: &Arc<str> = &"shop".into();
    for round in 0..1000 {
        recorder.worked(round, Part::Observe, 1);
        recorder.record(round, &applied(sync, ApplyResult::Configured));
        recorder.record(round, &applied(sync, ApplyResult::Failed));
    }
    let message = "x".repeat(5000);
    recorder.worked(1000, Part::Total, 1000);
    let mut end = ended(sync, Outcome::Failed, 0, None);
    if let Event::Sync(_, SyncEvent::Ended(ended)) = &mut end {
        ended.message = message;
    }
    recorder.record(1000, &end);
    let spans = recorder.spans();
    assert!(spans.len() < 50, "{}", spans.len());
    let root = spans.last().unwrap();
    assert!(root.events.len() <= 128 && root.events.dropped_count == 0, "{}", root.events.len());
    assert_eq!(attribute(root, "driftless.events_left_out"), Some(1900.into()));
    assert_eq!(attribute(root, "driftless.message").unwrap().as_str().len(), 1024);
}
