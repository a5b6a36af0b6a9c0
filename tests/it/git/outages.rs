//! Whatever happens to git, the last good commit stays enforced, nothing is pruned, and the agent goes
//! on by itself once git is well again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// A sync of two objects that reads git over HTTP, with a password that nobody may see.
struct Scene {
    site: Site,
    server: GitHttp,
    agent: Agent,
}

const PASSWORD: &str = "correct-horse";

fn over_http() -> (Site, GitHttp) {
    let site = Site::with(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let server = GitHttp::start(site.repo.root());
    server.require_login("ada", PASSWORD);
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(server.url_with_login("ada", PASSWORD));
    site.configure(&[sync]);
    (site, server)
}

impl Scene {
    fn synced() -> Self {
        let (site, server) = over_http();
        let agent = Agent::start(&site);
        Self::of(site, server, agent)
    }

    fn of(site: Site, server: GitHttp, agent: Agent) -> Self {
        agent.eventually_synced("shop", &site.repo.head());
        Self { site, server, agent }
    }

    /// A commit that changes one object.
    fn commit(&self, value: &str) -> String {
        self.site.repo.commit(&[("a.yaml", &config_map("a", value))])
    }

    #[track_caller]
    fn eventually_has(&self, value: &str) {
        eventually("the value of git is there", || {
            let found = self.site.value_of("a");
            check(found.as_deref() == Some(value), format!("{found:?}"))
        });
    }

    /// While git is in trouble: all of this is reported to a person, and where, and what was applied last
    /// (`a` has this value) is enforced.
    #[track_caller]
    fn endures(&self, words: &[&str], value: &str) {
        let url = self.server.url();
        let parts: Vec<&str> = words.iter().copied().chain([&*url]).collect();
        eventually(&format!("the status reports {parts:?}"), || {
            let status = self.agent.sync("shop");
            let message = status["message"].as_str().unwrap_or_default();
            check(status["phase"] == "Failing" && parts.iter().all(|part| message.contains(part)), &status)
        });
        self.is_enforced(value);
    }

    #[track_caller]
    fn is_enforced(&self, value: &str) {
        assert_eq!(self.site.value_of("a").as_deref(), Some(value));
        self.site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
        self.site.delete("configmaps", "b");
        self.eventually_has(value);
        eventually("what was deleted is back", || check(self.site.has("configmaps", "b"), "it is gone"));
        assert_eq!(self.site.config_maps(), ["a", "b"]);
    }

    #[track_caller]
    fn recovers(&self, commit: &str, value: &str) {
        self.agent.eventually_synced("shop", commit);
        assert_eq!(self.site.value_of("a").as_deref(), Some(value));
        assert_eq!(self.site.config_maps(), ["a", "b"]);
        let log = self.agent.log().join("\n");
        assert!(!log.contains(PASSWORD) && !log.contains("panicked"), "{log}");
    }

    fn clone_dir(&self) -> PathBuf {
        clone_dir(&self.site.data_dir())
    }
}

fn clone_dir(data: &Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("git")).expect("clones").map(|entry| entry.expect("an entry").path());
    entries.into_iter().find(|path| path.join("objects").is_dir()).expect("a clone")
}

/// More than fits in one packet, and does not compress.
fn noise(bytes: usize) -> String {
    let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect();
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: b}}\ndata: {{value: {text}}}\n")
}

#[test]
fn a_server_that_refuses_fails_or_cuts_changes_nothing_until_it_serves_again() {
    let scene = Scene::synced();
    let mut value = "1".to_owned();
    let reach = ["cannot reach", "check the URL"];
    for (number, (fault, words)) in [
        (Behaviour::Refuse("401 Unauthorized"), ["refuses them", "check what source.auth names"]),
        (Behaviour::Refuse("403 Forbidden"), ["403", "check what source.auth names"]),
        (Behaviour::Refuse("500 Internal Server Error"), reach),
        (Behaviour::Redirect, reach),
        (Behaviour::CutPacksAfter(20), ["cannot use commit", "it is tried again"]),
        (Behaviour::TruncatePacksTo(200), ["cannot use commit", "it is tried again"]),
    ]
    .into_iter()
    .enumerate()
    {
        scene.server.behave(fault);
        let next = format!("after fault {number}");
        let commit = scene.commit(&next);
        scene.endures(&words, &value);
        scene.server.behave(Behaviour::Serve);
        scene.recovers(&commit, &next);
        value = next;
    }
}

