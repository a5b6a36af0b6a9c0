//! Two replicas: one writes, the other stands by.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit::{Mark, Timed, mark, requests_since, writes_since};
use crate::support::cluster::{cluster, path};
use crate::support::process::{Finished, run};
use crate::support::site::{Site, config_map};
use crate::support::stall::Proxy;
use crate::support::wait::{check, eventually, within};

/// How long a Lease lasts, what a candidate's next read may be late, and what a busy machine takes.
const TAKEOVER: Duration = Duration::from_secs(15 + 3 + 10);
/// A released Lease is found free by the next read.
const AT_ONCE: Duration = Duration::from_secs(10);

fn site() -> Site {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    site.configure(&[site.sync("shop")]);
    site
}

fn user(site: &Site, replica: &str) -> String {
    format!("{}-{replica}", site.user())
}

/// Configuration and kubeconfig of a replica: a user of its own, so that the audit log shows whose
/// requests are whose; with a `server`, by way of that.
fn files(site: &Site, replica: &str, server: Option<&Proxy>) -> (PathBuf, PathBuf) {
    let mut config = site.configuration(&[site.sync("shop")]);
    config["leaderElection"] = json!({"enabled": true});
    config["dataDir"] = json!(site.scratch(&format!("data-{replica}")));
    let file = site.scratch(&format!("{replica}.yaml"));
    fs::write(&file, config.to_string()).expect("a file");
    let mut kube: Value = kubeconfig(site);
    if !cluster().is_foreign() {
        kube["users"][0]["user"]["as"] = json!(user(site, replica));
    }
    if let Some(server) = server {
        kube["clusters"][0]["cluster"]["server"] = json!(format!("https://{}", server.address()));
    }
    let path = site.scratch(&format!("kubeconfig-{replica}"));
    fs::write(&path, kube.to_string()).expect("a file");
    (path, file)
}

fn kubeconfig(site: &Site) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(site.kubeconfig()).expect("a kubeconfig")).expect("a kubeconfig")
}

fn start(site: &Site, replica: &str, server: Option<&Proxy>) -> Agent {
    let (kubeconfig, config) = files(site, replica, server);
    Agent::spawn(site, site.command_as(&kubeconfig, &config, &["run"]))
}

/// `run --once` with leader election.
#[must_use = "it may have failed; `expect_code` shows that"]
fn once(site: &Site, more: &[&str]) -> Finished {
    let (kubeconfig, config) = files(site, "once", None);
    let arguments: Vec<&str> = ["run", "--once"].iter().chain(more).copied().collect();
    run(&mut site.command_as(&kubeconfig, &config, &arguments), None, Duration::from_secs(90))
}

#[track_caller]
fn eventually_leads(agent: &Agent) {
    within(TAKEOVER, "it leads", || {
        let leader = agent.metric("driftless_leader", &[]);
        check(leader == Some(1.0), format!("{leader:?}"))
    });
}

/// Waits until a replica stands by with the newest commit.
#[track_caller]
fn eventually_stands_by(site: &Site, agent: &Agent) {
    agent.eventually_logs(&["shop: standing by with commit", &site.repo.head()[..12]]);
    assert_eq!(agent.metric("driftless_leader", &[]), Some(0.0));
    assert_eq!(agent.http("/readyz").0, 200, "a follower is ready");
}

#[track_caller]
fn eventually_is(site: &Site, value: &str) {
    within(TAKEOVER, &format!("a is {value}"), || {
        let seen = site.value_of("a");
        check(seen.as_deref() == Some(value), format!("{seen:?}"))
    });
}

