//! From what was received to the sync tasks: coalesced, bounded, and on to the replica that leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;

use crate::agent::EventSink;
use crate::agent::annotations::CHART_HINT;
use crate::cluster::{Cluster, Leadership};
use crate::config::{SyncConfig, SyncName};
use crate::event::Event;
use crate::hook::{Deliveries, Location, Of, Pace, Rate, Sender, locations};
use crate::inventory::{config_maps, parent_id};
use crate::object::names;

/// What one sync task receives: that there is something, however often that was sent.
#[derive(Debug, Default)]
pub(in crate::agent) struct Hinted {
    git: Notify,
    chart: Notify,
}

impl Hinted {
    /// The next hint.
    pub async fn next(&self) -> Of {
        tokio::select! {
            () = self.git.notified() => Of::Git,
            () = self.chart.notified() => Of::Chart,
        }
    }

    fn notify(&self, of: Of) {
        match of {
            Of::Git => self.git.notify_one(),
            Of::Chart => self.chart.notify_one(),
        }
    }
}

/// What became of what was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// No sync follows it.
    Nobody,
    /// The same delivery was received before.
    Before,
    /// So many syncs follow it, and poll, now or at the end of the pause.
    On(usize),
}

/// All hints.
pub(in crate::agent) struct Hints {
    state: Mutex<State>,
    /// Something waits for the end of a pause.
    paused: Notify,
    /// Something was passed on, which the leader may have to know.
    passed: Notify,
    emit: EventSink,
    started: Instant,
}

#[derive(Default)]
struct State {
    syncs: BTreeMap<SyncName, Target>,
    pace: Pace,
    deliveries: Deliveries,
    rate: Rate,
    for_leader: BTreeSet<(SyncName, Of)>,
}

struct Target {
    follows: BTreeSet<(Of, Location)>,
    hinted: Arc<Hinted>,
}

impl Hints {
    pub fn new(emit: EventSink) -> Self {
        Self { state: Mutex::default(), paused: Notify::new(), passed: Notify::new(), emit, started: Instant::now() }
    }

    /// These syncs are configured from now on.
    pub fn configure(&self, syncs: &[Arc<SyncConfig>]) {
        let mut state = self.state();
        let mut known = std::mem::take(&mut state.syncs);
        for sync in syncs {
            let hinted = known.remove(&sync.name).map(|target| target.hinted).unwrap_or_default();
            state.syncs.insert(sync.name.clone(), Target { follows: locations(sync), hinted });
        }
    }

    /// Where the task of a sync learns of its hints.
    pub fn of(&self, sync: &SyncName) -> Option<Arc<Hinted>> {
        self.state().syncs.get(sync).map(|target| Arc::clone(&target.hinted))
    }

    /// Whether one more request may be read.
    pub(super) fn admit(&self) -> bool {
        let now = self.now();
        self.state().rate.admit(now)
    }

    /// Passes on what was pushed, as `sender` says, to the syncs that follow it.
    pub(super) fn pass(&self, sender: Sender, what: &BTreeSet<(Of, Location)>, delivery: Option<&str>) -> Passed {
        let now = self.now();
        let mut state = self.state();
        let followers = state.syncs.values().filter(|target| !target.follows.is_disjoint(what)).count();
        if followers == 0 {
            return Passed::Nobody;
        }
        if delivery.is_some_and(|id| !state.deliveries.is_new(id)) {
            return Passed::Before;
        }
        let followed: Vec<_> =
            what.iter().filter(|what| state.syncs.values().any(|target| target.follows.contains(what))).collect();
        let mut messages = Vec::new();
        for what in followed {
            if state.pace.admit(what, now) {
                messages.push(state.notify(what, &format!("webhook from {sender}")));
            }
        }
        drop(state);
        self.paused.notify_one();
        self.say(messages);
        Passed::On(followers)
    }

    /// Passes on what waits for the end of a pause, for ever.
    pub async fn pass_on_when_due(&self) {
        loop {
            let next = self.state().pace.next();
            match next {
                None => self.paused.notified().await,
                Some(due) => {
                    tokio::time::sleep(due.saturating_sub(self.now())).await;
                    let mut state = self.state();
                    let due = state.pace.due(self.started.elapsed());
                    let messages = due.iter().map(|what| state.notify(what, "webhooks since the last one")).collect();
                    drop(state);
                    self.say(messages);
                }
            }
        }
    }

