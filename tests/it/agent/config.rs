//! The configuration: read again while the daemon runs, and never half.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// Two paths with one object each.
fn site() -> Site {
    Site::with(&[("one/a.yaml", &config_map("a", "1")), ("two/b.yaml", &config_map("b", "1"))])
}

fn sync_of(site: &Site, name: &str) -> serde_json::Value {
    let mut sync = site.sync(name);
    sync["path"] = json!(name);
    sync
}

#[test]
fn a_sync_that_is_added_is_synced_and_one_that_is_taken_out_deletes_nothing() {
    let site = site();
    site.configure(&[sync_of(&site, "one")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("one", &site.repo.head());
    assert!(!site.has("configmaps", "b"));

    site.configure(&[sync_of(&site, "one"), sync_of(&site, "two")]);
    agent.eventually_synced("two", &site.repo.head());
    assert!(site.has("configmaps", "b"));

    site.configure(&[sync_of(&site, "two")]);
    agent.eventually_logs(&["one", "no longer in the configuration"]);
    eventually("its metrics are gone", || {
        let ready = agent.metric("driftless_sync_ready", &["sync=\"one\""]);
        check(ready.is_none() && agent.sync("one").is_null(), format!("{ready:?}"))
    });
    agent.passes("two", 2);
    assert!(site.has("configmaps", "a"), "its objects stay");
    assert!(site.parent("one").is_some(), "and so does its inventory");

    site.configure(&[sync_of(&site, "one"), sync_of(&site, "two")]);
    agent.eventually_synced("one", &site.repo.head());
    assert_eq!(
        agent.metric("driftless_apply_total", &["sync=\"one\""]),
        None,
        "when it comes back, nothing is applied"
    );
}

#[test]
fn a_changed_sync_goes_on_with_its_new_settings() {
    let site = site();
    site.configure(&[sync_of(&site, "one")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("one", &site.repo.head());
    let mut changed = sync_of(&site, "one");
    changed["path"] = json!("two");
    site.configure(&[changed]);
    eventually("the other path is synced", || check(site.has("configmaps", "b"), format!("{:?}", site.config_maps())));
    // The one object is all that there was: few enough for a commit, and not for another path.
    agent.eventually_is("one", "Held");
    assert_eq!(site.config_maps(), ["a", "b"]);
    site.cli(&["approve", "one"]).expect_code(0);
    eventually("what only the old path had is pruned", || {
        let left = site.config_maps();
        check(left == ["b"], format!("{left:?}"))
    });
}

#[test]
fn a_broken_file_leaves_the_old_configuration_running_and_is_reported_everywhere() {
    let site = site();
    site.configure(&[sync_of(&site, "one")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("one", &site.repo.head());
    assert_eq!(agent.metric("driftless_config_valid", &[]), Some(1.0));

    site.write_config("syncs:\n  - name: one\n    source: {url: 7\n");
    agent.eventually_logs(&["ERROR", "configuration refused", "driftless.yaml:"]);
    assert_eq!(agent.metric("driftless_config_valid", &[]), Some(0.0));
    let config = agent.status()["config"].clone();
    assert_eq!(config["valid"], false);
    assert!(config["error"].as_str().is_some_and(|error| error.contains("driftless.yaml:")), "{config}");
    let commit = site.repo.commit(&[("one/a.yaml", &config_map("a", "two"))]);
    agent.eventually_synced("one", &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("two"), "it works on");

    site.configure(&[sync_of(&site, "one"), sync_of(&site, "two")]);
    agent.eventually_synced("two", &commit);
    assert_eq!(agent.metric("driftless_config_valid", &[]), Some(1.0));
    assert_eq!(agent.status()["config"]["valid"], true);
}

/// As a mounted `ConfigMap` is: the file is a link into a directory that is swapped as a whole.
#[test]
fn a_configuration_that_is_a_mounted_config_map_is_read_again_when_it_is_swapped() {
    let site = site();
    site.configure(&[sync_of(&site, "one")]);
    let mount = site.scratch("mount");
    let publish = |version: &str| {
        let data = mount.join(version);
        std::fs::create_dir_all(&data).expect("a directory");
        std::fs::copy(site.config_file(), data.join("driftless.yaml")).expect("a file");
        std::os::unix::fs::symlink(version, mount.join("..data_tmp")).expect("a link");
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a link");
    };
    publish("..1");
    std::os::unix::fs::symlink("..data/driftless.yaml", mount.join("driftless.yaml")).expect("a link");
    let agent = Agent::spawn(&site, site.command_for(&mount.join("driftless.yaml"), &["run"]));
    agent.eventually_synced("one", &site.repo.head());
    site.configure(&[sync_of(&site, "one"), sync_of(&site, "two")]);
    publish("..2");
    agent.eventually_synced("two", &site.repo.head());
    assert!(site.has("configmaps", "b"));
}

/// Scenario 28
#[test]
fn syncs_that_depend_on_each_other_are_an_error_that_spells_out_the_circle() {
    let site = site();
    let syncs = [("one", "two"), ("two", "three"), ("three", "one")].map(|(name, on)| {
        let mut sync = site.sync(name);
        sync["dependsOn"] = json!([on]);
        sync
    });
    site.configure(&syncs);
    let failed = site.once().expect_code(1);
    let circle = ["one", "two", "three", "one"];
    let spelled = failed.stderr.lines().any(|line| {
        let mut rest = line;
        circle.iter().all(|name| match rest.find(name) {
            Some(place) => {
                rest = &rest[place + name.len()..];
                true
            }
            None => false,
        })
    });
    assert!(spelled, "{}", failed.stderr);
    assert_eq!(site.config_maps(), [""; 0]);
}
