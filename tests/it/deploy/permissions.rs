//! The permissions that the chart grants are enough, and none of them is too much: whichever is
//! removed, `driftless check` names it, and a sync that needs it says so.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::deploy::{document, documents, rendered};
use crate::support::process::{Finished, run};
use crate::support::rights::Account;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const KINDS: &str = include_str!("kinds.yaml");

/// Group, resource and verb.
type Permission = (String, String, String);

/// The rules of a role as single permissions.
fn permissions(role: &Value) -> BTreeSet<Permission> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().expect("a list").iter();
        texts.map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for rule in role["rules"].as_array().expect("rules") {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    assert!(![&group, &resource, &verb].iter().any(|text| text.contains('*')), "{rule}");
                    let fresh = all.insert((group.clone(), resource.clone(), verb));
                    assert!(fresh, "granted twice: {rule}");
                }
            }
        }
    }
    all
}

/// The rules of a role that grants them.
fn rules<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> Value {
    let mut kinds: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (group, resource, verb) in permissions {
        kinds.entry((group, resource)).or_default().push(verb);
    }
    kinds
        .into_iter()
        .map(|((group, resource), verbs)| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}))
        .collect()
}

/// What the chart makes for a shape, of roles; `values` are those of `rbac`.
fn chart(values: &Value) -> Vec<Value> {
    let config = json!({"syncs": [{"name": "shop", "serviceAccount": "shop/deployer",
        "source": {"url": "https://git.example.com/shop.git", "branch": "main"}}]});
    let image = json!({"repository": "registry.example.com/driftless"});
    documents(&rendered(&json!({"image": image, "rbac": values, "config": config})).expect_code(0).stdout)
}

/// The object permissions of the two shapes that have any: of the whole cluster, of a namespace.
fn cluster_shape() -> BTreeSet<Permission> {
    permissions(document(&chart(&json!({"scope": "cluster"})), "ClusterRole", "driftless"))
}

fn namespaced_shape() -> BTreeSet<Permission> {
    let roles = chart(&json!({"scope": "namespaced", "namespaces": ["shop"]}));
    permissions(document(&roles, "Role", "driftless-objects"))
}

/// What the agent may do in its own namespace; the first is that of the cluster shape.
fn own(scope: &str) -> BTreeSet<Permission> {
    let namespaces = if scope == "namespaced" { json!(["shop"]) } else { json!([]) };
    permissions(document(&chart(&json!({"scope": scope, "namespaces": namespaces})), "Role", "driftless"))
}

