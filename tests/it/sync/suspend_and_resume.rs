//! The order of acts: after a resume and `driftless sync`, git is polled before anything is written;
//! a suspension stops writes at once; and what was learned is stored on every way out.

use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Fault, Proxy, Rule};
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually, within};
use crate::support::watched::{commit, daily};

/// A sync that polls once a day, with every request to the API server on record, and a git server
/// whose answers a test can hold back.
struct Scene {
    site: Site,
    git: GitHttp,
    proxy: Proxy,
    agent: Agent,
}

/// For what must not come: so long nothing else is done that could keep it from coming.
const SOON: Duration = Duration::from_secs(3);

fn soon(mut come: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while Instant::now() < until && !come() {
        thread::sleep(Duration::from_millis(10));
    }
}

impl Scene {
    fn synced(files: &[(&str, &str)]) -> Self {
        let site = Site::with(files);
        let git = GitHttp::start(site.repo.root());
        let proxy = Proxy::before(&site);
        let mut sync = daily(&site, "shop");
        sync["source"]["url"] = json!(git.url());
        site.configure(&[sync]);
        let agent = Agent::start(&site);
        agent.eventually_synced("shop", &site.repo.head());
        Self { site, git, proxy, agent }
    }

    fn suspend(&self) {
        self.site.cli(&["suspend", "shop"]).expect_code(0);
        self.agent.eventually_is("shop", "Suspended");
    }

    fn edit(&self, name: &str, value: &str) {
        self.site.edit("configmaps", name, "kubectl-edit", &json!({"data": {"value": value}}));
    }

    /// Has git hang, does something, and lets git go on once it was polled and what must not come had
    /// its time to come.
    fn while_git_hangs(&self, act: impl FnOnce(), come: impl FnMut() -> bool) {
        self.git.behave(Behaviour::Hang);
        let before = self.git.requests();
        act();
        eventually("git is polled", || check(self.git.requests() > before, before));
        soon(come);
        self.git.behave(Behaviour::Serve);
    }

    /// The values with which an object was applied since so many requests.
    fn applied(&self, name: &str, since: usize) -> Vec<String> {
        let seen = self.proxy.seen().into_iter().skip(since);
        let applies = seen.filter(|one| one.ask.verb == "apply" && one.ask.name == name && one.ask.is_write());
        applies.map(|one| one.ask.object()["data"]["value"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn uid(&self, name: &str) -> Value {
        self.site.get("configmaps", name).unwrap_or_default()["metadata"]["uid"].clone()
    }
}

/// Scenario 38
#[test]
fn what_was_mended_by_hand_and_in_git_during_a_suspension_is_never_undone_by_the_old_commit() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "broken")), ("b.yaml", &config_map("b", "1"))]);
    scene.suspend();
    scene.edit("a", "mended");
    let commit = scene.site.repo.commit(&[("a.yaml", &config_map("a", "mended"))]);
    let since = scene.proxy.seen().len();
    let resume = || drop(scene.site.cli(&["resume", "shop"]).expect_code(0));
    scene.while_git_hangs(resume, || !scene.applied("a", since).is_empty());
    scene.agent.eventually_synced("shop", &commit);
    let values = scene.applied("a", since);
    assert!(values.iter().all(|value| value == "mended"), "{values:?}");
    assert_eq!(scene.site.value_of("a").as_deref(), Some("mended"));
}

