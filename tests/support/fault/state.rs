//! What a proxy is to do, and what it has seen.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::ask::Ask;
use super::rule::{Fault, Hits, Rule};

/// Before the server has a request, or after it has answered and the agent has not received that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Before,
    After,
}

/// When a listener is called.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    Before(&'a Ask),
    /// With the server's own answer, which the agent may never get.
    After(&'a Ask, u16),
}

/// A request and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub ask: Arc<Ask>,
    pub fault: Option<Fault>,
    /// The status and the body of the server's own answer; `None`: it was not asked, or has not
    /// answered yet. The bodies of LISTs and watches are left out.
    pub answer: Option<(u16, Bytes)>,
    /// The connection of the request still stood when it was to be answered.
    pub delivered: bool,
}

impl Exchange {
    /// The object in the server's answer; null when there is none.
    pub fn answered(&self) -> Value {
        self.answer.as_ref().and_then(|(_, body)| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// Whether the server carried it out.
    pub fn took_effect(&self) -> bool {
        self.ask.is_write() && self.answer.as_ref().is_some_and(|(code, _)| (200..300).contains(code))
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: ", self.ask.number, self.ask)?;
        match &self.answer {
            Some((code, _)) => write!(out, "{code}")?,
            None => write!(out, "no answer of the server")?,
        }
        match &self.fault {
            Some(fault) => write!(out, ", {fault:?}"),
            None => Ok(()),
        }
    }
}

/// A point at which the world stops.
pub struct Frozen(watch::Receiver<World>);

impl Frozen {
    pub fn is_reached(&self) -> bool {
        *self.0.borrow() == World::Frozen
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    Goes,
    Frozen,
}

/// What is sent to all watches at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    pub cuts: usize,
    pub expiries: usize,
    pub stalled: bool,
}

/// How requests are changed on their way, whatever the rules say.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub page: Option<usize>,
    pub past: Option<String>,
    pub down: Option<String>,
    pub unserved: Option<String>,
}

pub(super) struct State {
    inner: Mutex<Inner>,
    pub listening: watch::Sender<bool>,
    pub watches: watch::Sender<Watches>,
    world: watch::Sender<World>,
}

#[derive(Default)]
struct Inner {
    count: usize,
    seen: Vec<Exchange>,
    rules: Vec<Rule>,
    settings: Settings,
    point: Option<(usize, Side)>,
    listener: Option<Listener>,
}

type Listener = Arc<dyn Fn(Moment<'_>) + Send + Sync>;

/// What is to be done with a request that has come.
pub(super) struct Begun {
    /// Its place in the record.
    pub index: usize,
    pub ask: Arc<Ask>,
    pub fault: Option<Fault>,
    pub settings: Settings,
}

impl State {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            listening: watch::Sender::new(true),
            watches: watch::Sender::default(),
            world: watch::Sender::new(World::Goes),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, rule: Rule) -> Hits {
        let hits = rule.hits();
        self.lock().rules.push(rule);
        hits
    }

    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
    }

    pub fn listen(&self, listener: Listener) {
        self.lock().listener = Some(listener);
    }

    pub fn count(&self) -> usize {
        self.lock().count
    }

    pub fn seen(&self) -> Vec<Exchange> {
        self.lock().seen.clone()
    }

    pub fn freeze_at(&self, number: usize, side: Side) -> Frozen {
        let mut inner = self.lock();
        inner.point = Some((inner.count + number, side));
        Frozen(self.world.subscribe())
    }

    pub fn thaw(&self) {
        self.lock().point = None;
        self.world.send_replace(World::Goes);
    }

    /// Takes a request in; `None` when it comes to a world that has stopped, which it may have
    /// done by itself.
    pub fn begin(&self, mut ask: Ask) -> Option<Begun> {
        let mut inner = self.lock();
        if *self.world.borrow() == World::Frozen {
            return None;
        }
        inner.count += usize::from(!ask.is_watch());
        ask.number = inner.count;
        if !ask.is_watch() && inner.point == Some((ask.number, Side::Before)) {
            self.world.send_replace(World::Frozen);
            return None;
        }
        let ask = Arc::new(ask);
        let fault = inner.rules.iter_mut().find_map(|rule| rule.fault_for(&ask));
        inner.seen.push(Exchange { ask: Arc::clone(&ask), fault: fault.clone(), answer: None, delivered: false });
        let begun = Begun { index: inner.seen.len() - 1, ask, fault, settings: inner.settings.clone() };
        let listener = inner.listener.clone();
        drop(inner);
        notify(listener, Moment::Before(&begun.ask));
        Some(begun)
    }

    /// Notes the server's answer. Afterwards the world may have stopped.
    pub fn answered(&self, begun: &Begun, code: u16, body: Bytes) {
        let listener = self.lock().listener.clone();
        notify(listener, Moment::After(&begun.ask, code));
        let mut inner = self.lock();
        inner.seen[begun.index].answer = Some((code, body));
        if !begun.ask.is_watch() && inner.point == Some((begun.ask.number, Side::After)) {
            self.world.send_replace(World::Frozen);
        }
    }

    /// Notes that what comes of a request goes to whoever sent it.
    pub fn delivered(&self, index: usize) {
        self.lock().seen[index].delivered = true;
    }

    /// Returns at once, with `true`, in a world that goes; else with `false` when it goes again.
    pub async fn goes(&self) -> bool {
        let mut world = self.world.subscribe();
        if *world.borrow() == World::Goes {
            return true;
        }
        // The sender is in `self`.
        let _ = world.wait_for(|world| *world == World::Goes).await;
        false
    }
}

fn notify(listener: Option<Listener>, moment: Moment<'_>) {
    if let Some(listener) = listener {
        tokio::task::block_in_place(|| listener(moment));
    }
}