#[test]
fn a_server_that_hangs_is_given_up_after_a_while_and_keeps_neither_healing_nor_the_end_waiting() {
    let scene = Scene::synced();
    scene.server.behave(Behaviour::Hang);
    let before = scene.server.requests();
    eventually("a poll hangs", || check(scene.server.requests() > before, before));
    let commit = scene.commit("2");
    scene.is_enforced("1");
    scene.endures(&["it is tried again"], "1");
    scene.server.behave(Behaviour::Serve);
    scene.recovers(&commit, "2");

    scene.server.behave(Behaviour::Hang);
    let before = scene.server.requests();
    eventually("a poll hangs", || check(scene.server.requests() > before, before));
    let (took, _) = scene.agent.stop();
    assert!(took < Duration::from_secs(5), "it took {took:?} to stop");
}

#[test]
fn a_kill_in_the_middle_of_a_fetch_leaves_the_old_commit_whole_and_the_next_start_fetches_anew() {
    let Scene { site, server, agent } = Scene::synced();
    server.behave(Behaviour::StallPacksAfter(30_000));
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2")), ("b.yaml", &noise(200_000))]);
    eventually("a fetch stalls", || check(server.stalled() > 0, "not yet"));
    agent.kill();
    assert_eq!([site.value_of("a"), site.value_of("b")], [Some("1".into()), Some("1".into())]);
    server.behave(Behaviour::Serve);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
    let files = std::fs::read_dir(clone_dir(&site.data_dir()).join("objects/pack")).expect("packs");
    let half = files.map(|file| file.expect("a file").path()).find(|path| path.extension().is_none());
    assert_eq!(half, None, "half a pack is left");
}

#[test]
fn a_clone_that_is_damaged_on_disk_is_made_anew_and_only_what_git_changed_is_written() {
    let scene = Scene::synced();
    let locks = ["refs/driftless/head.lock", "shallow.lock", "HEAD.lock", "config.lock", "packed-refs.lock"];
    let truncate = |clone: &Path| {
        for file in std::fs::read_dir(clone.join("objects/pack")).expect("packs") {
            let path = file.expect("a file").path();
            std::fs::remove_file(&path).expect("removed");
            std::fs::write(&path, b"PACK").expect("a file");
        }
    };
    let remove = |clone: &Path| std::fs::remove_dir_all(clone.join("refs")).expect("removed");
    let lock = |clone: &Path| {
        for name in locks {
            std::fs::write(clone.join(name), b"").expect("a file");
        }
    };
    for name in ["truncated", "no refs", "locked"] {
        let mark = audit::mark();
        let clone = scene.clone_dir();
        match name {
            "truncated" => truncate(&clone),
            "no refs" => remove(&clone),
            _ => lock(&clone),
        }
        let commit = scene.commit(name);
        scene.recovers(&commit, name);
        if let Some(mark) = mark {
            let writes = scene.site.writes(mark);
            let to_objects: Vec<_> = writes.iter().filter(|write| write.what.contains(&scene.site.namespace)).collect();
            assert!(to_objects.len() == 1 && to_objects[0].what.ends_with("/a"), "{name}: {writes:#?}");
        }
    }
}

