//! Git, the cluster and the clock, as values that a test sets and reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::config::{DriftPolicy, PrunePolicy, Reference, RepoPath, Source, SyncConfig, SyncName};
use crate::object::{Change, Digest, DigestKey, Fingerprint, Manifest, ObjectId, Observed, Origin, Unreadable};
use crate::plan::{Inventory, Others, Phase, SyncStatus};

use super::answers::Begun;
use super::permits::Permits;
use super::relative::Seen;
use super::words::{number, word};
use crate::event::{Outcome, SyncEvent};
use crate::reconcile::backoff::mixed;
use crate::reconcile::{Effect, EffectError, EffectId, Input, Machine, Moment, RenderedCommit, UserRequests};

/// So many steps of each story are taken by a copy of the machine, too.
const COPIED: usize = 60;

pub const SET: &str = "applyset-ours-v1";

/// `shop` is the Namespace of all others, `job…` a Job that goes some time after its end, `thing…` a custom
/// resource, `class…` is in no namespace, everything else is a `ConfigMap`: `once…` says `mutation: ignore`, `fixed…` cannot be changed in
/// place and asks to be replaced.
pub fn id(name: &str) -> ObjectId {
    match name {
        "shop" => ObjectId::new("", "Namespace", None, name),
        _ if name.starts_with("job") => ObjectId::new("batch", "Job", Some("shop"), name),
        _ if name.starts_with("thing") => ObjectId::new("e.com", "Thing", Some("shop"), name),
        _ if name.starts_with("class") => ObjectId::new("node.k8s.io", "RuntimeClass", None, name),
        _ => ObjectId::new("", "ConfigMap", Some("shop"), name),
    }
}

/// The content of one commit: names and values; what of it cannot be rendered.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub objects: BTreeMap<String, String>,
    /// Files that are no manifests.
    pub broken: usize,
    /// The whole commit cannot be rendered.
    pub fails: bool,
}

#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own that a test sets")]
pub struct World {
    pub config: Arc<SyncConfig>,
    pub now: Duration,
    /// Delays are some longer and some shorter.
    pub jitter: bool,
    pub head: Result<String, EffectError>,
    pub commits: BTreeMap<String, Content>,
    pub live: BTreeMap<ObjectId, Observed>,
    pub unreadable: Unreadable,
    pub others: Others,
    /// The parent as it is stored.
    pub parent: Option<(Inventory, SyncStatus)>,
    pub requests: UserRequests,
    /// Objects that the server refuses, to apply or to delete.
    pub refused: BTreeSet<String>,
    /// Objects that it refuses to apply as long as another one is there.
    pub barred: BTreeMap<String, String>,
    /// Replacements of them fail between deletion and creation.
    pub unmade: BTreeSet<String>,
    /// Objects that never become healthy by themselves.
    pub unhealthy: BTreeSet<String>,
    /// Objects that wait for a finalizer when they are deleted.
    pub finalized: BTreeSet<String>,
    pub parent_refused: bool,
    pub unobservable: bool,
    pub machine: Machine,
    pub pending: VecDeque<Effect>,
    /// The effects so far, each a word.
    pub log: Vec<String>,
    pub events: Vec<SyncEvent>,
    /// The commit that was rendered last, and the one that is worked on.
    pub rendered: Option<String>,
    pub observed: Option<Arc<RenderedCommit>>,
    /// Ends the machine at this effect, counted from 0.
    pub kill: Option<(usize, Crash)>,
    /// Requests that the effect which is carried out sends before the machine ends; `None`: all of them.
    pub requests_left: Option<usize>,
    pub killed: bool,
    pub steps: usize,
    /// The newest poll failed.
    pub blind: bool,
    /// What was approved, and whether the newest poll had failed, when the last prune was asked for.
    pub asked: (Option<String>, bool),
    pub uids: u64,
    pub versions: u64,
    /// What the watches have seen and not delivered yet.
    pub undelivered: VecDeque<Change>,
    /// The watches stand, and lost nothing since the machine went through everything.
    pub watched: bool,
    /// Who drifts objects.
    pub culprit: Option<Arc<str>>,
    /// Objects with a difference that no metadata shows.
    pub tampered: BTreeSet<String>,
    /// Effects that are under way and were notified to begin nothing more.
    pub interrupted: BTreeSet<EffectId>,
    /// How far they get; `None`: some like this and some like that.
    pub begun: Option<Begun>,
    /// Effects that a test has taken out of those that are to be answered.
    pub taken: BTreeSet<EffectId>,
    /// For so many fetches the branch has moved on since it was polled.
    pub moves: usize,
    pub permits: Permits,
    /// A replica that stands by, and the commit that it has rendered.
    pub standby: Option<(Machine, Option<String>)>,
    /// The sets that the stored status showed as held, by commit and digest.
    pub shown: BTreeMap<(String, String), BTreeSet<ObjectId>>,
    /// What was deleted by the approval that there is.
    pub spent: BTreeSet<ObjectId>,
    /// Objects that prove to be another one whenever they are about to be deleted.
    pub elusive: BTreeSet<String>,
    /// Fields that others wrote since the last apply.
    pub lost: BTreeMap<ObjectId, BTreeSet<String>>,
}

