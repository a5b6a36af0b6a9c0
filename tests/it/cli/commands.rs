//! The commands beside `plan`: exit codes, and acting on a running daemon.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

#[test]
fn run_once_ends_with_zero_when_everything_is_synced() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let done = site.once().expect_code(0);
    assert!(done.stdout.contains("shop: synced"), "{}", done.stdout);
    assert!(site.has("configmaps", "a"));
}

#[test]
fn run_once_ends_with_one_when_a_repository_cannot_be_read() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let [mut bad, good] = [site.sync("bad"), site.sync("good")];
    bad["source"]["url"] = json!(format!("file://{}/nothing.git", site.directory().display()));
    site.configure(&[bad, good]);
    let failed = site.once().expect_code(1);
    assert!(failed.stdout.contains("good: synced"), "the other sync is synced all the same: {}", failed.stdout);
    assert!(failed.all().contains("nothing.git"), "{}", failed.all());
    assert!(site.has("configmaps", "a"));
}

/// 2 says of `plan` that there are changes.
#[test]
fn an_argument_that_nobody_knows_ends_with_one_and_help_with_zero() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let wrong = site.cli(&["plan", "--sycn", "shop"]).expect_code(1);
    assert!(wrong.stderr.contains("--sycn"), "{}", wrong.all());
    let help = site.cli(&["plan", "--help"]).expect_code(0);
    assert!(help.stdout.contains("Usage: driftless plan"), "{}", help.all());
}

#[test]
fn run_once_ends_with_three_when_objects_do_not_become_healthy_in_time() {
    let never = deployment("web", "nginx")
        .replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
    let site = Site::with(&[("web.yaml", &never), ("a.yaml", &config_map("a", "1"))]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("2s");
    site.configure(&[sync.clone()]);
    let late = site.once().expect_code(3);
    assert!(late.stdout.contains("Deployment") && late.stdout.contains("web"), "{}", late.stdout);
    assert!(site.has("configmaps", "a"));
    site.cli(&["status"]).expect_code(3);

    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.once().expect_code(0);
}

#[test]
fn a_sync_is_not_begun_by_run_once_when_one_that_it_depends_on_fails() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let [mut infra, mut shop] = [site.sync("infra"), site.sync("shop")];
    infra["path"] = json!("nothing-here");
    shop["dependsOn"] = json!(["infra"]);
    site.configure(&[infra, shop]);
    let failed = site.once().expect_code(1);
    assert!(
        failed.stdout.lines().any(|line| line.starts_with("shop: failed") && line.contains("infra")),
        "{}",
        failed.stdout
    );
    assert!(!site.has("configmaps", "a"));
}

#[test]
fn check_distinguishes_good_from_bad() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let good = site.cli(&["check"]).expect_code(0);
    assert!(!good.stdout.contains("wrong"), "{}", good.stdout);
    if !cluster().is_foreign() {
        let denied = site.cli(&["check", "--context", "reader"]).expect_code(1);
        assert!(denied.stdout.contains("configmaps"), "it names what is missing: {}", denied.stdout);
    }
    let [mut bad, shop] = [site.sync("bad"), site.sync("shop")];
    bad["source"]["branch"] = json!("nowhere");
    site.configure(&[bad, shop]);
    let wrong = site.cli(&["check", "-o", "json"]).expect_code(1);
    let findings: Value = serde_json::from_str(&wrong.stdout).expect("JSON");
    let bad: Vec<&Value> = findings.as_array().expect("findings").iter().filter(|one| one["ok"] == false).collect();
    assert!(bad.len() == 1 && bad[0]["what"].to_string().contains("bad"), "{bad:?}");
}

#[test]
fn check_of_a_broken_configuration_names_line_and_column() {
    let site = Site::with(&[]);
    site.write_config("syncs:\n  - name: shop\n    source: {url: file:///x, branch: main}\n    intervall: 1s\n");
    for command in [&["check"][..], &["run", "--once"], &["plan"], &["status"], &["run"]] {
        let failed = site.cli(command).expect_code(1);
        assert!(failed.stderr.contains("driftless.yaml:4:5: "), "{command:?}: {}", failed.stderr);
        assert!(failed.stderr.contains("intervall"), "{command:?}: {}", failed.stderr);
    }
}