/// Scenario 38
#[test]
fn what_git_has_back_after_a_suspension_is_not_pruned_by_the_old_commit() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "1")), ("x.yaml", &config_map("x", "1"))]);
    scene.proxy.add(Rule::on(Fault::Answer(422, None), &["apply"]).named("bad"));
    scene.site.repo.remove("x.yaml");
    scene.site.repo.commit(&[("bad.yaml", &config_map("bad", "1"))]);
    scene.agent.poll_now("shop");
    scene.agent.eventually_is("shop", "Failing");
    scene.suspend();
    let uid = scene.uid("x");
    let commit = scene.site.repo.commit(&[("x.yaml", &config_map("x", "1"))]);
    scene.proxy.clear();
    let resume = || drop(scene.site.cli(&["resume", "shop"]).expect_code(0));
    scene.while_git_hangs(resume, || scene.uid("x") != uid);
    scene.agent.eventually_synced("shop", &commit);
    assert_eq!(scene.uid("x"), uid, "it is the very object");
    let deleted = scene.proxy.seen().into_iter().any(|one| one.ask.verb == "delete" && one.ask.name == "x");
    assert!(!deleted, "its deletion was asked for");
}

/// The same for `driftless sync`: the drift is there when it is asked for, and was not seen before.
#[test]
fn a_sync_that_is_asked_for_heals_nothing_by_the_old_commit_before_git_was_polled() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "broken")), ("b.yaml", &config_map("b", "1"))]);
    scene.proxy.stall_watches(true);
    scene.edit("a", "mended");
    let commit = scene.site.repo.commit(&[("a.yaml", &config_map("a", "mended"))]);
    let since = scene.proxy.seen().len();
    // The agent receives the request by the watch that also reports the drift.
    let ask = || {
        scene.agent.poll_now("shop");
        scene.proxy.stall_watches(false);
    };
    scene.while_git_hangs(ask, || !scene.applied("a", since).is_empty());
    scene.agent.eventually_synced("shop", &commit);
    let values = scene.applied("a", since);
    assert!(values.iter().all(|value| value == "mended"), "{values:?}");
}

#[test]
fn while_git_cannot_be_polled_after_a_resume_nothing_is_enforced_and_the_status_says_so() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "1"))]);
    scene.suspend();
    scene.edit("a", "by hand");
    let since = scene.proxy.seen().len();
    scene.git.behave(Behaviour::Unavailable);
    scene.site.cli(&["resume", "shop"]).expect_code(0);
    eventually("the status says what is not done, and why", || {
        let status = scene.agent.sync("shop");
        let message = status["message"].as_str().unwrap_or_default();
        let parts = ["resumed; nothing is enforced until git was read", "cannot reach"];
        check(status["phase"] == "Failing" && parts.iter().all(|part| message.contains(part)), &status)
    });
    assert_eq!(scene.applied("a", since), Vec::<String>::new());
    scene.git.behave(Behaviour::Serve);
    scene.site.eventually_has("a", "1");
}

/// `driftless sync` takes nothing from what is enforced already, where git does not answer.
#[test]
fn a_sync_that_is_asked_for_while_git_fails_goes_on_with_the_last_good_commit() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "1"))]);
    scene.git.behave(Behaviour::Unavailable);
    scene.agent.poll_now("shop");
    scene.agent.eventually_is("shop", "Failing");
    scene.edit("a", "by hand");
    scene.site.eventually_has("a", "1");
}

/// What the branch was at when it was polled cannot be fetched any more: it is polled again, and not
/// tomorrow.
#[test]
fn a_branch_that_moves_between_poll_and_fetch_is_polled_again_at_once() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "1"))]);
    let old = scene.site.scratch("old");
    fs::create_dir(&old).expect("a directory");
    scene.site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    let bare = old.join("repo.git").display().to_string();
    scene.site.repo.git(&["clone", "--quiet", "--mirror", &scene.site.repo.url(), &bare]);
    let commit = scene.site.repo.rewrite(&[("a.yaml", &config_map("a", "3"))]);
    // Only the poll sees the commit that is then gone.
    let mut roots = vec![scene.site.repo.root(); 40];
    roots[0] = &old;
    scene.git.serve_in_turn(&roots);
    scene.agent.poll_now("shop");
    scene.agent.eventually_synced("shop", &commit);
    assert_eq!(scene.site.value_of("a").as_deref(), Some("3"));
    assert!(scene.applied("a", 0).iter().all(|value| value != "2"));
}