    /// Has the replica that leads know of what was passed on here, for ever: a request comes to any of them. It learns of that
    /// by an annotation of the sync's parent. Nothing else is ever written by a follower.
    pub async fn pass_on_to_leader(&self, leadership: &Leadership, own: &Cluster, namespace: &str) {
        let mut failing = false;
        loop {
            self.passed.notified().await;
            let syncs = std::mem::take(&mut self.state().for_leader);
            if leadership.is_held() {
                continue;
            }
            for (sync, of) in syncs {
                let kind = if of == Of::Chart { CHART_HINT } else { "" };
                let value = format!("{}{kind}", Timestamp::now());
                let parent = parent_id(namespace, &sync);
                match own.annotate(&parent, &config_maps(), &json!({ names::HINTED: value })).await {
                    Ok(()) => failing = false,
                    // A sync that was never applied.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            let message = format!(
                                "cannot pass a webhook on to the replica that leads, by annotating {parent}: {error}; \
                                 it polls at the interval of the sync"
                            );
                            (self.emit)(&Event::Trouble { message });
                        }
                    }
                }
            }
        }
    }

    fn say(&self, messages: Vec<String>) {
        if !messages.is_empty() {
            self.passed.notify_one();
        }
        for message in messages {
            (self.emit)(&Event::Note { message });
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notifies those who follow it; gives a line for the log.
    fn notify(&mut self, what: &(Of, Location), from: &str) -> String {
        let (of, location) = what;
        let mut names = Vec::new();
        for (name, target) in self.syncs.iter().filter(|(_, target)| target.follows.contains(what)) {
            target.hinted.notify(*of);
            self.for_leader.insert((name.clone(), *of));
            names.push(name.as_str());
        }
        let does = if *of == Of::Chart { "its chart is compared" } else { "it is polled" };
        format!("{from}: {location} has changed, so {does} now for {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::config::parse;

    fn hints() -> (Hints, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let emitted = Arc::clone(&said);
        let hints = Hints::new(Arc::new(move |event: &Event| {
            if let Event::Note { message } = event {
                emitted.lock().unwrap().push(message.clone());
            }
        }));
        let text = "syncs:\n\
            - {name: one, source: {url: 'https://git.example.com/shop.git', branch: main}}\n\
            - {name: two, source: {url: 'git@git.example.com:shop', branch: main}, path: b}\n\
            - {name: other, source: {url: 'https://git.example.com/other', branch: main}}\n";
        hints.configure(&parse(text, "c.yaml").unwrap().syncs);
        (hints, said)
    }

    fn of(url: &str) -> BTreeSet<(Of, Location)> {
        [(Of::Git, Location::of(url).unwrap())].into()
    }

    fn name(name: &str) -> SyncName {
        SyncName::parse(name).unwrap()
    }

    fn is_hinted(hints: &Hints, sync: &str) -> bool {
        let hinted = hints.of(&name(sync)).unwrap();
        hinted.next().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_hint_reaches_the_syncs_of_its_repository_and_no_other() {
        let (hints, said) = hints();
        assert_eq!(hints.pass(Sender::Github, &of("ssh://git@git.example.com/shop"), Some("1")), Passed::On(2));
        assert!(is_hinted(&hints, "one") && is_hinted(&hints, "two") && !is_hinted(&hints, "other"));
        assert!(!is_hinted(&hints, "one"), "once");
        assert_eq!(hints.pass(Sender::Github, &of("https://git.example.com/nobodys"), Some("2")), Passed::Nobody);
        let said = said.lock().unwrap();
        assert_eq!(*said, ["webhook from GitHub: git.example.com/shop has changed, so it is polled now for one, two"]);
    }

    #[tokio::test]
    async fn a_flood_is_one_hint_now_and_one_later_and_the_same_delivery_is_none() {
        let (hints, said) = hints();
        let shop = of("https://git.example.com/shop");
        assert_eq!(hints.pass(Sender::Gitea, &shop, Some("1")), Passed::On(2));
        assert_eq!(hints.pass(Sender::Gitea, &shop, Some("1")), Passed::Before);
        for _ in 0..500 {
            assert_eq!(hints.pass(Sender::Gitea, &shop, None), Passed::On(2));
        }
        assert!(is_hinted(&hints, "one") && !is_hinted(&hints, "one"));
        assert_eq!(said.lock().unwrap().len(), 1);
        let due = hints.state().pace.next();
        assert!(due.is_some_and(|due| due <= hints.now() + crate::hook::PAUSE), "{due:?}");
        tokio::select! {
            () = hints.pass_on_when_due() => {}
            of = async { hints.of(&name("two")).unwrap().next().await } => assert_eq!(of, Of::Git),
        }
    }

    #[tokio::test]
    async fn a_sync_that_is_configured_otherwise_keeps_its_hints_and_follows_another_repository() {
        let (hints, _) = hints();
        let before = hints.of(&name("other")).unwrap();
        let text = "syncs: [{name: other, source: {url: 'https://git.example.com/new', branch: main}}]";
        hints.configure(&parse(text, "c.yaml").unwrap().syncs);
        assert!(hints.of(&name("one")).is_none());
        assert_eq!(hints.pass(Sender::Hmac, &of("https://git.example.com/other"), None), Passed::Nobody);
        assert_eq!(hints.pass(Sender::Hmac, &of("https://git.example.com/new"), None), Passed::On(1));
        assert_eq!(before.next().now_or_never(), Some(Of::Git));
    }
}
