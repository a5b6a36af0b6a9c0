//! What one sync did since its last trace, and the spans that become of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanContext, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::event::{Ended, Outcome, Part};
use crate::object::{Commit, ObjectId};

/// Parts of one cycle that are kept. A poll that finds nothing new replaces the one before, so few
/// cycles have as many as ten.
const PARTS: usize = 32;
/// Objects of one cycle that are named, those with an error and the others; of more, the number is
/// given. The SDK itself keeps 128 events a span.
const OBJECTS: usize = 50;
/// Problems of one cycle that are reported.
const NOTES: usize = 20;
/// A poll that ended so long before a cycle has begun it.
const JUST_BEFORE: Duration = Duration::from_secs(1);
/// Bytes of a text.
const TEXT: usize = 1024;

#[derive(Default)]
pub(super) struct Course {
    commit: Option<Commit>,
    began: Option<SystemTime>,
    poll: Option<Timed>,
    /// The poll that found the commit.
    found: Option<Timed>,
    parts: VecDeque<Timed>,
    plan: Option<[usize; 6]>,
    changed: Notes<OBJECTS>,
    failed: Notes<OBJECTS>,
    notes: Notes<NOTES>,
    /// The last trace, and of which commit it was (12 digits).
    former: Option<(String, SpanContext)>,
}

#[derive(Clone, Copy)]
struct Timed {
    part: Part,
    from: SystemTime,
    to: SystemTime,
}

/// The first of what happened, and how much more there was.
#[derive(Default)]
struct Notes<const MOST: usize> {
    list: Vec<Note>,
    more: usize,
}

struct Note {
    name: &'static str,
    at: SystemTime,
    attributes: Vec<KeyValue>,
}

impl<const MOST: usize> Notes<MOST> {
    fn push(&mut self, note: impl FnOnce() -> Note) {
        if self.list.len() < MOST {
            self.list.push(note());
        } else {
            self.more += 1;
        }
    }
}

impl Course {
    pub fn took(&mut self, part: Part, took: Duration, now: SystemTime) {
        let timed = Timed { part, from: now.checked_sub(took).unwrap_or(now), to: now };
        match part {
            Part::Total => self.began = Some(timed.from),
            Part::Poll => self.poll = Some(timed),
            _ => {
                // The poll before a fetch is the one that found the commit; others follow meanwhile.
                if part == Part::Fetch {
                    self.found = self.poll.take();
                }
                if self.parts.len() == PARTS {
                    self.parts.pop_front();
                }
                self.parts.push_back(timed);
            }
        }
    }

    /// Work on a commit begins.
    pub fn start(&mut self, commit: &Commit) {
        self.commit = Some(commit.clone());
    }

    pub fn planned(&mut self, numbers: [usize; 6]) {
        self.plan = Some(numbers);
    }

    pub fn object(&mut self, object: &ObjectId, result: &'static str, error: Option<&str>, at: SystemTime) {
        if result == "unchanged" {
            return;
        }
        let note = || {
            let mut attributes =
                vec![KeyValue::new("driftless.object", object.to_string()), KeyValue::new("driftless.result", result)];
            attributes.extend(error.map(|error| KeyValue::new("driftless.message", cut(error))));
            Note { name: "object", at, attributes }
        };
        if error.is_some() { self.failed.push(note) } else { self.changed.push(note) }
    }

    pub fn note(&mut self, name: &'static str, text: Option<&str>, at: SystemTime) {
        let text = text.map(|text| KeyValue::new("driftless.message", cut(text)));
        self.notes.push(|| Note { name, at, attributes: text.into_iter().collect() });
    }

