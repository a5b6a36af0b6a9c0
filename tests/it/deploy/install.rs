//! The chart and the plain manifests on a control plane: what they install becomes ready under
//! restricted Pod Security, and the agent does its work with the very token and configuration that
//! they give it.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::deploy::Deployed;
use crate::support::git::TestRepo;
use crate::support::process::run;
use crate::support::rights::{Account, every};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually, within};

/// A Lease that was given up is found free by the next read, on a busy machine.
const TAKEOVER: Duration = Duration::from_secs(20);

/// What a shop is made of.
fn shop() -> Site {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {password: sesame}\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: \
                   [{name: http, port: 80}]\n";
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  defaultBackend: \
                   {service: {name: web, port: {name: http}}}\n";
    let database = deployment("db", "postgres")
        .replace("kind: Deployment", "kind: StatefulSet")
        .replace("  replicas: 1\n", "  replicas: 1\n  serviceName: db\n");
    Site::with(&[
        ("web.yaml", &deployment("web", "nginx")),
        ("service.yaml", service),
        ("settings.yaml", &config_map("settings", "1")),
        ("secret.yaml", secret),
        ("ingress.yaml", ingress),
        ("db.yaml", &database),
        ("old.yaml", &config_map("old", "1")),
    ])
}

/// The value `config` for these syncs.
fn config(syncs: &[Value]) -> Value {
    json!({"syncs": syncs})
}

/// Waits until an object of the shop has an Event of the agent with this reason.
#[track_caller]
fn eventually_reported(site: &Site, name: &str, reason: &str) {
    eventually(&format!("{reason} is reported of {name}"), || {
        let list = cluster().get(&path("events.events.k8s.io", Some(&site.namespace), "")).expect("a list");
        let events = list["items"].as_array().expect("items");
        let found = events.iter().any(|event| {
            event["reportingController"] == "driftless.dev/agent"
                && event["regarding"]["name"] == name
                && event["reason"] == reason
        });
        check(found, format!("{} Events", events.len()))
    });
}