#[test]
fn a_disk_that_is_full_is_reported_and_what_is_applied_stays_until_there_is_room() {
    let (site, server) = over_http();
    let data = site.data_dir();
    std::fs::create_dir_all(&data).expect("a directory");
    // A disk of its own for this one process, which needs no rights.
    let small = "mount -t tmpfs -o size=2m none \"$0\" && exec \"$@\"";
    let unshare = ["--user", "--map-root-user", "--mount", "sh", "-c"];
    let possible = Command::new("unshare").args(unshare).arg(small).arg(&data).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("no disk of its own can be mounted here, so this is not tried");
        return;
    }
    let inner = site.command(&["run"]);
    let mut command = Command::new("unshare");
    let envs = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(envs).args(unshare).arg(small).arg(&data).arg(inner.get_program()).args(inner.get_args());
    let agent = Agent::spawn(&site, command);
    let scene = Scene::of(site, server, agent);
    let disk = PathBuf::from(format!("/proc/{}/root{}", scene.agent.pid(), data.display()));
    assert!(disk.join("git").is_dir(), "the agent's disk is seen from here");

    let ballast = disk.join("ballast");
    let full = std::fs::write(&ballast, vec![1; 4 << 20]).expect_err("it does not fit");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let files = [("a.yaml", config_map("a", "2")), ("b.yaml", noise(200_000))];
    let commit = scene.site.repo.commit(&files.each_ref().map(|(path, text)| (*path, &**text)));
    let place = data.display().to_string();
    scene.endures(&["No space left on device", &place, "make room"], "1");
    let half: Vec<PathBuf> = std::fs::read_dir(disk.join("git"))
        .expect("clones")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "new"))
        .collect();
    assert!(half.is_empty(), "it keeps the disk full itself: {half:?}");
    std::fs::remove_file(&ballast).expect("removed");
    scene.recovers(&commit, "2");
}

#[test]
fn a_branch_that_is_forced_to_an_unrelated_commit_is_followed() {
    let scene = Scene::synced();
    let commit = scene.site.repo.rewrite(&[("a.yaml", &config_map("a", "rewritten"))]);
    assert_eq!(scene.site.repo.git(&["rev-list", "--count", "HEAD"]), "1");
    scene.recovers(&commit, "rewritten");
}

/// Scenario 6
#[test]
fn a_branch_that_disappears_and_comes_back_is_reported_endured_and_followed() {
    let scene = Scene::synced();
    scene.site.repo.delete_branch("main");
    scene.endures(&["has no branch main", "push it again"], "1");
    let commit = scene.commit("2");
    scene.recovers(&commit, "2");
}

/// Scenario 36
#[test]
fn a_branch_that_goes_back_is_followed_when_two_polls_agree_and_replicas_that_take_turns_cause_no_write() {
    let Scene { site, server, agent } = Scene::synced();
    let old = site.repo.head();
    let lagging = site.scratch("lagging");
    std::fs::create_dir(&lagging).expect("a directory");
    let bare = lagging.join("repo.git");
    site.repo.git(&["clone", "--quiet", "--mirror", &site.repo.url(), &bare.display().to_string()]);
    // Of the whole repository a third is pruned: below the guard, so that only the rule is in the way.
    let new = site.repo.commit(&[("a.yaml", &config_map("a", "2")), ("c.yaml", &config_map("c", "1"))]);
    agent.eventually_synced("shop", &new);

    let mark = audit::mark();
    let polls = |more: usize| {
        let before = server.requests();
        eventually("it polls again and again", || check(server.requests() >= before + more, server.requests()));
    };
    let unmoved = || {
        if let Some(mark) = mark {
            let writes = site.writes(mark);
            assert!(writes.is_empty(), "{writes:#?}");
        }
        assert_eq!(site.config_maps(), ["a", "b", "c"]);
    };
    server.serve_in_turn(&[&lagging, site.repo.root()]);
    polls(12);
    unmoved();
    agent.stop();
    server.serve_in_turn(&[&lagging, site.repo.root()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &new);
    polls(12);
    unmoved();

    server.serve_in_turn(&[&lagging]);
    let status: Value = agent.eventually_synced("shop", &old);
    assert_eq!(status["phase"], "Synced");
    eventually("it is as it was", || check(site.config_maps() == ["a", "b"], format!("{:?}", site.config_maps())));
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
}