#[test]
fn a_suspension_stops_an_apply_of_many_objects_at_once_and_it_is_finished_after_the_resume() {
    let scene = Scene::synced(&[("a.yaml", &config_map("a", "1"))]);
    let slow = Duration::from_millis(1500);
    let hits = scene.proxy.add(Rule::on(Fault::DelayAnswer(slow), &["apply"]).resource("configmaps"));
    let names: Vec<String> = (0..200).map(|number| format!("m{number:03}")).collect();
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("{name}.yaml"), config_map(name, "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let head = scene.site.repo.commit(&files);
    scene.agent.poll_now("shop");
    // Beyond the write of the inventory.
    eventually("the first objects are under way", || check(hits.count() > 2, hits.count()));
    let suspended = json!({"metadata": {"annotations": {"driftless.dev/suspend": "true"}}});
    cluster().merge(&path("configmaps", Some(&scene.site.home), "driftless-shop"), "it", &suspended);
    scene.agent.eventually_is("shop", "Suspended");
    let made = scene.site.config_maps().len();
    assert!(made < 200, "{made} objects: all were begun");
    scene.proxy.clear();
    let before = scene.proxy.seen().len();
    soon(|| false);
    let begun: Vec<String> =
        scene.proxy.seen()[before..].iter().filter(|one| one.ask.is_write()).map(ToString::to_string).collect();
    assert!(begun.iter().all(|one| one.contains("driftless-shop")), "{begun:?}");
    assert_eq!(scene.site.config_maps().len(), made);
    let log = scene.agent.log().join("\n");
    assert!(!log.contains("stopped before"), "what was not begun is no error: {log}");
    scene.site.cli(&["resume", "shop"]).expect_code(0);
    scene.agent.eventually_synced("shop", &head);
    assert_eq!(scene.site.config_maps().len(), 201);
}

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

/// A sync of four objects.
fn four() -> Scene {
    let maps = FOUR.map(|name| (format!("{name}.yaml"), config_map(name, "1")));
    Scene::synced(&maps.each_ref().map(|(path, text)| (&**path, &**text)))
}

impl Scene {
    /// Deletes objects by hand and waits until they are there again.
    #[track_caller]
    fn heals(&self, names: &[&str]) {
        let before: Vec<Value> = names.iter().map(|name| self.uid(name)).collect();
        for name in names {
            self.site.delete("configmaps", name);
        }
        for (name, before) in names.iter().zip(before) {
            eventually("it is there again", || {
                let uid = self.uid(name);
                check(!uid.is_null() && uid != before, uid)
            });
        }
    }

    /// What is recorded of the objects.
    fn stored(&self) -> Value {
        self.site.parent("shop").expect("a parent")["binaryData"]["observed"].clone()
    }

    #[track_caller]
    fn eventually_stores(&self, before: &Value) {
        eventually("what was learned is stored", || check(self.stored() != *before, before));
    }

    fn remove(&self, names: &[&str]) -> String {
        for name in names {
            self.site.repo.remove(&format!("{name}.yaml"));
        }
        self.site.repo.commit_all("without them")
    }

    /// What healing changes is stored soon after the first time, and then not again for a while.
    fn has_stored_just_now(&self) {
        let before = self.stored();
        self.heals(&["d"]);
        self.eventually_stores(&before);
    }
}

/// Scenario 40
#[test]
fn what_was_healed_just_before_the_agent_is_stopped_is_pruned_when_git_removes_it() {
    let scene = four();
    scene.heals(&["a", "b", "c"]);
    let (took, _) = scene.agent.stop();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let Scene { site, git: _git, proxy: _proxy, .. } = scene;
    for name in ["a", "b", "c"] {
        site.repo.remove(&format!("{name}.yaml"));
    }
    let commit = site.repo.commit_all("without them");
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["d"]);
}

