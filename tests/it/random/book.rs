//! What one sync may do: what it declares by which commit and directory, what its inventory in the cluster
//! lists, and what somebody approved.

use std::collections::{BTreeMap, BTreeSet};

use driftless::inventory::Parent;
use driftless::object::{Commit, Short};
use serde_json::{Value, json};

use super::declared::{Content, DELETION, Dir, Places, State, Sync};
use super::rules::path_of;
use crate::support::fault::{Ask, Proxy};

/// Of the guard of `prune`, its defaults.
const ALWAYS_ALLOWED: usize = 5;
const PERCENT: usize = 20;

/// The answers to the writes of a run, by the numbers of the requests.
pub struct Exchanges {
    /// The objects in the server's answers.
    answers: BTreeMap<usize, Value>,
    /// Those that met no fault on the way to the agent, on a connection that stood until they came.
    received: BTreeSet<usize>,
}

impl Exchanges {
    pub fn of(proxy: &Proxy) -> Self {
        let writes: Vec<_> = proxy.seen().into_iter().filter(|one| one.ask.is_write()).collect();
        let received = writes.iter().filter(|one| one.fault.is_none() && one.delivered && one.took_effect());
        let received = received.map(|one| one.ask.number).collect();
        Self { received, answers: writes.iter().map(|one| (one.ask.number, one.answered())).collect() }
    }

    fn uid(&self, ask: &Ask) -> Option<&str> {
        self.answers.get(&ask.number)?["metadata"]["uid"].as_str()
    }
}

/// What is so for all syncs, as far as the record has been read.
pub struct Facts<'a> {
    pub places: &'a Places,
    pub exchanges: &'a Exchanges,
    pub commits: Vec<(String, State)>,
    /// What people have edited.
    pub touched: BTreeSet<String>,
    /// What each sync may declare now.
    pub named: BTreeMap<Sync, BTreeSet<String>>,
}

impl Facts<'_> {
    /// The position of the newest commit.
    pub fn newest(&self) -> usize {
        self.commits.len().saturating_sub(1)
    }
}

/// What is known of one sync.
pub struct Book {
    pub sync: Sync,
    pub set: String,
    /// The path of its parent.
    pub parent: String,
    /// The directories that it was configured to follow, one after the other.
    pub dirs: Vec<Dir>,
    /// The first of them that it may still follow, and the newest commit that it is known to have worked on.
    from: (usize, usize),
    /// The newest commit that its parent says it works on: by no older one is anything written, heals included.
    /// The other syncs may know less of it.
    works_on: usize,
    /// Suspended, with nothing under way; the newest commit then.
    pub still: Option<usize>,
    /// The parent as it is in the cluster.
    stored: Option<Parent>,
    /// For which commits somebody approved the deletion of what.
    approved: BTreeMap<String, BTreeSet<String>>,
    /// Deleted, and not made again.
    gone: BTreeSet<String>,
    /// What was applied last of what is there, by path.
    applied: BTreeMap<String, Value>,
    /// Said at its last apply that it is not to be deleted.
    detached: BTreeSet<String>,
    /// UIDs of all objects that it has applied.
    pub ours: BTreeSet<String>,
    /// UIDs of what it has applied last since the agent started, as it was reported.
    learned: BTreeMap<String, String>,
}

impl Book {
    pub fn new(sync: Sync, places: &Places) -> Self {
        let dir = match sync {
            Sync::Shop => Dir::Shop,
            Sync::Till => Dir::Till,
            Sync::Yard => Dir::Yard,
        };
        Self {
            sync,
            set: places.set(sync),
            parent: places.parent(sync),
            dirs: vec![dir],
            from: (0, 0),
            works_on: 0,
            still: None,
            stored: None,
            approved: BTreeMap::new(),
            gone: BTreeSet::new(),
            applied: BTreeMap::new(),
            detached: BTreeSet::new(),
            ours: BTreeSet::new(),
            learned: BTreeMap::new(),
        }
    }