fn config(change: impl FnOnce(&mut SyncConfig)) -> Arc<SyncConfig> {
    let mut config = SyncConfig {
        name: SyncName::parse("shop").unwrap(),
        source: Source {
            url: "https://git.example.com/shop.git".into(),
            reference: Reference::Branch("main".into()),
            auth: None,
            verify: None,
        },
        path: RepoPath::default(),
        interval: Duration::from_mins(1),
        prune: PrunePolicy::default(),
        drift: DriftPolicy::Heal,
        managers: Arc::default(),
        atomic: false,
        wait: true,
        timeout: Duration::from_mins(5),
        depends_on: Vec::new(),
        suspend: false,
        service_account: None,
        target_namespace: Some("shop".into()),
        render: Arc::default(),
        audit: crate::config::AuditPolicy::default(),
    };
    change(&mut config);
    Arc::new(config)
}

/// Delays are as long as they may be: polls come once in an interval.
pub fn moment(mono: Duration) -> Moment {
    let wall = Timestamp::from_second(1_800_000_000).unwrap() + jiff::SignedDuration::try_from(mono).unwrap();
    Moment { mono, wall, random: u64::MAX }
}

/// `after NAME` is the value of an object that depends on that one.
pub fn manifest(name: &str, value: &str) -> Arc<Manifest> {
    let mut object = match &*id(name).gk.kind {
        "Namespace" => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
        "Job" => json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"ttlSecondsAfterFinished": 60, "value": value}}),
        "Thing" => json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"value": value}}),
        _ if name.starts_with("class") => json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
            "metadata": {"name": name}, "handler": value}),
        _ if name.starts_with("once") => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name,
            "namespace": "shop", "annotations": {crate::object::names::MUTATION: "ignore"}}, "data": {"value": value}}),
        _ if name.starts_with("fixed") => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name,
            "namespace": "shop", "annotations": {crate::object::names::REPLACE: "true"}}, "data": {"value": value}}),
        _ => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"},
            "data": {"value": value}}),
    };
    if let Some(on) = value.strip_prefix("after ") {
        let on = format!("/namespaces/shop/ConfigMap/{on}");
        object["metadata"]["annotations"] = json!({crate::object::names::DEPENDS_ON: on});
    }
    Arc::new(Manifest::from_value(object, Origin { file: format!("{name}.yaml").into(), line: 1 }).unwrap())
}

pub fn key() -> DigestKey {
    DigestKey::new([7; 32])
}