#[test]
fn status_shows_whether_all_is_well() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let before = site.cli(&["status"]).expect_code(3);
    assert!(before.stdout.contains("not synced yet"), "{}", before.stdout);
    site.once().expect_code(0);
    let well = site.cli(&["status"]).expect_code(0);
    assert!(well.stdout.contains("Synced") && well.stdout.contains(&site.repo.head()[..12]), "{}", well.stdout);
    let json: Value = serde_json::from_str(&site.cli(&["status", "-o", "json"]).expect_code(0).stdout).expect("JSON");
    assert_eq!(
        (&json[0]["sync"], &json[0]["phase"], &json[0]["configured"]),
        (&json!("shop"), &json!("Synced"), &json!(true))
    );

    site.delete("configmaps", "a");
    let gone = site.cli(&["status"]).expect_code(3);
    assert!(gone.stdout.contains("does not exist"), "{}", gone.stdout);
}

#[test]
fn status_lists_a_sync_that_left_the_configuration() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    site.configure(&[site.sync("other")]);
    let status = site.cli(&["status"]);
    let line = status.stdout.lines().find(|line| line.starts_with("shop")).expect("a line");
    assert!(line.contains("not in the configuration"), "{line}");
}

#[test]
fn suspend_and_resume_stop_a_running_sync_and_let_it_go_on() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.cli(&["suspend", "shop"]).expect_code(0);
    agent.eventually_is("shop", "Suspended");
    assert_eq!(agent.metric("driftless_sync_suspended", &["sync=\"shop\""]), Some(1.0));
    assert!(site.cli(&["status"]).stdout.contains("Suspended"));
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    site.delete("configmaps", "a");
    agent.kill();

    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Suspended");
    assert!(!site.has("configmaps", "a"), "a restart does not forget it");
    site.cli(&["resume", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("two"));
    assert_eq!(agent.metric("driftless_sync_suspended", &["sync=\"shop\""]), Some(0.0));
}

#[test]
fn sync_makes_a_daemon_poll_at_once() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let mut sync = site.sync("shop");
    sync["interval"] = json!("24h");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    for value in ["two", "three"] {
        let commit = site.repo.commit(&[("a.yaml", &config_map("a", value))]);
        site.cli(&["sync", "shop"]).expect_code(0);
        agent.eventually_synced("shop", &commit);
        assert_eq!(site.value_of("a").as_deref(), Some(value));
    }
}

#[test]
fn acting_on_a_sync_that_does_not_exist_is_an_error() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    for command in ["approve", "sync", "suspend", "resume"] {
        let failed = site.cli(&[command, "nothing"]).expect_code(1);
        assert!(failed.stderr.contains("nothing"), "{command}: {}", failed.stderr);
    }
    let nothing_held = site.cli(&["approve", "shop"]).expect_code(1);
    assert!(nothing_held.stderr.contains("nothing to approve"), "{}", nothing_held.stderr);
}

#[test]
fn an_approval_can_name_the_commit_that_was_reviewed() {
    let files: Vec<(String, String)> =
        (0..8).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::of_shop(&files);
    site.once().expect_code(0);
    let old = site.repo.head();
    for number in 0..7 {
        site.repo.remove(&format!("{number}.yaml"));
    }
    let commit = site.repo.commit_all("seven less");
    site.once().expect_code(4);
    site.cli(&["approve", "shop", "--commit", &old[..12]]).expect_code(1);
    site.once().expect_code(4);
    site.cli(&["approve", "shop", "--commit", &commit[..12]]).expect_code(0);
    site.once().expect_code(0);
    eventually("the approved objects are gone", || {
        let left = site.config_maps();
        check(left == ["c7"], format!("{left:?}"))
    });
}

#[test]
fn the_schema_of_the_configuration_is_printed() {
    let site = Site::with(&[]);
    let schema: Value = serde_json::from_str(&site.cli(&["config", "schema"]).expect_code(0).stdout).expect("JSON");
    let published = include_str!("../../../config/schema.json");
    assert_eq!(schema, serde_json::from_str::<Value>(published).expect("JSON"));
}

#[test]
fn a_cluster_that_cannot_be_reached_is_an_error_that_says_so() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let nowhere = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": format!("http://{free}")}}],
        "users": [{"name": "x", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]});
    std::fs::write(site.kubeconfig(), nowhere.to_string()).expect("a file");
    // Beside each other, since each tries for some seconds.
    std::thread::scope(|scope| {
        for command in [&["status"][..], &["plan"], &["run", "--once"], &["check"]] {
            let site = &site;
            scope.spawn(move || {
                let failed = site.cli(command).expect_code(1);
                assert!(failed.all().contains("cannot be reached"), "{command:?}: {}", failed.all());
            });
        }
    });
}
