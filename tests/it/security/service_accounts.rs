//! Least permission: a sync acts as its service account and as nobody else, and what that may not do
//! is reported exactly and costs only itself.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit::{self, Asked};
use crate::support::cluster::{cluster, path};
use crate::support::rights::{Account, every, least_agent, lend};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

/// A sync of a directory, for a namespace, as an account.
fn sync_as(site: &Site, name: &str, namespace: &str, account: &Account) -> Value {
    let mut sync = site.sync(name);
    sync["path"] = json!(name);
    sync["targetNamespace"] = json!(namespace);
    sync["serviceAccount"] = json!(account.reference());
    sync["wait"] = json!(false);
    sync
}

/// A site with one sync `shop` as an account without permissions, and an agent that has as few as it
/// can.
fn shop_as_deployer(files: &[(&str, &str)]) -> (Site, Account) {
    let site = Site::with(files);
    let deployer = Account::create(&site.namespace, "deployer");
    least_agent(&site, &[&deployer]);
    let mut sync = sync_as(&site, "shop", &site.namespace, &deployer);
    sync["path"] = json!(".");
    site.configure(&[sync]);
    (site, deployer)
}

/// Whether a request is about what is the agent's own.
fn is_own(site: &Site, asked: &Asked) -> bool {
    let home = format!(" {}/", site.home);
    let own = ["configmaps", "secrets", "leases"].map(|resource| format!("{resource}{home}"));
    own.iter().any(|own| asked.what.starts_with(own.as_str()))
        || asked.what == format!("namespaces {}/{}", site.home, site.home)
        || asked.what.starts_with("events ")
        // What kinds there are, for the syncs that have no account.
        || asked.what == "/api" || asked.what == "/apis"
}

#[test]
fn every_request_about_the_objects_of_a_sync_is_made_as_its_service_account() {
    let site = Site::with(&[]);
    let other = format!("other-{}", site.id);
    site.make_namespace(&other);
    let deployer = Account::create(&site.namespace, "deployer");
    let second = Account::create(&other, "second");
    let agent_account = least_agent(&site, &[&deployer, &second]);
    for account in [&deployer, &second] {
        account.may(&account.namespace, "all", &json!([every("", &["configmaps"]), every("apps", &["deployments"])]));
    }
    let idle = deployment("web", "nginx").replace("replicas: 1", "replicas: 0");
    site.repo.commit(&[
        ("shop/a.yaml", &config_map("a", "1")),
        ("shop/old.yaml", &config_map("old", "1")),
        ("shop/web.yaml", &idle),
        ("more/b.yaml", &config_map("b", "1")),
    ]);
    site.configure(&[sync_as(&site, "shop", &site.namespace, &deployer), sync_as(&site, "more", &other, &second)]);
    let mark = audit::mark();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.eventually_synced("more", &site.repo.head());
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("drift is put back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    site.repo.remove("shop/old.yaml");
    let commit = site.repo.commit(&[("shop/new.yaml", &config_map("new", "1"))]);
    agent.eventually_synced("shop", &commit);
    eventually("what left git is gone", || check(!site.has("configmaps", "old"), "it is there"));
    assert_eq!(site.cli(&["plan"]).code, Some(0));
    agent.stop();

    let Some(mark) = mark else { return };
    let asked = audit::requests_by(mark, &agent_account.user());
    let (own, lent): (Vec<_>, Vec<_>) = asked.iter().partition(|(user, _)| user.is_none());
    let strange: Vec<_> = own.iter().filter(|(_, asked)| !is_own(&site, asked)).collect();
    assert!(strange.is_empty(), "as the agent itself: {strange:#?}");
    for (account, namespace, foreign) in [(&deployer, &site.namespace, &other), (&second, &other, &site.namespace)] {
        let user = Some(account.user());
        let as_account = || lent.iter().filter(|(as_user, _)| *as_user == user).map(|(_, asked)| asked);
        for verb in ["list", "watch", "get", "patch"] {
            let place = format!(" {namespace}/");
            assert!(as_account().any(|asked| asked.verb == verb && asked.what.contains(&place)), "{verb} {account:?}");
        }
        assert!(as_account().any(|asked| asked.what == "/apis"), "{account:?} finds out which kinds there are");
        let of_others: Vec<_> = as_account().filter(|asked| asked.what.contains(&format!(" {foreign}/"))).collect();
        assert!(of_others.is_empty(), "{of_others:#?}");
        assert!(!as_account().any(|asked| asked.what.contains(&format!(" {}/", site.home))), "{account:?}");
    }
    let deleted = format!("configmaps {}/old", site.namespace);
    let user = Some(deployer.user());
    assert!(lent.iter().any(|(as_user, asked)| *as_user == user && asked.verb == "delete" && asked.what == deleted));
}

/// The groups that a kubeconfig impersonates are those of whom it impersonates, and of nobody else.
#[test]
fn an_account_without_permissions_borrows_none_from_the_kubeconfig() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let powerless = Account::create(&site.namespace, "powerless");
    let mut sync = site.sync("shop");
    sync["serviceAccount"] = json!(powerless.reference());
    site.configure(&[sync]);
    let text = site.once().expect_code(1).all();
    let reported = format!("{} may not list configmaps in {}", powerless.user(), site.namespace);
    assert!(text.contains(&reported), "{text}");
    assert!(!site.has("configmaps", "a"));
}

