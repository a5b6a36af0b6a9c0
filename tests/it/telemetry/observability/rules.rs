//! Alerts and recording rules: what promtool says of them, and that each can be acted on.

use std::collections::{BTreeMap, BTreeSet};

use super::assert_holds;
use super::files::{read, rules, text, yaml};
use crate::support::prometheus::{deploy, promtool};

const RULES: &str = "driftless.rules.yaml";
const TESTS: &str = "driftless.tests.yaml";

#[test]
fn promtool_accepts_the_rules_and_every_alert_fires_when_it_should() {
    let directory = deploy().join("prometheus");
    let checked = promtool(&["check", "rules", RULES], &directory).expect_code(0);
    assert!(checked.stdout.contains("SUCCESS"), "{}", checked.all());
    promtool(&["test", "rules", TESTS], &directory).expect_code(0);
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for test in yaml(&format!("deploy/prometheus/{TESTS}"))["tests"].as_array().expect("tests") {
        for check in test["alert_rule_test"].as_array().expect("checks") {
            let counts = found.entry(text(check, "alertname").to_owned()).or_default();
            let fires = check["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
            if fires { counts.0 += 1 } else { counts.1 += 1 }
        }
    }
    let alerts = rules("alert");
    for alert in &alerts {
        let name = text(alert, "alert");
        let (fires, rests) = found.get(name).copied().unwrap_or_default();
        assert!(fires > 0 && rests > 0, "{name} is tested {fires} times firing and {rests} times not");
    }
    assert_eq!(found.len(), alerts.len(), "the tests are about the alerts that there are: {:?}", found.keys());
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_where_its_runbook_is() {
    let runbooks = read("docs/alerts.md");
    let headings: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## Driftless")).collect();
    let alerts = rules("alert");
    let mut pages = BTreeSet::new();
    for alert in &alerts {
        let name = text(alert, "alert");
        let severity = text(&alert["labels"], "severity");
        assert!(["info", "warning", "critical"].contains(&severity), "{name}: {severity}");
        assert!(text(&alert["annotations"], "summary").len() < 100, "{name}: the summary is one line");
        assert!(text(&alert["annotations"], "description").ends_with('.'), "{name}: the description is a sentence");
        let (page, anchor) = text(&alert["annotations"], "runbook_url").split_once('#').expect("an anchor");
        assert!(page.ends_with("/docs/alerts.md"), "{name}: {page}");
        pages.insert(page.to_owned());
        assert_eq!(anchor, name.to_lowercase(), "{name}");
        assert!(headings.iter().any(|heading| format!("Driftless{heading}") == name), "no runbook for {name}");
        let section = runbooks.split("\n## ").find(|section| section.starts_with(name)).expect("a section");
        assert!(section.contains(&format!("Severity: {severity}.")), "the runbook of {name} says how bad it is");
    }
    assert_eq!(pages.len(), 1, "one address to replace: {pages:?}");
    assert_eq!(headings.len(), alerts.len(), "a runbook for each alert and no other: {headings:?}");
}

/// The object for the Prometheus Operator has the same groups, moved to the right.
#[test]
fn the_prometheus_rule_is_made_from_the_rules() {
    let rules = read(&format!("deploy/prometheus/{RULES}"));
    let (_, groups) = rules.split_once("\ngroups:\n").expect("groups");
    let mut object = "# Made from driftless.rules.yaml by `make regenerate`.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: driftless\n  labels:\n    \
         app.kubernetes.io/name: driftless\nspec:\n  groups:\n"
        .to_owned();
    for line in groups.lines() {
        let indent = if line.is_empty() { "" } else { "  " };
        object += &format!("{indent}{line}\n");
    }
    let file = deploy().join("prometheus/prometheusrule.yaml");
    assert_holds(&file, &object);
    let made = yaml("deploy/prometheus/prometheusrule.yaml");
    assert_eq!(made["spec"]["groups"], yaml(&format!("deploy/prometheus/{RULES}"))["groups"]);
}
