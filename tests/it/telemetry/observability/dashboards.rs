//! Dashboards as Grafana's own conventions have them, so that they can be imported as they are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::files::{DASHBOARDS, dashboard, panels, text};

/// Of Grafana 10.4; later ones raise it by themselves.
const OLDEST_SCHEMA: u64 = 39;

fn variables(dashboard: &Value) -> &Vec<Value> {
    dashboard["templating"]["list"].as_array().expect("variables")
}

#[test]
fn a_dashboard_is_imported_without_an_edit() {
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert_eq!(dashboard["id"], Value::Null, "{name}: the number is the server's");
        assert!(dashboard.get("__inputs").is_none() && dashboard.get("__requires").is_none(), "{name} asks nothing");
        assert!(dashboard["schemaVersion"].as_u64() >= Some(OLDEST_SCHEMA), "{name}");
        assert_eq!(text(&dashboard, "uid"), format!("driftless-{name}"));
        assert!(uids.insert(text(&dashboard, "uid").to_owned()));
        assert!(text(&dashboard, "title").starts_with("driftless / "), "{name}");
        let first = &variables(&dashboard)[0];
        assert_eq!(
            (&first["name"], &first["type"], &first["query"]),
            (&"datasource".into(), &"datasource".into(), &"prometheus".into())
        );
        let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
        for variable in &variables(&dashboard)[1..] {
            assert_eq!(variable["datasource"], source, "{name}: {}", text(variable, "name"));
        }
        for panel in panels(&dashboard) {
            let title = text(&panel, "title");
            assert_eq!(panel["datasource"], source, "{name}: {title}");
            for target in panel["targets"].as_array().expect("targets") {
                assert_eq!(target["datasource"], source, "{name}: {title}");
            }
        }
        let text = dashboard.to_string();
        let mut known: Vec<String> =
            variables(&dashboard).iter().map(|one| format!("${}", one["name"].as_str().unwrap())).collect();
        known.extend(["$__rate_interval", "$__range"].map(ToOwned::to_owned));
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().expect("targets") {
                let expression = target["expr"].as_str().expect("an expression");
                for part in expression.split('$').skip(1) {
                    let end =
                        part.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').unwrap_or(part.len());
                    assert!(known.contains(&format!("${}", &part[..end])), "{name}: ${part} in {expression}");
                }
            }
        }
        assert!(!text.contains("localhost"), "{name} names no machine");
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_leads_on() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(&panel, "title").to_owned();
            assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{name}: {title} has the number of another");
            assert!(text(&panel, "description").ends_with('.'), "{name}: {title} has no sentence about itself");
            let kind = text(&panel, "type");
            if ["stat", "timeseries"].contains(&kind) {
                text(&panel["fieldConfig"]["defaults"], "unit");
            }
            // What colours say, words say as well.
            let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().expect("steps");
            if steps.len() > 1 {
                let mappings = panel["fieldConfig"]["defaults"]["mappings"].as_array().expect("mappings");
                assert!(!mappings.is_empty(), "{name}: {title} can be read by its colour only");
            }
            titles.insert(title);
        }
        let links = dashboard["links"].as_array().expect("links");
        let leads = links.iter().any(|link| {
            link["type"] == "dashboards" && link["tags"] == serde_json::json!(["driftless"]) && link["keepTime"] == true
        });
        assert!(leads, "{name} leads to the others");
        assert_eq!(dashboard["tags"], serde_json::json!(["driftless"]), "{name} is found by the others");
        assert_eq!(titles.len(), panels(&dashboard).len(), "{name}: two panels of one title");
    }
    let overview = dashboard("overview").to_string();
    assert!(
        overview.contains("/d/driftless-sync?var-sync=${__data.fields.Sync}"),
        "a sync's name leads to its dashboard"
    );
}

/// Two panels side by side, none over another, none outside of the 24 columns.
#[test]
fn no_panel_covers_another() {
    for name in DASHBOARDS {
        let mut taken = BTreeSet::new();
        for panel in dashboard(name)["panels"].as_array().expect("panels") {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
            assert!(at("x") + at("w") <= 24, "{name}: {}", panel["title"]);
            for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert((x, y)), "{name}: {} covers another panel", panel["title"]);
            }
        }
    }
}