    /// Makes the spans of a cycle that has ended.
    pub fn trace(&mut self, tracer: &SdkTracer, sync: &Arc<str>, ended: &Ended, now: SystemTime) {
        let began = self.began.unwrap_or(now).min(now);
        // A cycle begins when what the poll found is known: just after it.
        let poll = self.found.or(self.poll).filter(|poll| poll.to + JUST_BEFORE >= began);
        let from = poll.map_or(began, |poll| poll.from.min(began));
        self.parts.extend(poll);
        let former = self.former.as_ref().filter(|(of, _)| of == ended.commit.short());
        let links = former.map(|(_, former)| Link::new(former.clone(), Vec::new(), 0)).into_iter().collect();
        let mut root = SpanBuilder::from_name("sync").with_start_time(from).with_links(links);
        root.attributes = Some(self.attributes(sync, ended));
        let context = Context::new().with_span(tracer.build_with_context(root, &Context::new()));
        let within = |at: SystemTime| at.clamp(from, now);
        let mut parts: Vec<Timed> = self.parts.drain(..).filter(|timed| timed.to >= from).collect();
        parts.sort_by_key(|timed| timed.from);
        let mut objects = std::mem::take(&mut self.changed.list);
        objects.append(&mut self.failed.list);
        let mut own = std::mem::take(&mut self.notes.list);
        objects.sort_by_key(|note| note.at);
        for Timed { part, from, to } in parts {
            let builder = SpanBuilder::from_name(part.as_str()).with_start_time(within(from));
            let mut span = tracer.build_with_context(builder, &context);
            if matches!(part, Part::Apply | Part::Prune) {
                let (here, rest): (Vec<_>, Vec<_>) =
                    objects.into_iter().partition(|note| (from..=to).contains(&note.at));
                objects = rest;
                for note in here {
                    span.add_event_with_timestamp(note.name, note.at, note.attributes);
                }
            }
            span.end_with_timestamp(within(to));
        }
        own.append(&mut objects);
        let root = context.span();
        for note in own.into_iter().filter(|note| note.at >= from) {
            root.add_event_with_timestamp(note.name, note.at, note.attributes);
        }
        if matches!(ended.outcome, Outcome::Failed | Outcome::Unhealthy) {
            root.set_status(Status::error(cut(&ended.message)));
        }
        self.former = Some((ended.commit.short().to_owned(), root.span_context().clone()));
        root.end_with_timestamp(now);
    }

    fn attributes(&self, sync: &Arc<str>, ended: &Ended) -> Vec<KeyValue> {
        let commit = ended.commit.short();
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let mut list = vec![
            KeyValue::new("driftless.sync", sync.to_string()),
            KeyValue::new("driftless.result", ended.outcome.as_str()),
            KeyValue::new("driftless.changed", number(ended.changed)),
            KeyValue::new("driftless.message", cut(&ended.message)),
        ];
        // A commit that cannot be read or rendered never began.
        match self.commit.as_ref().filter(|begun| begun.short() == commit) {
            Some(begun) => {
                list.push(KeyValue::new("vcs.ref.head.revision", begun.id.clone()));
                list.push(KeyValue::new("driftless.commit.time", begun.time.to_string()));
            }
            None if commit.is_empty() => {}
            None => list.push(KeyValue::new("vcs.ref.head.revision", commit.to_owned())),
        }
        list.extend(ended.lag.map(|lag| KeyValue::new("driftless.commit.lag_seconds", lag.as_secs_f64())));
        let names = ["create", "configure", "replace", "unchanged", "prune", "refuse"];
        for (name, planned) in names.into_iter().zip(self.plan.into_iter().flatten()) {
            list.push(KeyValue::new(format!("driftless.plan.{name}"), number(planned)));
        }
        let more = self.changed.more + self.failed.more + self.notes.more;
        if more > 0 {
            list.push(KeyValue::new("driftless.events_left_out", number(more)));
        }
        list
    }

    /// What was of the cycle that ended. The commit stays: cycles that follow are about it, too.
    pub fn forget(&mut self) {
        let (commit, former) = (self.commit.take(), self.former.take());
        *self = Self { commit, former, poll: self.poll, ..Self::default() };
    }
}

/// A text that is not longer than a span may bear.
fn cut(text: &str) -> String {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}
