//! A story in which everything happens that a panel or an alert is about, played by two replicas to a
//! real Prometheus that has the rules loaded.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::assert_holds;
use super::files::{DASHBOARDS, dashboard, read, rows_under, rules, rules_file, text};
use super::ledger::Ledger;
use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::etcd;
use crate::support::git::TestRepo;
use crate::support::prometheus::{Prometheus, deploy};
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, within};

/// A Lease lasts 15 s; a busy machine takes its time.
const LONG: Duration = Duration::from_mins(2);
/// More than a sync may write Events about at once, by far.
const BURST: usize = 60;
const SYNCS: [&str; 7] = ["shop", "held", "broken", "ill", "remote", "paused", "watched"];

struct Story {
    site: Site,
    group: String,
    prometheus: Prometheus,
    ledger: Ledger,
    /// Alerts that were pending or firing.
    awake: BTreeSet<String>,
}

fn many(count: usize, prefix: &str) -> String {
    (0..count).map(|number| config_map(&format!("{prefix}{number}"), "1") + "---\n").collect()
}

/// Commits files as of now, and pushes; gives the commit's id. Those of other tests have one time always,
/// and their age would say nothing.
fn commit_now(repo: &TestRepo, files: &[(&str, &str)]) -> String {
    for (path, content) in files {
        repo.write(path, content);
    }
    repo.commit_unpushed("a commit");
    let now = jiff::Timestamp::now().as_second();
    let written = repo.git(&["cat-file", "commit", "HEAD"]);
    let lines = written.lines().map(|line| match line.strip_prefix("committer ") {
        Some(_) => format!("committer Ada <ada@example.com> {now} +0000\n"),
        None => format!("{line}\n"),
    });
    let commit = repo.git_with_input(&["hash-object", "-t", "commit", "-w", "--stdin"], &lines.collect::<String>());
    repo.git(&["reset", "--quiet", "--soft", &commit]);
    repo.push();
    commit
}

impl Story {
    /// Syncs of one repository: one that is well, and one for each trouble.
    fn begin() -> Self {
        let group = format!("g{}.example.com", fastrand::u32(..));
        let ill = deployment("ill", "nginx");
        let ill = ill.replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
        let site = Site::with(&[
            ("shop/a.yaml", &config_map("a", "1")),
            ("shop/contested.yaml", &config_map("contested", "1")),
            ("shop/gone.yaml", &config_map("gone", "1")),
            ("shop/web.yaml", &deployment("web", "nginx")),
            ("shop/many.yaml", &many(BURST, "c")),
            ("shop/crd.yaml", &crd(&group)),
            ("shop/one.yaml", &thing(&group, "one")),
            ("held/all.yaml", &many(12, "held")),
            ("broken/good.yaml", &config_map("good", "1")),
            ("broken/bad.yaml", &config_map("bad", "1").replace("\ndata:", "\ndatum:")),
            ("ill/ill.yaml", &ill),
            ("paused/a.yaml", &config_map("paused", "1")),
            ("watched/a.yaml", &config_map("watched", "1")),
        ]);
        commit_now(&site.repo, &[]);
        let prometheus = Prometheus::start(&rules_file());
        Self { site, group, prometheus, ledger: Ledger::new(&SYNCS), awake: BTreeSet::new() }
    }

    fn sync(&self, name: &str) -> Value {
        let mut sync = self.site.sync(name);
        sync["path"] = json!(name);
        match name {
            "ill" => sync["timeout"] = json!("1s"),
            // Nobody listens there.
            "remote" => sync["source"]["url"] = json!("http://127.0.0.1:1/remote.git"),
            "paused" => sync["suspend"] = json!(true),
            "watched" => sync["drift"] = json!("report"),
            _ => {}
        }
        sync
    }

    fn config_of(&self, replica: &str) -> PathBuf {
        self.site.scratch(&format!("{replica}/driftless.yaml"))
    }

    fn configure(&self, replica: &str) {
        let syncs: Vec<Value> = SYNCS.iter().map(|name| self.sync(name)).collect();
        let mut config = self.site.configuration(&syncs);
        config["leaderElection"] = json!({"enabled": true});
        config["dataDir"] = json!(self.site.scratch(&format!("{replica}/data")));
        config["audit"] = json!({"period": "3s", "maxPerSecond": 50});
        self.write(replica, &config.to_string());
    }

    /// The way an editor does: a new file in its place.
    fn write(&self, replica: &str, text: &str) {
        let file = self.config_of(replica);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(file.with_extension("new"), text).expect("a file");
        std::fs::rename(file.with_extension("new"), file).expect("a file");
    }

    fn start(&self, replica: &str) -> Agent {
        self.configure(replica);
        let command = self.site.command_as(&self.site.kubeconfig(), &self.config_of(replica), &["run"]);
        Agent::spawn(&self.site, command)
    }

    /// The alerts that are pending or firing now, as the rules engine has it.
    fn awake(&self) -> BTreeSet<String> {
        let rules = self.prometheus.rules();
        let awake = rules.iter().filter(|rule| rule["type"] == "alerting" && rule["state"] != "inactive");
        awake.map(|rule| text(rule, "name").to_owned()).collect()
    }

    /// Waits until these alerts are pending or firing, all at once, doing something before each sample.
    #[track_caller]
    fn provoke(&self, alerts: &[&str], act: impl Fn()) {
        within(LONG, &format!("{alerts:?} are pending or firing"), || {
            act();
            let awake = self.awake();
            check(alerts.iter().all(|alert| awake.contains(*alert)), format!("{awake:?}"))
        });
    }

    #[track_caller]
    fn until(&mut self, alerts: &[&str]) {
        self.provoke(alerts, || {});
        self.sample();
    }

