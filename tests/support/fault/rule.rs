//! Which requests are spoiled, and how.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::ask::Ask;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed before the server has the request.
    Break,
    /// The server acts; the connection is closed in place of its answer.
    BreakAfter,
    /// The server acts; for so long nothing comes, then the connection is closed.
    SilenceAfter(Duration),
    /// Forwarded after a while.
    Delay(Duration),
    /// Answered after a while.
    DelayAnswer(Duration),
    /// Sent to the server twice, one after the other; the second answer counts.
    Twice,
    /// Answered with an error that the server did not give, and with a request for a pause, in seconds.
    Answer(u16, Option<u64>),
    /// The server acts; of its answer's body so many bytes come, then the connection is closed.
    Truncate(usize),
}

/// How many requests a rule has spoiled.
#[derive(Clone, Debug, Default)]
pub struct Hits(Arc<AtomicUsize>);

impl Hits {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

type Decide = Box<dyn Fn(&Ask) -> Option<Fault> + Send + Sync>;

/// A fault, and which requests meet it.
pub struct Rule {
    decide: Decide,
    verbs: Vec<&'static str>,
    resource: Option<String>,
    name: Option<String>,
    left: Option<usize>,
    hits: Hits,
}

impl Rule {
    /// Of these verbs, as [`Ask::verb`] has them.
    pub fn on(fault: Fault, verbs: &[&'static str]) -> Self {
        Self { verbs: verbs.to_vec(), ..Self::by(move |_| Some(fault.clone())) }
    }

    /// What a closure says of every request, watches included.
    pub fn by(decide: impl Fn(&Ask) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let decide = Box::new(decide);
        Self { decide, verbs: Vec::new(), resource: None, name: None, left: None, hits: Hits::default() }
    }

    /// Only of this plural.
    pub fn resource(self, plural: &str) -> Self {
        Self { resource: Some(plural.to_owned()), ..self }
    }

    /// Only the object of this name.
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// At most so often.
    pub fn times(self, times: usize) -> Self {
        Self { left: Some(times), ..self }
    }

    pub(super) fn hits(&self) -> Hits {
        self.hits.clone()
    }

    pub(super) fn fault_for(&mut self, ask: &Ask) -> Option<Fault> {
        let fits = (self.verbs.is_empty() || self.verbs.contains(&ask.verb))
            && self.resource.as_ref().is_none_or(|resource| *resource == ask.resource)
            && self.name.as_ref().is_none_or(|name| *name == ask.name);
        if !fits || self.left == Some(0) {
            return None;
        }
        let fault = (self.decide)(ask)?;
        self.left = self.left.map(|left| left - 1);
        self.hits.0.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}