/// A site whose configuration has leader election, as the chart's has; its sync applies everything
/// and deletes everything.
fn site(text: &str) -> Site {
    let site = Site::with(&[("keep.yaml", &config_map("keep", "1")), ("all.yaml", text)]);
    site.make_namespace(&site.home);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    sync["prune"] = json!({"include": ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"]});
    site.configure_with(&[sync], |config| config["leaderElection"] = json!({"enabled": true}));
    site
}

/// One object of each kind; the parts are those in a namespace, the others, and what is never applied.
pub(crate) fn kinds(site_id: &str) -> [String; 3] {
    let parts: Vec<String> = KINDS.replace("ID", site_id).split("---\n# ").map(ToOwned::to_owned).collect();
    let [namespaced, cluster, api] = parts.try_into().expect("three parts");
    [format!("# {namespaced}"), format!("# {cluster}"), format!("# {api}")]
}

fn command(site: &Site, account: &Account, arguments: &[&str]) -> Command {
    let kubeconfig = site.scratch(&format!("kubeconfig-{}", account.name));
    site.write_token(&kubeconfig, &account.token());
    site.command_as(&kubeconfig, &site.config_file(), arguments)
}

#[must_use = "it may have failed; `expect_code` shows that"]
fn cli(site: &Site, account: &Account, arguments: &[&str]) -> Finished {
    run(&mut command(site, account, arguments), None, Duration::from_secs(90))
}

/// What `driftless check` says is missing, and whether it is content all the same.
#[track_caller]
fn missing(site: &Site, account: &Account) -> (BTreeSet<Permission>, bool) {
    let checked = cli(site, account, &["check", "-o", "json"]);
    let findings: Value = serde_json::from_str(&checked.stdout).unwrap_or_else(|_| panic!("{}", checked.all()));
    let mut all = BTreeSet::new();
    for missing in findings.as_array().expect("findings").iter().filter_map(|one| one["missing"].as_array()).flatten() {
        for verb in missing["verbs"].as_array().expect("verbs") {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            all.insert((text(&missing["apiGroup"]), text(&missing["resource"]), text(verb)));
        }
    }
    (all, checked.code == Some(0))
}

/// Applies all of the repository as this account, prunes nearly all of it again, and is refused nothing.
#[track_caller]
fn syncs_and_prunes_everything(site: &Site, account: &Account, objects: usize) {
    assert_eq!(missing(site, account), (BTreeSet::new(), true));
    let mark = audit::mark();
    let first = cli(site, account, &["run", "--once"]).expect_code(0);
    assert!(first.all().contains(&format!("synced: {} objects", objects + 1)), "{}", first.all());
    site.repo.remove("all.yaml");
    site.repo.commit_all("all but one");
    cli(site, account, &["run", "--once", "--allow-prune"]).expect_code(0);
    assert_eq!(site.config_maps(), ["keep"]);
    let refused = mark.map(|mark| audit::requests_by(mark, &account.user())).unwrap_or_default();
    let refused: Vec<_> = refused.iter().filter(|(_, asked)| asked.code == 403).map(|(_, asked)| asked).collect();
    let is_expected = |asked: &audit::Asked| {
        // All namespaces at once, and its own namespace: where that is not granted it does without.
        (asked.verb == "list" && asked.what.ends_with(" /")) || asked.what == format!("namespaces {0}/{0}", site.home)
    };
    assert!(refused.iter().all(|asked| is_expected(asked)), "{refused:#?}");
}

/// In each of as many rounds as a kind has verbs, another verb of every kind is removed: each
/// permission once. What is named as missing is what was taken, and nothing else.
#[track_caller]
fn each_permission_is_missed(site: &Site, all: &BTreeSet<Permission>, grant: impl Fn(&Account, &Value)) {
    let mut kinds: BTreeMap<(&str, &str), Vec<&Permission>> = BTreeMap::new();
    for permission in all {
        kinds.entry((&permission.0, &permission.1)).or_default().push(permission);
    }
    let rounds = kinds.values().map(Vec::len).max().expect("kinds");
    let mut taken_ever = BTreeSet::new();
    for round in 0..rounds {
        let taken = kinds.values().enumerate().filter_map(|(index, verbs)| verbs.get((index + round) % rounds));
        let taken: BTreeSet<Permission> = taken.map(|permission| (*permission).clone()).collect();
        let account = Account::create(&site.home, &format!("round-{round}"));
        grant(&account, &rules(all.difference(&taken)));
        assert_eq!(missing(site, &account), (taken.clone(), false));
        taken_ever.extend(taken);
    }
    assert_eq!(taken_ever, *all);
}

#[test]
fn what_the_cluster_shape_grants_is_enough_for_all_its_kinds_and_each_of_it_is_needed() {
    // Without controllers, namespaces and claims would never end.
    if !cluster().runs_workloads() {
        return;
    }
    let site = site("");
    let [namespaced, others, api] = kinds(&site.id);
    let applied = format!("{namespaced}---\n{others}");
    site.repo.commit(&[("all.yaml", &applied)]);
    let objects = applied.matches("\nkind: ").count();
    let (all, own) = (cluster_shape(), rules(&own("cluster")));
    let grant = |account: &Account, granted: &Value| {
        account.may(&site.home, &account.name, &own);
        account.may_everywhere(&site, &format!("{}-{}", account.name, site.id), granted);
    };
    let account = Account::create(&site.home, "driftless");
    grant(&account, &rules(&all));
    syncs_and_prunes_everything(&site, &account, objects);
    site.repo.commit(&[("all.yaml", &format!("{applied}---\n{api}"))]);
    each_permission_is_missed(&site, &all, grant);
}

#[test]
fn what_the_namespaced_shape_grants_is_enough_for_all_its_kinds_and_each_of_it_is_needed() {
    // Without controllers, namespaces and claims would never end.
    if !cluster().runs_workloads() {
        return;
    }
    let site = site("");
    let [namespaced, ..] = kinds(&site.id);
    site.repo.commit(&[("all.yaml", &namespaced)]);
    let (all, own) = (namespaced_shape(), rules(&own("namespaced")));
    let grant = |account: &Account, granted: &Value| {
        account.may(&site.home, &account.name, &own);
        account.may(&site.namespace, &account.name, granted);
    };
    let account = Account::create(&site.home, "driftless");
    grant(&account, &rules(&all));
    syncs_and_prunes_everything(&site, &account, namespaced.matches("\nkind: ").count());
    site.repo.commit(&[("all.yaml", &namespaced)]);
    each_permission_is_missed(&site, &all, grant);
}

/// Those of its own namespace one by one, with what `docs/permissions.md` says of each.
#[test]
fn check_names_each_permission_of_its_own_that_is_taken_away() {
    let site = site("");
    site.repo.remove("all.yaml");
    site.repo.commit_all("a ConfigMap");
    let all = own("namespaced");
    assert_eq!(all, own("impersonation"), "the shapes have the same");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/permissions.md")).expect("a file");
    for (number, taken) in all.iter().enumerate() {
        let (group, resource, verb) = taken;
        let named = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
        let row = text.lines().find(|line| line.starts_with(&format!("| `{named}` |")));
        let verbs = row.and_then(|row| row.split('|').nth(2)).unwrap_or_else(|| panic!("no row for {named}"));
        assert!(verbs.split(',').any(|one| one.trim() == verb), "{verb} of {named} is documented: {verbs}");

        let account = Account::create(&site.home, &format!("without-{number}"));
        account.may(&site.home, &account.name, &rules(all.iter().filter(|one| *one != taken)));
        account.may(&site.namespace, &account.name, &rules(&namespaced_shape()));
        let goes_on = group == "events.k8s.io";
        assert_eq!(missing(&site, &account), (BTreeSet::from([taken.clone()]), goes_on), "without {taken:?}");
    }
}

/// A site with an account that has all of the namespaced shape but one permission: in its own
/// namespace or of the objects.
fn lacking(is_own: bool, (group, resource, verb): (&str, &str, &str)) -> (Site, Account) {
    let site = site("");
    site.repo.remove("all.yaml");
    site.repo.commit_all("a ConfigMap");
    let taken: Permission = (group.into(), resource.into(), verb.into());
    let [mut own, mut objects] = [own("namespaced"), namespaced_shape()];
    let had = if is_own { own.remove(&taken) } else { objects.remove(&taken) };
    assert!(had, "{taken:?} was granted");
    let account = Account::create(&site.home, "driftless");
    account.may(&site.home, "own", &rules(&own));
    account.may(&site.namespace, "objects", &rules(&objects));
    (site, account)
}

#[test]
fn a_sync_that_lacks_one_permission_fails_and_names_it() {
    let cases = [
        (true, ("", "configmaps"), ["get", "list", "create", "patch"].as_slice()),
        (true, ("", "secrets"), &["get", "create"]),
        (false, ("", "configmaps"), &["get", "list", "create", "patch"]),
    ];
    let lacks = |is_own: bool, (group, resource): (&str, &str), verb: &str| {
        let (site, account) = lacking(is_own, (group, resource, verb));
        let place = if is_own { &site.home } else { &site.namespace };
        let text = cli(&site, &account, &["run", "--once"]).expect_code(1).all();
        let reported = format!("{} may not {verb} {resource} in {place}", account.user());
        assert!(text.contains(&reported), "{reported}: {text}");
    };
    thread::scope(|scope| {
        for (is_own, kind, verbs) in cases {
            scope.spawn(move || verbs.iter().for_each(|verb| lacks(is_own, kind, verb)));
        }
    });
}

#[test]
fn an_agent_that_lacks_a_permission_for_its_lease_says_so_and_writes_nothing() {
    for verb in ["get", "create", "update"] {
        let (site, account) = lacking(true, ("coordination.k8s.io", "leases", verb));
        if verb == "update" {
            // What another replica left behind.
            let ended = cli(&site, &account, &["run", "--once"]);
            let lease = path("leases.coordination.k8s.io", Some(&site.home), "driftless");
            assert!(cluster().get(&lease).is_some(), "{}", ended.all());
            site.delete("configmaps", "keep");
        }
        let agent = Agent::spawn(&site, command(&site, &account, &["run"]));
        agent.eventually_logs(&[&format!("may not {verb} leases.coordination.k8s.io in {}", site.home)]);
        agent.eventually_logs(&["shop: standing by"]);
        assert!(!site.has("configmaps", "keep"), "without {verb}");
    }
}

#[test]
fn an_agent_without_the_rest_goes_on_and_reports_what_it_cannot_do() {
    let drift = |site: &Site| {
        site.edit("configmaps", "keep", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
        site.eventually_has("keep", "1");
    };
    for (is_own, (group, resource, verb), reported) in [
        (true, ("", "configmaps", "watch"), "approve, sync, suspend and resume are not noticed"),
        (false, ("", "configmaps", "watch"), "cannot watch ConfigMap in "),
        (false, ("events.k8s.io", "events", "create"), "may not create events.events.k8s.io in "),
    ] {
        let (site, account) = lacking(is_own, (group, resource, verb));
        let agent = Agent::spawn(&site, command(&site, &account, &["run"]));
        agent.eventually_synced("shop", &site.repo.head());
        drift(&site);
        agent.eventually_logs(&[reported, if is_own { &site.home } else { &site.namespace }]);
        let Some(mark) = audit::mark().filter(|_| is_own) else { continue };
        eventually("it goes on trying", || {
            let asked = audit::requests_since(mark, &account.user());
            let tried = asked.iter().filter(|asked| asked.code == 403 && asked.verb == "watch").count();
            check(tried > 1, tried)
        });
        let lines: Vec<String> = agent.log().into_iter().filter(|line| line.contains("watch")).collect();
        assert_eq!(lines.len(), 1, "it is reported once: {lines:#?}");
    }
    let (site, account) = lacking(false, ("", "configmaps", "delete"));
    site.repo.commit(&[("old.yaml", &config_map("old", "1"))]);
    let agent = Agent::spawn(&site, command(&site, &account, &["run"]));
    agent.eventually_synced("shop", &site.repo.head());
    site.repo.remove("old.yaml");
    site.repo.commit_all("without the old one");
    let status = agent.eventually_is("shop", "Failing");
    assert!(status.to_string().contains("may not delete configmaps in"), "{status}");
    assert!(site.has("configmaps", "old"));
    drift(&site);
}