#[track_caller]
fn drifts_and_is_healed(site: &Site) {
    site.edit("configmaps", "settings", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("settings", "1");
}

/// The agent of the first replica: it rolls out, heals, reports, prunes, and serves a person's requests. A second
/// one stands by and takes over; it is given back.
#[track_caller]
fn the_agent_works(site: &Site, deployed: &Deployed) -> Agent {
    let first = Agent::spawn(site, deployed.command("first"));
    first.eventually_synced("shop", &site.repo.head());
    assert_eq!(first.http("/readyz").0, 200);
    for (plural, name) in [
        ("deployments.apps", "web"),
        ("statefulsets.apps", "db"),
        ("services", "web"),
        ("secrets", "password"),
        ("ingresses.networking.k8s.io", "web"),
    ] {
        assert!(site.has(plural, name), "{plural}/{name}");
    }
    drifts_and_is_healed(site);
    eventually_reported(site, "settings", "DriftHealed");

    site.repo.remove("old.yaml");
    let commit = site.repo.commit_all("without the old one");
    first.eventually_synced("shop", &commit);
    assert!(!site.has("configmaps", "old"), "what left git is pruned");

    // A person has permissions of their own; what they ask for, the agent carries out.
    let mounted = site.scratch("first/etc/driftless.yaml");
    let person = |arguments: &[&str]| {
        run(&mut site.command_as(&cluster().kubeconfig, &mounted, arguments), None, Duration::from_mins(1))
    };
    person(&["suspend", "shop"]).expect_code(0);
    first.eventually_is("shop", "Suspended");
    person(&["resume", "shop"]).expect_code(0);
    first.eventually_is("shop", "Synced");
    person(&["status"]).expect_code(0);

    let second = Agent::spawn(site, deployed.command("second"));
    second.eventually_logs(&["shop: standing by with commit", &commit[..12]]);
    assert_eq!(second.http("/readyz").0, 200, "a follower is ready");
    first.stop();
    within(TAKEOVER, "the other replica leads", || {
        let leader = second.metric("driftless_leader", &[]);
        check(leader == Some(1.0), format!("{leader:?}"))
    });
    drifts_and_is_healed(site);
    second
}

/// The requests of the agent itself that were refused, as verb and object.
fn refused(site: &Site, mark: Option<audit::Mark>, user: &str) -> Vec<String> {
    let asked = mark.map(|mark| audit::requests_by(mark, user)).unwrap_or_default();
    let refused = asked.into_iter().filter(|(_, asked)| asked.code == 403);
    // Whether its namespace is there. It may not read that, and finds out by its first write.
    let reads_home = format!("namespaces {0}/{0}", site.home);
    let refused = refused.filter(|(user, asked)| !(user.is_none() && asked.verb == "get" && asked.what == reads_home));
    refused.map(|(user, asked)| format!("{} {} {}", user.unwrap_or_default(), asked.verb, asked.what)).collect()
}

/// All that is asked for in all namespaces at once; then each is asked for itself.
fn is_about_all_namespaces(asked: &str) -> bool {
    (asked.contains(" list ") || asked.contains(" watch ")) && asked.ends_with(" /")
}

#[test]
fn helm_installs_an_agent_for_the_whole_cluster_that_is_never_refused_anything() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = shop();
    let values = json!({"config": config(&[site.sync("shop")])});
    let deployed = Deployed::install(&site, &values);
    let pods = deployed.ready_pods();
    assert_eq!(pods.len(), 2);
    let budget = cluster().get(&path("poddisruptionbudgets.policy", Some(&site.home), &deployed.name));
    let budget = budget.expect("a PodDisruptionBudget");
    assert_eq!(budget["spec"]["maxUnavailable"], 1, "{budget}");
    eventually("one pod may go", || {
        let budget = cluster().get(&path("poddisruptionbudgets.policy", Some(&site.home), &deployed.name));
        let status = budget.expect("a PodDisruptionBudget")["status"].clone();
        check(status["disruptionsAllowed"] == 1 && status["expectedPods"] == 2, status)
    });

    let mark = audit::mark();
    let agent = the_agent_works(&site, &deployed);
    assert_eq!(refused(&site, mark, &deployed.user()), [""; 0]);

    // A new configuration reaches the pods by itself.
    let repo = TestRepo::with(&[("extra.yaml", &config_map("extra", "1"))]);
    let mut more = site.sync("more");
    more["source"]["url"] = json!(repo.url());
    deployed.upgrade(&json!({"config": config(&[site.sync("shop"), more])}));
    let uids = |pods: &[Value]| {
        let mut uids: Vec<String> = pods.iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
        uids.sort();
        uids
    };
    assert_eq!(uids(&deployed.ready_pods()), uids(&pods), "a new configuration restarts nothing");
    deployed.mount("second");
    agent.eventually_synced("more", &repo.head());
    assert!(site.has("configmaps", "extra"));
    agent.stop();

    let uid = |name: &str| site.get("configmaps", name).expect("it is there")["metadata"]["uid"].clone();
    let before = uid("settings");
    deployed.uninstall();
    assert!(site.has("deployments.apps", "web") && site.has("secrets", "password"), "they stay without the agent");
    assert!(site.parent("shop").is_some(), "and so does what is known of them");
    let again = Deployed::install(&site, &values);
    let agent = Agent::spawn(&site, again.command("third"));
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(uid("settings"), before);
    let made = agent.metric("driftless_apply_total", &["result=\"created\""]);
    assert!(made.is_none_or(|made| made < 1.0), "{made:?}");
}

#[test]
fn helm_installs_an_agent_for_one_namespace_that_stays_in_it() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = shop();
    let rbac = json!({"scope": "namespaced", "namespaces": [site.namespace]});
    let deployed = Deployed::install(&site, &json!({"rbac": rbac, "config": config(&[site.sync("shop")])}));
    let mark = audit::mark();
    let agent = the_agent_works(&site, &deployed);
    let refused = refused(&site, mark, &deployed.user());
    assert!(refused.iter().all(|one| is_about_all_namespaces(one)), "{refused:#?}");
    agent.stop();
}

/// What a team grants the account that the agent acts as.
fn deployer(site: &Site) -> Account {
    let deployer = Account::create(&site.namespace, "deployer");
    let rules = json!([
        every("", &["configmaps", "secrets", "services"]),
        every("apps", &["deployments", "statefulsets"]),
        every("networking.k8s.io", &["ingresses"]),
    ]);
    deployer.may(&site.namespace, "deployer", &rules);
    deployer
}