pub fn digest(name: &str, value: &str) -> Digest {
    manifest(name, value).digest(&key())
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut SyncConfig)) -> Self {
        let config = config(change);
        let machine =
            Machine::new(Arc::clone(&config), SET.into(), None, UserRequests::default(), moment(Duration::ZERO));
        let mut world = Self {
            config,
            now: Duration::ZERO,
            jitter: false,
            head: Err("the branch does not exist".into()),
            commits: BTreeMap::new(),
            live: BTreeMap::new(),
            unreadable: Unreadable::default(),
            others: Others::default(),
            parent: None,
            requests: UserRequests::default(),
            refused: BTreeSet::new(),
            barred: BTreeMap::new(),
            unmade: BTreeSet::new(),
            unhealthy: BTreeSet::new(),
            finalized: BTreeSet::new(),
            parent_refused: false,
            unobservable: false,
            machine,
            pending: VecDeque::new(),
            log: Vec::new(),
            events: Vec::new(),
            rendered: None,
            observed: None,
            kill: None,
            requests_left: None,
            killed: false,
            steps: 0,
            blind: false,
            asked: (None, false),
            uids: 0,
            versions: 0,
            undelivered: VecDeque::new(),
            watched: false,
            culprit: None,
            tampered: BTreeSet::new(),
            interrupted: BTreeSet::new(),
            begun: None,
            taken: BTreeSet::new(),
            moves: 0,
            permits: Permits::default(),
            standby: None,
            shown: BTreeMap::new(),
            spent: BTreeSet::new(),
            elusive: BTreeSet::new(),
            lost: BTreeMap::new(),
        };
        world.step(Input::Tick);
        world
    }

    /// A world in which a commit with these objects is synced.
    pub fn synced(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut world = Self::new();
        world.push("first", names);
        world.pass(10);
        assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
        world.forget();
        world
    }

    /// Makes a commit the head of the branch.
    pub fn push(&mut self, commit: &str, names: impl IntoIterator<Item = impl Into<String>>) -> &mut Content {
        let objects = names.into_iter().map(|name| (name.into(), "1".to_owned())).collect();
        self.head = Ok(commit.into());
        self.commits.insert(commit.into(), Content { objects, ..Content::default() });
        self.commits.get_mut(commit).unwrap()
    }

    /// What a commit declares under the configured path: under any other than the first, every second
    /// object, with another value.
    pub fn content(&self, commit: &str) -> Content {
        let mut content = self.commits[commit].clone();
        if self.config.path != RepoPath::default() {
            content.objects = content.objects.into_iter().step_by(2).map(|(name, _)| (name, "other".into())).collect();
        }
        content
    }

    /// Forgets what was logged and reported.
    pub fn forget(&mut self) {
        self.undelivered.clear();
        self.log.clear();
        self.events.clear();
    }

    pub fn phase(&self) -> Phase {
        self.machine.status().phase
    }

    pub fn names(&self) -> Vec<&str> {
        self.live.keys().map(|id| &*id.name).collect()
    }

    pub fn stored(&self) -> Vec<&str> {
        self.parent.iter().flat_map(|(inventory, _)| inventory.keys()).map(|id| &*id.name).collect()
    }

    pub fn live(&mut self, name: &str) -> &mut Observed {
        self.live.get_mut(&id(name)).unwrap()
    }

    pub fn is_as_in(&self, commit: &str) -> bool {
        let objects = self.content(commit).objects;
        objects.len() == self.live.len()
            && objects.iter().all(|(name, value)| {
                self.live.get(&id(name)).is_some_and(|live| {
                    let digest = digest(name, value);
                    live.digest == Some(digest)
                        && live.fingerprint == Some(print(&digest))
                        && live.part_of.as_deref() == Some(SET)
                })
            })
    }

    /// How often an effect was asked for.
    pub fn count(&self, word: &str) -> usize {
        self.log.iter().filter(|entry| entry.split(' ').next() == Some(word)).count()
    }

    pub fn writes(&self) -> usize {
        self.count("WriteParent") + self.count("Apply") + self.count("Prune") + self.count("Heal")
    }

    pub fn ended(&self) -> Vec<Outcome> {
        let outcome = |event: &SyncEvent| match event {
            SyncEvent::Ended(ended) => Some(ended.outcome),
            _ => None,
        };
        self.events.iter().filter_map(outcome).collect()
    }

    pub fn held_events(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, SyncEvent::PruneHeld(_))).count()
    }

    fn moment(&self) -> Moment {
        let random = if self.jitter { mixed(u64::try_from(self.steps).unwrap()) } else { u64::MAX };
        Moment { random, ..moment(self.now) }
    }

    pub fn step(&mut self, input: Input) {
        if self.killed {
            return;
        }
        self.steps += 1;
        // The state is a value: a copy of it decides the same.
        let mut copy = (self.steps < COPIED).then(|| self.machine.clone());
        let seen = (self.steps < COPIED).then(|| Seen::of(&self.machine, self.now));
        let again = copy.as_mut().map(|copy| copy.step(input.clone(), self.moment()));
        let taken = input.clone();
        let effects = self.machine.step(input, self.moment());
        if let Some(seen) = seen {
            seen.takes(&taken, &effects, &self.machine, self.moment());
        }
        if let Some(again) = again {
            assert!(again == effects, "a copy asks for {again:?}, the machine for {effects:?}");
            assert!(copy.as_ref() == Some(&self.machine), "a copy took the same input and is another: {copy:?}");
        }
        for effect in effects {
            match effect {
                Effect::Emit(event) => self.events.push(event),
                Effect::Interrupt { id } => {
                    let known = self.taken.contains(&id) || self.pending.iter().any(|effect| number(effect) == id);
                    assert!(known && self.interrupted.insert(id), "{id} is interrupted once, while it is under way");
                }
                Effect::Declare { .. } => self.log.push(word(&effect)),
                effect => {
                    self.permitted(&effect);
                    if matches!(effect, Effect::Apply { .. } | Effect::Prune { .. }) {
                        self.asked = (self.requests.approved.clone(), self.blind);
                    }
                    self.log.push(word(&effect));
                    self.pending.push_back(effect);
                }
            }
        }
        self.nothing_goes_on();
    }

    /// Starts what is due and answers every effect, until nothing is under way.
    pub fn drain(&mut self) {
        while self.machine.wake_at().is_some_and(|due| due <= self.now) || !self.pending.is_empty() {
            assert!(self.steps < 200_000, "it does not come to rest: {:?}", &self.log[self.log.len() - 20..]);
            match self.pending.pop_front() {
                Some(effect) => self.execute(effect),
                None => self.step(Input::Tick),
            }
            if self.killed {
                return;
            }
        }
    }

    /// Lets so many seconds pass.
    pub fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        loop {
            self.drain();
            if self.killed {
                return;
            }
            match self.machine.wake_at().filter(|due| *due <= until) {
                Some(due) => self.now = self.now.max(due),
                None => break,
            }
        }
        self.now = until;
    }

    /// Carries out effects until one of this kind is asked for, which is left to be answered.
    pub fn until(&mut self, kind: &str) -> EffectId {
        for _ in 0..1000 {
            if let Some(at) = self.pending.iter().position(|effect| word(effect).split(' ').next() == Some(kind)) {
                return number(&self.pending[at]);
            }
            if let Some(effect) = self.pending.pop_front() {
                self.execute(effect);
                continue;
            }
            self.now = self.now.max(self.machine.wake_at().expect("something is to come"));
            self.step(Input::Tick);
        }
        panic!("no {kind} in {:?}", self.log)
    }

    /// Whether an effect of this kind is to be answered.
    pub fn is_under_way(&self, kind: &str) -> bool {
        self.pending.iter().any(|effect| word(effect).split(' ').next() == Some(kind))
    }

    /// Takes an effect out of those that are to be answered, to answer it later.
    pub fn take(&mut self, id: EffectId) -> Effect {
        let at = self.pending.iter().position(|effect| number(effect) == id).expect("it is under way");
        self.taken.insert(id);
        self.pending.remove(at).expect("it is there")
    }

    pub fn execute(&mut self, effect: Effect) {
        let countdown =
            self.kill.as_mut().map(|(count, crash)| (std::mem::replace(count, count.saturating_sub(1)), *crash));
        let crash = countdown.filter(|(count, _)| *count == 0).map(|(_, crash)| crash);
        self.killed |= crash.is_some();
        if crash == Some(Crash::Before) {
            return;
        }
        if let Some(Crash::Within(requests)) = crash {
            self.requests_left = Some(requests);
        }
        let input = self.answer(effect);
        self.requests_left = None;
        self.step(input);
    }

    /// Sends one request of an effect that has several; `false` where the machine has ended before.
    pub fn sends(&mut self) -> bool {
        match &mut self.requests_left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// When the machine ends at an effect. The answer comes in no case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Before its first request.
    Before,
    /// After so many of its requests: an apply and a prune have one for each object, and a replacement has two.
    Within(usize),
    /// After the last one.
    After,
}

impl Crash {
    /// Those that differ for effects of a few objects.
    pub const SOME: [Self; 5] = [Self::Before, Self::Within(1), Self::Within(2), Self::Within(5), Self::After];
}

/// The fingerprint of an object as our apply leaves it.
pub fn print(digest: &Digest) -> Fingerprint {
    Fingerprint::of(digest.to_string().as_bytes())
}