#[test]
fn a_missing_permission_is_reported_with_its_rule_once_a_kind_and_nothing_else_waits_for_it() {
    let (site, deployer) =
        shop_as_deployer(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    let readable =
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch", "patch"]});
    deployer.may(&site.namespace, "first", &json!([every("", &["configmaps"]), readable]));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    site.repo.remove("old.yaml");
    let idle = |number: u32| deployment(&format!("web-{number:02}"), "nginx").replace("replicas: 1", "replicas: 0");
    for number in 0..60 {
        site.repo.write(&format!("web/{number:02}.yaml"), idle(number));
    }
    let commit = site.repo.commit(&[("b.yaml", &config_map("b", "1"))]);
    let status = agent.eventually_is("shop", "Failing");
    let rule = "{apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"create\"]}";
    let missing = format!("{} may not create deployments.apps in {}", deployer.user(), site.namespace);
    let message = status["message"].as_str().expect("a message");
    for part in ["60 objects of kind Deployment.apps in", &missing, rule, "web/"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(status["summary"].as_array().map(Vec::len), Some(1), "{status}");
    let problems = status["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 50, "each object has its own, up to the bound");
    assert!(problems.iter().all(|one| one["object"]["name"].as_str().is_some_and(|name| name.starts_with("web-"))));
    let loud = agent.log().into_iter().filter(|line| line.contains("ERROR") && line.contains(&missing)).count();
    assert!((1..=20).contains(&loud), "{loud} lines for 60 objects");
    let shown = site.cli(&["status"]).expect_code(3).stdout;
    assert!(shown.matches(rule).count() <= 2 && shown.contains(rule), "{shown}");

    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a", "b", "old"], "the rest is applied, and nothing is pruned");
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("the drift of others is put back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });

    deployer.may(&site.namespace, "second", &json!([every("apps", &["deployments"])]));
    agent.eventually_synced("shop", &commit);
    assert_eq!(agent.sync("shop").get("summary"), None);
    eventually("what left git is pruned now", || check(!site.has("configmaps", "old"), "it is there"));
}

#[test]
fn what_may_be_read_in_one_namespace_alone_is_synced_and_watched_there() {
    let site = Site::with(&[]);
    let closed = format!("closed-{}", site.id);
    site.make_namespace(&closed);
    let elsewhere = config_map("b", "1").replace("  name: b\n", &format!("  name: b\n  namespace: {closed}\n"));
    site.repo.commit(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &elsewhere)]);
    let deployer = Account::create(&site.namespace, "deployer");
    least_agent(&site, &[&deployer]);
    deployer.may(&site.namespace, "all", &json!([every("", &["configmaps"])]));
    let mut sync = sync_as(&site, "shop", &site.namespace, &deployer);
    sync["path"] = json!(".");
    sync["interval"] = json!("24h");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    let status = agent.eventually_is("shop", "Failing");
    let reported = format!("may not list configmaps in {closed}");
    let problems = status["problems"].to_string();
    assert!(problems.contains(&reported) && !problems.contains("/a\""), "{status}");
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
    assert!(cluster().get(&path("configmaps", Some(&closed), "b")).is_none());

    let Some(mark) = audit::mark() else { return };
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("drift is put back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    agent.eventually_logs(&["/a healed after"]);
    let object = format!("configmaps {}/a", site.namespace);
    let patches = audit::requests_since(mark, &deployer.user());
    assert!(patches.iter().any(|asked| asked.verb == "patch" && asked.what == object), "{patches:#?}");
    let kind = format!("configmaps {}/", site.namespace);
    agent.stop();
    let watches = audit::requests_since(mark, &deployer.user());
    assert!(watches.iter().any(|asked| asked.verb == "watch" && asked.what == kind), "{watches:#?}");
}

#[test]
fn an_agent_that_may_not_act_as_the_account_says_so_and_touches_nothing() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let deployer = Account::create(&site.namespace, "deployer");
    deployer.may(&site.namespace, "all", &json!([every("", &["configmaps"])]));
    let agent_account = least_agent(&site, &[]);
    let mut sync = site.sync("shop");
    sync["serviceAccount"] = json!(deployer.reference());
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    let status = agent.eventually_is("shop", "Failing");
    let message = status["message"].as_str().expect("a message");
    let missing =
        format!("{} may not impersonate serviceaccounts deployer in {}", agent_account.user(), site.namespace);
    assert!(message.contains(&missing), "{message}");
    let rule = "{apiGroups: [\"\"], resources: [\"serviceaccounts\"], resourceNames: [\"deployer\"], verbs: [\"impersonate\"]}";
    assert!(message.contains(rule), "{message}");
    assert_eq!(site.config_maps(), [""; 0]);

    lend(&agent_account, &deployer);
    agent.eventually_synced("shop", &site.repo.head());
}

#[test]
fn check_lists_what_is_missing_and_is_content_once_it_is_granted() {
    let (site, deployer) =
        shop_as_deployer(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    let reading = json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]});
    deployer.may(&site.namespace, "some", &json!([every("", &["configmaps"]), reading]));
    let text = site.cli(&["check"]).expect_code(1).stdout;
    let rule = "- {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: [\"create\", \"delete\", \"patch\", \"watch\"]}";
    for part in [rule, "create, delete, patch, watch  required", &deployer.user(), "4 of 12 are missing"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: Value = serde_json::from_str(&site.cli(&["check", "-o", "json"]).expect_code(1).stdout).expect("JSON");
    let yaml: Value = serde_saphyr::from_str(&site.cli(&["check", "-o", "yaml"]).expect_code(1).stdout).expect("YAML");
    assert_eq!(json, yaml);
    let bad: Vec<&Value> = json.as_array().expect("findings").iter().filter(|one| one["ok"] == false).collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    let missing = &bad[0]["missing"][0];
    assert_eq!(
        (&missing["apiGroup"], &missing["resource"], &missing["namespace"], &missing["required"]),
        (&json!("apps"), &json!("deployments"), &json!(site.namespace), &json!(true))
    );
    let optional = json.to_string().contains("events.k8s.io");
    assert!(optional, "what is good to have is reported, and is no error: {json}");

    deployer.may(
        &site.namespace,
        "more",
        &json!([
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "patch", "watch"]}]),
    );
    let text = site.cli(&["check"]).expect_code(1).stdout;
    assert!(text.contains("verbs: [\"delete\"]"), "{text}");
    let mut keeping = sync_as(&site, "shop", &site.namespace, &deployer);
    keeping["path"] = json!(".");
    keeping["prune"] = json!({"enabled": false});
    site.configure(&[keeping]);
    site.cli(&["check"]).expect_code(0);
}

#[test]
fn check_names_what_the_agent_itself_lacks() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    site.make_namespace(&site.home);
    let agent = Account::create(&site.home, "driftless");
    let deployer = Account::create(&site.namespace, "deployer");
    site.use_token(&agent.token());
    let mut sync = site.sync("shop");
    sync["serviceAccount"] = json!(deployer.reference());
    site.configure(&[sync]);
    let text = site.cli(&["check"]).expect_code(1).stdout;
    for part in [
        "{apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"create\", \"delete\", \"get\", \"list\", \"patch\", \"watch\"]}",
        "{apiGroups: [\"\"], resources: [\"secrets\"], verbs: [\"create\", \"get\"]}",
        "resourceNames: [\"deployer\"], verbs: [\"impersonate\"]}",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("leases"), "leader election is off: {text}");
}