fn holder(site: &Site) -> String {
    let lease = cluster().get(&path("leases.coordination.k8s.io", Some(&site.home), "driftless"));
    lease.expect("a Lease")["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn writes(site: &Site, since: Mark, replica: &str) -> Vec<Timed> {
    writes_since(since, &user(site, replica))
}

/// The last write of one was over before the first of the other came.
#[track_caller]
fn assert_one_after_the_other(first: &[Timed], second: &[Timed]) {
    let last = first.iter().max_by_key(|write| &write.done).expect("the first one wrote");
    let next = second.iter().min_by_key(|write| &write.came).expect("the second one wrote");
    assert!(last.done < next.came, "{last:?} beside {next:?}");
}

fn drift(site: &Site, value: &str) {
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": value}}));
}

#[test]
fn one_of_two_replicas_writes_and_the_other_takes_over_when_it_is_killed() {
    let site = site();
    let since = mark();
    let a = start(&site, "a", None);
    a.eventually_synced("shop", &site.repo.head());
    eventually_leads(&a);
    let b = start(&site, "b", None);
    eventually_stands_by(&site, &b);
    let name = holder(&site);
    assert_eq!(b.status()["leader"]["holder"], json!(name), "{}", b.status());
    assert_eq!((&a.status()["leader"]["leads"], &b.status()["leader"]["leads"]), (&json!(true), &json!(false)));
    b.eventually_logs(&["stands by", &name]);

    drift(&site, "by hand");
    eventually_is(&site, "1");
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    a.eventually_synced("shop", &commit);
    eventually_stands_by(&site, &b);
    if let Some(since) = since {
        let of_b: Vec<_> = writes(&site, since, "b");
        assert!(of_b.is_empty(), "a follower writes nothing: {of_b:?}");
    }

    a.kill();
    let killed = Instant::now();
    drift(&site, "after the kill");
    eventually_is(&site, "2");
    assert!(killed.elapsed() > Duration::from_secs(5), "nobody took the Lease before its time");
    b.eventually_synced("shop", &commit);
    assert_ne!(holder(&site), name);
    assert_eq!(b.metric("driftless_git_fetch_total", &["fetched"]), Some(2.0), "what it had fetched as a follower");
    if let Some(since) = since {
        assert_one_after_the_other(&writes(&site, since, "a"), &writes(&site, since, "b"));
    }
}

#[test]
fn a_leader_that_is_stopped_hands_over_at_once() {
    let site = site();
    let since = mark();
    let a = start(&site, "a", None);
    a.eventually_synced("shop", &site.repo.head());
    let b = start(&site, "b", None);
    eventually_stands_by(&site, &b);
    let (_, log) = a.stop();
    assert!(log.iter().any(|line| line.contains("gave up the Lease")), "{log:?}");
    drift(&site, "between the two");
    within(AT_ONCE, "the other one heals", || {
        let seen = site.value_of("a");
        check(seen.as_deref() == Some("1"), format!("{seen:?}"))
    });
    b.stop();
    assert_eq!(holder(&site), "", "the last one gives it up as well");
    if let Some(since) = since {
        assert_one_after_the_other(&writes(&site, since, "a"), &writes(&site, since, "b"));
    }
}

#[test]
fn a_leader_whose_connection_stalls_writes_nothing_after_the_takeover_not_even_late() {
    let server =
        kubeconfig(&Site::with(&[]))["clusters"][0]["cluster"]["server"].as_str().expect("a server").to_owned();
    if cluster().is_foreign() {
        // Its certificate need not be good for the proxy's address.
        return;
    }
    let site = site();
    let since = mark();
    let proxy = Proxy::before(server.trim_start_matches("https://"));
    let a = start(&site, "a", Some(&proxy));
    a.eventually_synced("shop", &site.repo.head());
    eventually_leads(&a);
    let b = start(&site, "b", None);
    eventually_stands_by(&site, &b);

    proxy.stall();
    let held = proxy.held();
    // It still leads, and begins to write what is new in git: it knows the object, and need not ask first.
    let second = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    a.eventually_logs(&["syncing", &second[..12]]);
    b.eventually_synced("shop", &second);
    let third = site.repo.commit(&[("a.yaml", &config_map("a", "3"))]);
    b.eventually_synced("shop", &third);
    a.eventually_logs(&["leads no more"]);
    assert!(proxy.held() > held, "something was held back");
    let parent = site.parent("shop").expect("a parent");

    proxy.release();
    a.eventually_logs(&["stands by", &holder(&site)]);
    eventually_stands_by(&site, &a);
    b.cycles("shop", 2);
    assert_eq!(site.value_of("a").as_deref(), Some("3"));
    let now = site.parent("shop").expect("a parent");
    assert_eq!(parent["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"], "{now}");
    if let Some(since) = since {
        assert_one_after_the_other(&writes(&site, since, "a"), &writes(&site, since, "b"));
    }
}

#[test]
fn run_once_refuses_while_a_daemon_leads_and_takes_the_lease_of_a_dead_one() {
    let site = site();
    let a = start(&site, "a", None);
    a.eventually_synced("shop", &site.repo.head());
    let name = holder(&site);
    let refused = once(&site, &[]).expect_code(1);
    for part in [&*name, "holds the Lease", "renewed at", "--force"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.all());
    }
    once(&site, &["--force"]).expect_code(0);
    assert_eq!(holder(&site), name, "a forced run leaves the Lease alone");
    a.kill();
    site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    once(&site, &[]).expect_code(0);
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
    assert_eq!(holder(&site), "", "it is given up at the end");
    once(&site, &[]).expect_code(0);
}

