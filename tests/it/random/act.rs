//! Carrying out what happens in a random run.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use driftless::inventory::Parent;
use driftless::object::Commit;
use driftless::plan::{Approval, Phase};
use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};

use super::action::{Action, Change, ManualEdit, Spoil, fault};
use super::declared::{Dir, State, Sync, Thing};
use super::rules::{Entry, path_of};
use super::run::World;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Fault, Rule};

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// So long is waited for what may not come. Who does not end so soon after SIGTERM is killed, as by a kubelet.
const SOON: Duration = Duration::from_millis(1500);
/// Longer than an object that is being written goes without a request, also one that meets faults.
const OVER: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Commit(changes) => {
                let mut state = self.commits.last().cloned().unwrap_or_default();
                for change in changes {
                    apply(change, &mut state);
                }
                self.commit(state);
            }
            Action::Revert => {
                let before = self.commits.len().saturating_sub(2).max(1);
                self.commit(self.commits[before].clone());
            }
            Action::ManualEdit(edit, thing) => self.by_hand(*edit, *thing),
            Action::Spoil(spoil) => self.spoil(spoil),
            Action::Calm => self.calm(),
            Action::Kill => self.bury(),
            Action::Crash(number, side) => {
                let frozen = self.proxy.freeze_at(*number, *side);
                let _ = soon(|| frozen.is_reached());
                self.bury();
                self.proxy.thaw();
            }
            Action::Stop => self.stop(),
            Action::Suspend(sync) => self.annotate(*sync, "driftless.dev/suspend", &json!("true")),
            Action::Still(sync) => self.be_still(*sync),
            Action::Resume(sync) => self.resume(*sync),
            Action::Approve(sync) => self.approve(*sync),
            Action::Hurry(sync) => {
                let now = jiff::Timestamp::now().to_string();
                self.annotate(*sync, "driftless.dev/sync-requested-at", &json!(now));
            }
            Action::Follow(dir) => self.follow(*dir),
            Action::Wait(time) => thread::sleep(*time),
            Action::Requests(more) => {
                let before = self.proxy.count();
                let _ = soon(|| self.proxy.count() >= before + more);
            }
            Action::Settle => {
                let head = self.site.repo.head();
                let settled = || self.parent(Sync::Shop).is_some_and(|parent| is_done(&parent, &head));
                let _ = soon(settled);
            }
        }
    }

    fn stop(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let killed = std::process::Command::new("kill").args(["-TERM", &agent.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        self.clean = soon(|| agent.has_ended());
        if self.clean {
            self.note(Entry::Stopped { calm: self.calm });
        }
        self.bury();
    }

    /// Waits until a suspended sync says so, and until what it had under way has ended: for so long no
    /// write has come that it is over, whatever it meets. Then nothing more may be written.
    fn be_still(&mut self, sync: Sync) {
        let Some(agent) = &mut self.agent else { return };
        let said = soon(|| agent.serves() && agent.try_sync(sync.name())["phase"] == "Suspended");
        let writes = || self.proxy.seen().iter().filter(|one| one.ask.is_write()).count();
        let (until, mut count, mut since) = (Instant::now() + OVER * 3, writes(), Instant::now());
        while said && Instant::now() < until {
            if writes() != count {
                (count, since) = (writes(), Instant::now());
            }
            if since.elapsed() >= OVER {
                return self.note(Entry::Still(sync));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn resume(&self, sync: Sync) {
        self.note(Entry::Resumed(sync));
        self.annotate(sync, "driftless.dev/suspend", &Value::Null);
    }

    fn follow(&mut self, dir: Dir) {
        self.note(Entry::Follows(dir));
        self.dir = dir;
        self.configure();
    }

    /// As the commands of driftless do it, which would have to go through the faults.
    pub(super) fn annotate(&self, sync: Sync, name: &str, value: &Value) {
        let change = json!({"metadata": {"annotations": {name: value}}});
        let path = format!("{}?fieldManager=driftless-cli", self.places.parent(sync));
        let answer = cluster().ask(&Method::PATCH, &path, MERGE, Some(&change));
        assert!(matches!(answer, Ok(_) | Err(404)), "the parent, where there is one, can be annotated: {answer:?}");
    }

    pub(super) fn parent(&self, sync: Sync) -> Option<Parent> {
        Parent::from_live(&cluster().get(&self.places.parent(sync))?, &[]).ok()
    }

    /// Approves what is shown as held.
    pub(super) fn approve(&self, sync: Sync) {
        let Some(held) = self.parent(sync).and_then(|parent| parent.status.held) else { return };
        let shown = held.objects.iter().map(path_of).collect();
        self.note(Entry::Approved { sync, commit: held.commit.clone(), shown });
        let value = Approval::value_for(&held, &jiff::Timestamp::now().to_string());
        self.annotate(sync, "driftless.dev/approve", &json!(value));
    }

    fn spoil(&mut self, spoil: &Spoil) {
        self.calm = false;
        match spoil {
            Spoil::Some { fault, verbs, times } => drop(self.proxy.add(Rule::on(fault.clone(), verbs).times(*times))),
            Spoil::Storm { seed, percent } => {
                let (rng, percent) = (Mutex::new(Rng::with_seed(*seed)), *percent);
                self.proxy.add(Rule::by(move |_| {
                    let mut rng = rng.lock().expect("the dice");
                    (rng.u8(..100) < percent).then(|| fault(&mut rng))
                }));
            }
            Spoil::Refuse => self.proxy.refuse(true),
            Spoil::Stall => self.proxy.stall_watches(true),
            Spoil::Cut => self.proxy.cut_watches(),
            Spoil::Expire => self.proxy.expire_watches(),
            Spoil::Pages => {
                self.proxy.pages_of(2);
                let expired = Fault::Answer(410, None);
                self.proxy.add(Rule::by(move |ask| ask.later_page.then(|| expired.clone())).times(3));
            }
            Spoil::Down(group) => self.proxy.take_down(Some(group)),
            Spoil::Past(commits) => {
                let of = self.versions.len().saturating_sub(commits + 1);
                self.proxy.answer_as_of(&self.versions[of]);
            }
        }
    }

    pub(super) fn calm(&mut self) {
        self.calm = true;
        self.proxy.clear();
        self.proxy.refuse(false);
        self.proxy.catch_up();
        self.proxy.take_down(None);
    }

    fn by_hand(&mut self, edit: ManualEdit, thing: Thing) {
        let (at, change) = thing.by_hand(&self.places, "by hand");
        self.note(Entry::Touched(at.clone()));
        let merge = |manager: &str, change: &Value| {
            // What is not there cannot be changed.
            let _ = cluster().ask(&Method::PATCH, &format!("{at}?fieldManager={manager}"), MERGE, Some(change));
        };
        match edit {
            ManualEdit::Edit => merge("somebody", &change),
            ManualEdit::EditWithKubectl => merge("kubectl-edit", &change),
            ManualEdit::Delete => cluster().delete(&format!("{at}?propagationPolicy=Background")),
            ManualEdit::Unlabel => {
                merge("somebody", &json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}}));
            }
            ManualEdit::Unannotate => {
                merge("somebody", &json!({"metadata": {"annotations": {"driftless.dev/digest": null}}}));
            }
            ManualEdit::WipeManagers => merge("somebody", &json!({"metadata": {"managedFields": [{}]}})),
            ManualEdit::Recreate | ManualEdit::Restore => self.replace(&at, &change, edit == ManualEdit::Restore),
            ManualEdit::Copy => {
                let Some(live) = cluster().get(&at) else { return };
                self.copies += 1;
                self.foreign_map(&format!("copy{}", self.copies), &live["metadata"]);
            }
            ManualEdit::Add | ManualEdit::AddWithKubectl => {
                let manager = if edit == ManualEdit::Add { "somebody" } else { "kubectl" };
                self.add(thing, manager);
            }
            ManualEdit::Status => {
                let _ = cluster().ask(
                    &Method::PATCH,
                    &format!("{at}/status?fieldManager=somebody"),
                    MERGE,
                    Some(&json!({"status": {"unavailableReplicas": 1}})),
                );
            }
        }
    }

    /// Adds a field to an object that is there, by server-side apply.
    fn add(&self, thing: Thing, manager: &str) {
        let (at, mut change) = thing.addition(&self.places, "by hand");
        let Some(live) = cluster().get(&at) else { return };
        (change["apiVersion"], change["kind"]) = (live["apiVersion"].clone(), live["kind"].clone());
        change["metadata"]["name"] = live["metadata"]["name"].clone();
        // Of the object that was there, and of no other.
        change["metadata"]["uid"] = live["metadata"]["uid"].clone();
        let path = format!("{at}?fieldManager={manager}");
        let _ = cluster().ask(&Method::PATCH, &path, APPLY, Some(&change));
    }

    /// Deletes an object and makes another one of its name, if it is one that can be made again.
    fn replace(&mut self, at: &str, change: &Value, marked: bool) {
        let Some(live) = cluster().get(at).filter(|live| live["kind"] != "Job") else { return };
        let mut metadata = json!({"name": live["metadata"]["name"]});
        if marked {
            metadata["labels"] = live["metadata"]["labels"].clone();
            metadata["annotations"] = live["metadata"]["annotations"].clone();
        }
        let mut object = json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata});
        for field in ["data", "spec"] {
            let of = if change[field].is_object() && field == "data" { change } else { &live };
            if of[field].is_object() {
                object[field] = of[field].clone();
            }
        }
        cluster().delete(at);
        let collection = at.rsplit_once('/').map(|(collection, _)| collection).unwrap_or_default();
        // The agent may have been faster.
        if let Ok(made) = cluster().ask(&Method::POST, collection, "application/json", Some(&object)) {
            self.replaced.extend(made["metadata"]["uid"].as_str().map(ToOwned::to_owned));
        }
    }

    /// A `ConfigMap` that is not the agent's, with labels and annotations of another object.
    pub(super) fn foreign_map(&mut self, name: &str, of: &Value) {
        let metadata = json!({"name": name, "labels": of["labels"], "annotations": of["annotations"]});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        let made = cluster().create(&path("configmaps", Some(&self.places.namespace), ""), &object);
        let at = path("configmaps", Some(&self.places.namespace), name);
        self.foreign.insert(at, made["metadata"]["resourceVersion"].clone());
    }
}

/// Whether the sync is at the end of a commit, or waits for somebody.
fn is_done(parent: &Parent, commit: &str) -> bool {
    let of = |one: &Commit| one.id == commit;
    let status = &parent.status;
    match status.phase {
        Phase::Synced => status.synced.as_ref().is_some_and(of),
        Phase::Failing | Phase::Held => status.attempted.as_ref().is_some_and(of),
        _ => false,
    }
}

/// Waits for something that may never come; whether it has.
fn soon(mut come: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + SOON;
    loop {
        if come() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn apply(change: &Change, state: &mut State) {
    match change {
        Change::Put(dir, thing, number) => drop(state.within(*dir).things.insert(*thing, *number)),
        Change::Remove(dir, thing) => drop(state.within(*dir).things.remove(thing)),
        Change::RemoveAllBut(dir, kept) => state.within(*dir).things.retain(|thing, _| Some(*thing) == *kept),
        Change::Break(dir, broken) => state.within(*dir).broken = *broken,
        Change::Copy(from, to) => *state.within(*to) = state.of(*from),
    }
}