/// Scenario 40
#[test]
fn what_was_healed_just_before_a_suspension_is_stored_and_pruned_when_git_removes_it() {
    let mut scene = four();
    scene.has_stored_just_now();
    let before = scene.stored();
    scene.heals(&["a", "b", "c"]);
    scene.suspend();
    scene.eventually_stores(&before);
    let commit = scene.remove(&["a", "b", "c"]);
    scene.agent.kill();
    scene.agent = Agent::start(&scene.site);
    scene.agent.eventually_is("shop", "Suspended");
    scene.site.cli(&["resume", "shop"]).expect_code(0);
    scene.agent.eventually_synced("shop", &commit);
    assert_eq!(scene.site.config_maps(), ["d"]);
}

/// Scenario 40
#[test]
fn what_was_healed_just_before_its_sync_is_configured_otherwise_is_pruned_when_git_removes_it() {
    let scene = four();
    scene.has_stored_just_now();
    scene.heals(&["a", "b", "c"]);
    let commit = scene.remove(&["a", "b", "c"]);
    let mut sync = daily(&scene.site, "shop");
    sync["source"]["url"] = json!(scene.git.url());
    sync["timeout"] = json!("31s");
    scene.site.configure(&[sync]);
    scene.agent.eventually_synced("shop", &commit);
    assert_eq!(scene.site.config_maps(), ["d"]);
}

/// Scenario 40
#[test]
fn what_was_healed_just_before_the_lease_is_lost_is_stored_while_that_is_allowed() {
    let site = Site::with(
        &FOUR
            .map(|name| (format!("{name}.yaml"), config_map(name, "1")))
            .each_ref()
            .map(|(path, text)| (&**path, &**text)),
    );
    let git = GitHttp::start(site.repo.root());
    let proxy = Proxy::before(&site);
    let mut sync = daily(&site, "shop");
    sync["source"]["url"] = json!(git.url());
    site.configure_with(&[sync], |config| config["leaderElection"] = json!({"enabled": true}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let scene = Scene { site, git, proxy, agent };
    scene.has_stored_just_now();
    let before = scene.stored();
    scene.heals(&["a", "b", "c"]);
    scene.proxy.add(Rule::on(Fault::Answer(500, None), &["get", "update", "create"]).resource("leases"));
    scene.agent.eventually_logs(&["leads no more"]);
    assert_ne!(scene.stored(), before, "stored before it was lost");
    let commit = scene.remove(&["a", "b", "c"]);
    scene.proxy.clear();
    within(Duration::from_secs(40), "it leads again and prunes them", || {
        let maps = scene.site.config_maps();
        check(maps == ["d"], format!("{maps:?}"))
    });
    scene.agent.eventually_synced("shop", &commit);
}

/// Where nothing was learned, a stop costs no write.
#[test]
fn a_stop_of_a_quiet_agent_writes_nothing() {
    let scene = four();
    scene.agent.passes("shop", 1);
    let commit_to = scene.site.repo.head();
    commit(&scene.site, &scene.agent, &[("d.yaml", &config_map("d", "2"))]);
    assert_ne!(commit_to, scene.site.repo.head());
    let before = scene.proxy.seen().len();
    scene.agent.stop();
    let writes: Vec<String> =
        scene.proxy.seen()[before..].iter().filter(|one| one.ask.is_write()).map(ToString::to_string).collect();
    assert_eq!(writes, Vec::<String>::new());
}

/// What the watch reports of a parent that is gone is read once more, and then it is written again.
#[test]
fn an_inventory_that_somebody_deleted_is_written_again() {
    let scene = four();
    let at = path("configmaps", Some(&scene.site.home), "driftless-shop");
    let before = cluster().get(&at).expect("a parent")["metadata"]["uid"].clone();
    cluster().delete(&at);
    eventually("there is another one", || {
        let uid = cluster().get(&at).unwrap_or_default()["metadata"]["uid"].clone();
        check(!uid.is_null() && uid != before, uid)
    });
    assert_eq!(scene.site.config_maps(), FOUR);
}
