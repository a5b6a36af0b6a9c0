//! The rules and the dashboards, read as values.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::prometheus::deploy;

pub const DASHBOARDS: [&str; 3] = ["overview", "sync", "agent"];

pub fn rules_file() -> PathBuf {
    deploy().join("prometheus/driftless.rules.yaml")
}

/// A file of the repository.
#[track_caller]
pub fn read(path: &str) -> String {
    let file = deploy().join("..").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
pub fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
pub fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("deploy/grafana/{name}.json"))).expect("JSON")
}

/// The panels that show something, in their order; rows are headings.
pub fn panels(dashboard: &Value) -> Vec<Value> {
    let all = dashboard["panels"].as_array().expect("panels").iter();
    all.filter(|panel| panel["type"] != "row").cloned().collect()
}

/// The rules of all groups that have this key: `alert` or `record`.
pub fn rules(key: &str) -> Vec<Value> {
    let groups = yaml("deploy/prometheus/driftless.rules.yaml")["groups"].as_array().expect("groups").clone();
    let all = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone());
    all.filter(|rule| rule.get(key).is_some()).collect()
}

#[track_caller]
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

/// The metrics that an expression names, without what a histogram appends to its name.
pub fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_' && sign != ':');
    let ours = words.filter(|word| word.starts_with("driftless_") || word.starts_with("process_"));
    ours.map(|word| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        base.unwrap_or(word).to_owned()
    })
    .collect()
}

/// The cells of a table's rows, of all tables under a heading of the second level.
pub fn rows_under(document: &str, heading: &str) -> Vec<Vec<String>> {
    let from = document.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap_or_default();
    let rows = from.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    });
    // The first row names the columns.
    cells.skip(1).collect()
}