#[test]
fn two_quiet_replicas_ask_for_nothing_but_the_lease() {
    let Some(_) = mark() else { return };
    let site = site();
    let a = start(&site, "a", None);
    a.eventually_synced("shop", &site.repo.head());
    let b = start(&site, "b", None);
    eventually_stands_by(&site, &b);
    a.passes("shop", 2);
    let since = mark().expect("an audit log");
    let began = Instant::now();
    let polls = |agent: &Agent| agent.metric("driftless_git_fetch_total", &["unchanged"]).unwrap_or_default();
    let before = (polls(&a), polls(&b));
    eventually("both polled git five times more", || {
        let more = (polls(&a) - before.0, polls(&b) - before.1);
        check(more.0 >= 5.0 && more.1 >= 5.0, format!("{more:?}"))
    });
    let most = began.elapsed().as_secs() / 2 + 2;
    for (replica, verb) in [("a", "update"), ("b", "get")] {
        let asked = requests_since(since, &user(&site, replica));
        let asked: Vec<_> = asked.into_iter().filter(|asked| asked.verb != "watch").collect();
        let lease = format!("leases {}/driftless", site.home);
        let others: Vec<_> = asked.iter().filter(|asked| asked.what != lease || asked.verb != verb).collect();
        assert!(others.is_empty(), "of {replica}: {others:?}");
        assert!(asked.len() as u64 <= most, "one in 2 s at most: {asked:?}");
    }
}

#[test]
fn without_the_permission_for_the_lease_it_says_which_and_how_to_do_without() {
    if cluster().is_foreign() {
        return;
    }
    let site = site();
    let (kubeconfig, config) = files(&site, "poor", None);
    let mut kube: Value = serde_saphyr::from_str(&fs::read_to_string(&kubeconfig).expect("a file")).expect("JSON");
    kube["users"][0]["user"]["as-groups"] = json!([]);
    fs::write(&kubeconfig, kube.to_string()).expect("a file");
    site.make_namespace(&site.home);
    grant(&site, "poor");
    let agent = Agent::spawn(&site, site.command_as(&kubeconfig, &config, &["run"]));
    let line = agent.eventually_logs(&["cannot use the Lease", &format!("{}/driftless", site.home)]);
    for part in ["get, create and update on leases.coordination.k8s.io", "leaderElection: {enabled: false}"] {
        assert!(line.contains(part), "{line}");
    }
    eventually_stands_by(&site, &agent);
    assert!(!site.has("configmaps", "a"), "it does not lead");
    let forbidden = |what: &str| {
        let mut command = site.command_as(&kubeconfig, &config, &[what]);
        run(&mut command, None, Duration::from_secs(90)).expect_code(1).all()
    };
    let check = forbidden("check");
    let of_lease =
        check.lines().find(|line| line.contains("leases.coordination.k8s.io")).unwrap_or_else(|| panic!("{check}"));
    for part in [&*site.home, "create, get, update", "required"] {
        assert!(of_lease.contains(part), "{part}: {check}");
    }

    let mut command = site.command_as(&kubeconfig, &config, &["run", "--once"]);
    command.env("DRIFTLESS_LOG", "info");
    let done = run(&mut command, None, Duration::from_secs(90)).expect_code(0);
    assert!(done.stderr.contains("runs without knowing whether a daemon runs"), "{}", done.all());
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
}

/// Everything in the site's namespaces but Leases.
fn grant(site: &Site, replica: &str) {
    for namespace in [&site.home, &site.namespace] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "poor"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]}]});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "poor"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "poor"},
            "subjects": [{"kind": "User", "name": user(site, replica), "apiGroup": "rbac.authorization.k8s.io"}]});
        cluster().create(&path("roles.rbac.authorization.k8s.io", Some(namespace), ""), &role);
        cluster().create(&path("rolebindings.rbac.authorization.k8s.io", Some(namespace), ""), &binding);
    }
}