    /// What it may be working on: the directories from one on, and the commits from one on.
    fn open<'f>(&self, facts: &'f Facts<'_>) -> impl Iterator<Item = ((usize, usize), &'f str, Content)> + use<'f> {
        let (dir, commit) = self.from;
        let dirs: Vec<(usize, Dir)> = self.dirs.iter().copied().enumerate().skip(dir).collect();
        let commits = facts.commits.iter().enumerate().skip(commit);
        commits.flat_map(move |(commit, (id, state))| {
            let contents: Vec<_> = dirs.iter().map(|(dir, of)| ((*dir, commit), id.as_str(), state.of(*of))).collect();
            contents
        })
    }

    /// Whether one of those fits. It works on none that is older than all that do.
    fn since(&mut self, facts: &Facts<'_>, fits: impl Fn(&Self, &str, &Content) -> bool) -> bool {
        let newer = self.open(facts).filter(|((_, commit), ..)| *commit >= self.works_on);
        let fitting: Vec<_> = newer.filter(|(_, id, content)| fits(self, id, content)).map(|(at, ..)| at).collect();
        let dir = fitting.iter().map(|(dir, _)| *dir).min();
        let commit = fitting.iter().map(|(_, commit)| *commit).min();
        let Some(from) = dir.zip(commit) else { return false };
        self.from = from;
        true
    }

    /// An agent starts. It polls git before it does anything.
    pub fn started(&mut self, clean: bool, newest: usize) {
        self.learned.clear();
        if clean {
            self.from.1 = self.from.1.max(newest);
        }
    }

    /// It is resumed: it polls git before it does anything.
    pub fn resumed(&mut self, newest: usize) {
        if self.still.take().is_some() {
            self.from.1 = self.from.1.max(newest);
        }
    }

    pub fn approved(&mut self, commit: &str, shown: &BTreeSet<String>) {
        self.approved.insert(commit.to_owned(), shown.clone());
    }

    /// Content comes from one commit, never from an older one than before, and the inventory in
    /// the cluster lists the object already.
    pub fn may_apply(&mut self, ask: &Ask, path: &str, facts: &Facts<'_>) -> Result<(), String> {
        if !self.listed(path) {
            return Err("it is written, and the inventory in the cluster does not list it".into());
        }
        let body = unmarked(ask)?;
        if self.since(facts, |_, _, content| content.sent(facts.places).get(path) == Some(&body)) {
            return Ok(());
        }
        let older = facts.commits.iter().position(|(_, state)| {
            self.dirs.iter().any(|dir| state.of(*dir).sent(facts.places).get(path) == Some(&body))
        });
        Err(format!("its content is that of no commit and directory since {:?} (older: {older:?}): {body}", self.from))
    }

    pub fn may_take_over(&mut self, ask: &Ask, path: &str, facts: &Facts<'_>) -> Result<(), String> {
        let change = ask.object();
        let fields = change.as_array().ok_or("a patch that is no takeover")?;
        let known = ["/metadata/uid", "/metadata/managedFields", "/metadata/resourceVersion"];
        if !fields.iter().all(|field| known.iter().any(|known| field["path"] == *known)) {
            return Err(format!("a patch that is no takeover: {change}"));
        }
        let declared = self.since(facts, |_, _, content| content.sent(facts.places).contains_key(path));
        declared.then_some(()).ok_or_else(|| "it is patched, and no commit declares it".into())
    }

    /// The agent's metadata alone, of what says that it is not to be deleted.
    pub fn may_release(&mut self, ask: &Ask, path: &str, facts: &Facts<'_>) -> Result<(), String> {
        let change = ask.object();
        let wanted = json!({"metadata": {"uid": change["metadata"]["uid"],
            "labels": {"applyset.kubernetes.io/part-of": null}, "annotations": {"driftless.dev/digest": null}}});
        if change != wanted {
            return Err(format!("a patch that does more than let go: {change}"));
        }
        let uid = change["metadata"]["uid"].as_str().ok_or("it names no UID")?;
        // What somebody put in its place, metadata and all, may lose that: nothing else of it goes.
        if !facts.touched.contains(path) {
            self.is_ours(uid)?;
        }
        self.may_part(path, facts)
    }

    pub fn may_delete(&mut self, ask: &Ask, path: &str, facts: &Facts<'_>) -> Result<(), String> {
        if ask.resource == "namespaces" {
            return Err("Namespaces are kept".into());
        }
        if self.detached.contains(path) {
            return Err("it said that it is not to be deleted".into());
        }
        let asked = ask.object();
        self.is_ours(asked["preconditions"]["uid"].as_str().ok_or("it has no UID precondition")?)?;
        self.may_part(path, facts)?;
        let allowed = |book: &Self, commit: &str, content: &Content| {
            let shown = book.approved.get(commit).is_some_and(|shown| shown.contains(path));
            book.removed(content, path, facts) && (shown || book.passes(content, facts))
        };
        let allowed = self.since(facts, allowed);
        allowed
            .then_some(())
            .ok_or_else(|| "the guard holds such a prune, and nobody was shown it and approved it".into())
    }

    /// The very object that the sync has applied.
    fn is_ours(&self, uid: &str) -> Result<(), String> {
        let known = self.ours.contains(uid);
        known.then_some(()).ok_or_else(|| format!("the UID {uid} is of no object that it has applied"))
    }

    /// Only what is in the inventory, and is not declared by a commit that was applied whole.
    fn may_part(&mut self, path: &str, facts: &Facts<'_>) -> Result<(), String> {
        if !self.listed(path) {
            return Err("the inventory in the cluster does not list it".into());
        }
        let parts = self.since(facts, |book, _, content| book.removed(content, path, facts));
        parts
            .then_some(())
            .ok_or_else(|| "every commit since declares it, cannot be trusted, or was not applied whole before".into())
    }

    /// Whether a commit can be applied whole, was, and does not declare an object.
    fn removed(&self, content: &Content, path: &str, facts: &Facts<'_>) -> bool {
        let sent = content.sent(facts.places);
        let applied = |(path, wanted): (&String, &Value)| {
            // Of what people have edited, only the agent knows whether there was anything to apply.
            facts.touched.contains(path) || self.applied.get(path) == Some(wanted)
        };
        content.is_good() && !sent.contains_key(path) && sent.iter().all(applied)
    }

    /// Whether the guard lets the prune of a commit pass. What people have edited is not counted,
    /// since the agent may have kept it.
    fn passes(&self, content: &Content, facts: &Facts<'_>) -> bool {
        let Some(stored) = &self.stored else { return false };
        let declared = content.sent(facts.places);
        let orphans = stored.inventory.keys().filter(|id| &*id.gk.kind != "Namespace").map(path_of);
        // What was refused is listed as well, and was never there.
        let orphans = orphans.filter(|path| self.applied.contains_key(path) && !self.gone.contains(path));
        let orphans = orphans.filter(|path| !declared.contains_key(path));
        // What another sync declares stays for that one.
        let others = || facts.named.iter().filter(|(sync, _)| **sync != self.sync);
        let orphans = orphans.filter(|path| !others().any(|(_, named)| named.contains(path)));
        let orphans = orphans.filter(|path| !facts.touched.contains(path) && !self.detached.contains(path));
        let count = orphans.count();
        let total = stored.inventory.values().filter(|recorded| !recorded.unconfirmed).count();
        !declared.is_empty() && (count <= ALWAYS_ALLOWED || count * 100 <= PERCENT * total)
    }

    /// Whether it may be known to declare an object no longer: by a commit which it could receive and whose files
    /// can all be read. What the API server refuses of them is declared all the same.
    pub fn lets_go(&self, path: &str, facts: &Facts<'_>) -> bool {
        let received = |commit: usize| self.still.is_none_or(|newest| commit <= newest);
        self.open(facts).any(|((_, commit), _, content)| {
            received(commit) && !content.broken && !content.sent(facts.places).contains_key(path)
        })
    }

    /// All that it may declare now.
    pub fn names(&self, facts: &Facts<'_>) -> BTreeSet<String> {
        self.open(facts).flat_map(|(_, _, content)| content.sent(facts.places).into_keys()).collect()
    }

    fn listed(&self, path: &str) -> bool {
        self.stored.as_ref().is_some_and(|parent| parent.inventory.keys().any(|id| path_of(id) == path))
    }

    /// What was learned is in the parent by the time that the agent has ended.
    pub fn has_stored_what_it_learned(&self) -> Result<(), String> {
        let Some(stored) = &self.stored else { return Ok(()) };
        for (id, recorded) in &stored.inventory {
            if let Some(uid) = self.learned.get(&path_of(id))
                && recorded.uid != Short::of(uid)
            {
                let of = self.sync.name();
                return Err(format!(
                    "{of} ended without storing that it applied {id} with the UID {uid}: {recorded:?}"
                ));
            }
        }
        Ok(())
    }

    /// The parent was written.
    pub fn stores(&mut self, ask: &Ask, facts: &Facts<'_>) {
        if ask.verb != "apply" {
            return;
        }
        let parent = Parent::from_live(&ask.object(), &[]).expect("a parent as the agent writes it");
        let position =
            |of: Option<&Commit>| facts.commits.iter().rposition(|(id, _)| of.is_some_and(|of| of.id == *id));
        let (synced, attempted) = (parent.status.synced.as_ref(), parent.status.attempted.as_ref());
        self.from.1 = self.from.1.max(position(synced).unwrap_or_default());
        self.works_on = self.works_on.max(position(attempted).unwrap_or_default());
        let mut dirs = self.dirs.iter().enumerate().skip(self.from.0);
        if let Some((follows, _)) = dirs.find(|(_, dir)| dir.path() == parent.status.path) {
            self.from.0 = follows;
        }
        self.stored = Some(parent);
    }

    pub fn applied(&mut self, ask: &Ask, path: &str, facts: &Facts<'_>) {
        let uid = facts.exchanges.uid(ask);
        self.ours.extend(uid.map(ToOwned::to_owned));
        if let Some(uid) = uid.filter(|_| facts.exchanges.received.contains(&ask.number)) {
            self.learned.insert(path.to_owned(), uid.to_owned());
        } else {
            self.learned.remove(path);
        }
        self.gone.remove(path);
        self.applied.insert(path.to_owned(), unmarked(ask).unwrap_or_default());
        if ask.object()["metadata"]["annotations"][DELETION] == "detach" {
            self.detached.insert(path.to_owned());
        } else {
            self.detached.remove(path);
        }
    }

    /// Another sync has applied an object.
    pub fn is_taken(&mut self, path: &str) {
        self.learned.remove(path);
        if self.applied.remove(path).is_some() {
            self.gone.insert(path.to_owned());
        }
    }

    pub fn deleted(&mut self, path: &str) {
        self.learned.remove(path);
        self.gone.insert(path.to_owned());
    }
}

/// What is sent, without the agent's metadata.
pub fn unmarked(ask: &Ask) -> Result<Value, String> {
    let mut body = ask.object();
    for (map, key) in [("labels", "applyset.kubernetes.io/part-of"), ("annotations", "driftless.dev/digest")] {
        let metadata = body["metadata"][map].as_object_mut().ok_or_else(|| format!("it has no {map}"))?;
        metadata.remove(key).ok_or_else(|| format!("it has no {key}"))?;
    }
    // No run declares any.
    body["metadata"].as_object_mut().ok_or("it has no metadata")?.remove("labels");
    Ok(body)
}

/// The path of the object of a request.
pub fn target(ask: &Ask) -> String {
    ask.path_and_query.split('?').next().unwrap_or_default().to_owned()
}
