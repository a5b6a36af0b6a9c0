//! Every metric is on a dashboard, in a rule, or has a reason not to be.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{DASHBOARDS, dashboard, metrics_in, panels, read, rows_under, rules, text};

/// The metrics that docs/metrics.md lists, which a test beside the metrics compares with what is exposed.
fn documented() -> BTreeSet<String> {
    let document = read("docs/metrics.md");
    let sections = ["Counters", "Gauges", "Histograms", "The process"];
    let rows = sections.iter().flat_map(|section| rows_under(&document, section));
    rows.map(|row| row[0].clone()).collect()
}

/// Where each metric is used.
fn used() -> BTreeMap<String, Vec<String>> {
    let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = |place: &str, expression: &str| {
        for metric in metrics_in(expression) {
            used.entry(metric).or_default().push(place.to_owned());
        }
    };
    for name in DASHBOARDS {
        for panel in panels(&dashboard(name)) {
            for target in panel["targets"].as_array().expect("targets") {
                note(&format!("{name}: {}", text(&panel, "title")), text(target, "expr"));
            }
        }
    }
    for (key, rules) in [("alert", rules("alert")), ("record", rules("record"))] {
        for rule in rules {
            note(text(&rule, key), text(&rule, "expr"));
        }
    }
    used
}

#[test]
fn every_metric_is_on_a_dashboard_or_in_a_rule_or_has_a_reason_not_to_be() {
    let (documented, used) = (documented(), used());
    let reasons = rows_under(&read("docs/metrics.md"), "Not on a dashboard");
    let excused: BTreeSet<String> = reasons.iter().map(|row| row[0].clone()).collect();
    assert!(reasons.iter().all(|row| row[1].len() > 20), "a reason is a sentence: {reasons:?}");
    assert!(documented.len() > 30, "{documented:?}");
    let nowhere: Vec<_> = documented.iter().filter(|metric| !used.contains_key(*metric)).collect();
    assert_eq!(nowhere, excused.iter().collect::<Vec<_>>(), "what is used nowhere is what has a reason");
    let unknown: Vec<_> = used.iter().filter(|(metric, _)| !documented.contains(*metric)).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
}

/// Recording rules that nothing uses would be in the way of nobody but still cost.
#[test]
fn every_recording_rule_is_used_or_documented() {
    let document = read("docs/metrics.md");
    for rule in rules("record") {
        let name = text(&rule, "record");
        assert_eq!(name.split(':').count(), 3, "{name}: level:metric:operations");
        assert!(document.contains(&format!("`{name}`")), "docs/metrics.md does not have {name}");
    }
}