    /// Evaluates everything.
    #[track_caller]
    fn sample(&mut self) {
        let awake = self.awake();
        self.awake.extend(awake);
        self.ledger.sample(&self.prometheus);
    }

    /// Waits until a series of this expression is there.
    #[track_caller]
    fn until_seen(&mut self, expression: &str) {
        within(LONG, expression, || {
            let seen = self.prometheus.query(expression).expect("an expression");
            check(!seen.is_empty(), "nothing")
        });
        self.sample();
    }
}

#[test]
fn every_panel_and_alert_shows_something_in_a_story_in_which_everything_happens() {
    if cluster().etcd().is_none() {
        println!("nothing can be changed behind the API server of somebody else, so this is not tried");
        return;
    }
    let mut story = Story::begin();
    let a = story.start("a");
    a.eventually_synced("shop", &story.site.repo.head());
    let b = story.start("b");
    b.eventually_logs(&["shop: standing by with commit"]);
    story.prometheus.scrape(&[("a", &a), ("b", &b)]);
    story.until_seen("count(driftless_leader) == 2 and sum(driftless_leader) == 1");

    // One sync fails, one does not get healthy, one cannot be read, one is suspended.
    story.until(&["DriftlessSyncFailing", "DriftlessUnhealthy", "DriftlessGitUnreachable", "DriftlessSuspended"]);
    story.until(&["DriftlessNotSynced"]);

    // A commit changes one object and removes one; somebody changes one by hand.
    story.site.repo.remove("shop/gone.yaml");
    let commit = commit_now(&story.site.repo, &[("shop/a.yaml", &config_map("a", "two"))]);
    a.eventually_synced("shop", &commit);
    story.site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand"}}));
    story.site.eventually_has("a", "two");
    story.until_seen("driftless_drift_detected_total{manager=\"tuner\"}");

    // Another one never rests. What is only reported stays.
    story.site.edit("configmaps", "watched", "tuner", &json!({"data": {"value": "by hand"}}));
    story.provoke(&["DriftlessDriftContested", "DriftlessDriftNotHealed"], || {
        story.site.edit("configmaps", "contested", "rival", &json!({"data": {"value": "theirs"}}));
    });
    story.sample();

    commit_now(&story.site.repo, &[("held/all.yaml", "")]);
    story.until(&["DriftlessPruneHeld"]);

    for number in 0..BURST {
        story.site.delete("configmaps", &format!("c{number}"));
    }
    story.until(&["DriftlessEventsDropped"]);

    let (group, namespace) = (story.group.clone(), story.site.namespace.clone());
    etcd::change(&group, "things", &namespace, "one", |stored| stored["spec"]["size"] = json!(7));
    story.until(&["DriftlessDriftMissed"]);

    story.write("b", "syncs: [{nonsense: true}]\n");
    story.until(&["DriftlessConfigRejected"]);
    story.configure("b");
    story.until_seen("min(driftless_config_valid) == 1");

    // The leader dies; the other one takes over when the Lease has run out.
    a.kill();
    story.until(&["DriftlessNoLeader", "DriftlessReplicaDown"]);
    story.until_seen("driftless_leader{instance=\"b\"} == 1 and on () driftless_sync_ready{instance=\"b\"} == 1");
    assert_variables_have_values(&story.prometheus);
    b.stop();
    story.until(&["DriftlessAbsent"]);

    let asleep: Vec<_> = rules("alert").into_iter().filter(|rule| !story.awake.contains(text(rule, "alert"))).collect();
    assert!(asleep.is_empty(), "never pending nor firing: {asleep:#?}");
    let broken: Vec<_> = story.prometheus.rules().into_iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let missing = story.ledger.missing();
    assert!(missing.is_empty(), "never showed anything:\n{}", missing.join("\n"));
    if std::env::var_os(super::REGENERATE).is_some() {
        let file = deploy().join("../docs/observability.md");
        let before = std::fs::read_to_string(&file).expect("the document");
        let head = before.split_once("\n## ").map_or(&*before, |(head, _)| head).trim_end();
        assert_holds(&file, &format!("{head}{}", story.ledger.tables()));
    }
}

/// What Grafana offers to choose from.
#[track_caller]
fn assert_variables_have_values(prometheus: &Prometheus) {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        for variable in dashboard["templating"]["list"].as_array().expect("variables") {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(',')).expect("label_values(series,label)");
            let selector = selector.replace("$cluster", ".*").replace("$namespace", ".*");
            let values = prometheus.label_values(label, &selector).expect("a selector");
            // Nothing here has a label `cluster`, as with most who have one cluster.
            assert_eq!(values.is_empty(), text(variable, "name") == "cluster", "{name}: {query}: {values:?}");
        }
    }
}

#[test]
fn the_table_lists_every_panel_and_every_rule() {
    if std::env::var_os(super::REGENERATE).is_some() {
        // The story writes it anew meanwhile.
        return;
    }
    let document = read("docs/observability.md");
    let expected = Ledger::new(&SYNCS).names();
    let mut places: Vec<&str> = expected.iter().map(|(place, _)| &**place).collect();
    places.dedup();
    let found: Vec<(String, String)> = places
        .iter()
        .flat_map(|place| rows_under(&document, place).into_iter().map(|row| ((*place).to_owned(), row[0].clone())))
        .collect();
    assert_eq!(found, expected);
    for (place, name) in &found {
        let row = rows_under(&document, place).into_iter().find(|row| row[0] == *name).expect("a row");
        assert!(row.len() == 2 && row[1].chars().any(|sign| sign.is_ascii_digit()), "{place}: {name} was not seen");
    }
    let sections = document.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(sections, places.len(), "a section for each dashboard, the alerts and the recording rules");
}