#[test]
fn helm_installs_an_agent_that_may_do_nothing_but_act_as_an_account() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = shop();
    let account = deployer(&site);
    let mut sync = site.sync("shop");
    sync["serviceAccount"] = json!(account.reference());
    let values = json!({"rbac": {"scope": "impersonation"}, "config": config(&[sync])});
    let deployed = Deployed::install(&site, &values);
    let mark = audit::mark();
    let agent = the_agent_works(&site, &deployed);
    let refused = refused(&site, mark, &deployed.user());
    assert!(refused.iter().all(|one| is_about_all_namespaces(one)), "{refused:#?}");
    assert!(refused.iter().all(|one| one.starts_with(&account.user())), "{refused:#?}");
    agent.stop();

    // Another version: as many pods as before are ready at every moment.
    let before = deployed.ready_pods();
    let mut newer = values.clone();
    newer["image"] = json!({"repository": "registry.example.com/driftless", "tag": "next"});
    let fewest = thread::scope(|scope| {
        let upgrade = scope.spawn(|| deployed.upgrade(&newer));
        let mut fewest = u64::MAX;
        while !upgrade.is_finished() {
            fewest = fewest.min(deployed.deployment()["status"]["readyReplicas"].as_u64().unwrap_or_default());
        }
        fewest
    });
    assert_eq!(fewest, 2);
    let after = deployed.ready_pods();
    assert!(after.iter().all(|pod| before.iter().all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"])));
}

/// The agent keeps its own objects equal to git without more rights than it has.
#[test]
fn an_agent_for_the_whole_cluster_syncs_the_plain_manifests_that_it_was_installed_from() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let deployed = Deployed::apply(&site, "cluster", |object| {
        if object["kind"] == "ConfigMap" {
            let mut config = site.configuration(&[site.sync("shop")]);
            config["leaderElection"] = json!({"enabled": true});
            object["data"]["driftless.yaml"] = json!(config.to_string());
        }
        let name = format!("{}-{}.json", object["kind"], object["metadata"]["name"]).replace('"', "");
        site.repo.write(&name, object.to_string());
    });
    let before = deployed.deployment();
    let commit = site.repo.commit_all("the agent itself");
    let agent = Agent::spawn(&site, deployed.command("first"));
    agent.eventually_synced("shop", &commit);
    let after = deployed.deployment();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["spec"], before["spec"], "nothing of it changed");
    let budget = path("poddisruptionbudgets.policy", Some(&site.home), &deployed.name);
    cluster().delete(&budget);
    eventually("it makes its own objects again", || check(cluster().get(&budget).is_some(), "it is gone"));

    // By a single object, since more of them would be held.
    site.repo.remove(&format!("PodDisruptionBudget-{}.json", deployed.name));
    let commit = site.repo.commit_all("without the budget");
    agent.eventually_synced("shop", &commit);
    assert!(cluster().get(&budget).is_some(), "what leaves git is not deleted");
}

/// Applies a file with the configuration of a site in it, and has the agent work.
#[track_caller]
fn apply_and_work(site: &Site, shape: &str, account: Option<&Account>) {
    let deployed = Deployed::apply(site, shape, |object| {
        if object["kind"] == "ConfigMap" {
            let text = object["data"]["driftless.yaml"].as_str().expect("a configuration");
            let mut config: Value = serde_saphyr::from_str(text).expect("YAML");
            assert_eq!(config["namespace"], "driftless");
            config["namespace"] = json!(site.home);
            let mut sync = site.sync("shop");
            if let Some(account) = account {
                sync["serviceAccount"] = json!(account.reference());
            }
            config["syncs"] = json!([sync]);
            object["data"]["driftless.yaml"] = json!(config.to_string());
        }
    });
    assert_eq!(deployed.ready_pods().len(), 2);
    let namespace = cluster().get(&path("namespaces", None, &site.home)).expect("a namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    the_agent_works(site, &deployed).stop();
}

#[test]
fn the_plain_manifests_install_the_same_for_the_whole_cluster() {
    if cluster().runs_workloads() {
        apply_and_work(&shop(), "cluster", None);
    }
}

#[test]
fn the_plain_manifests_install_the_same_for_one_namespace() {
    if cluster().runs_workloads() {
        apply_and_work(&shop(), "namespaced", None);
    }
}

#[test]
fn the_plain_manifests_install_the_same_for_one_account() {
    if cluster().runs_workloads() {
        let site = shop();
        let account = deployer(&site);
        apply_and_work(&site, "impersonation", Some(&account));
    }
}
