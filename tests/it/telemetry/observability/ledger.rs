//! What every expression of every panel, alert and recording rule gave during the story.

use super::files::{DASHBOARDS, dashboard, panels, rules, text};
use crate::support::prometheus::{Prometheus, Sample};

/// Series of one expression that the table shows.
const SHOWN: usize = 3;

/// One expression, and the most that it ever gave.
struct Entry {
    /// The dashboard's title, or `Alerts`, or `Recording rules`.
    place: String,
    /// Of the panel or the rule.
    name: String,
    /// Which of several of a panel it is.
    part: String,
    expression: String,
    unit: String,
    best: Vec<Sample>,
}

pub struct Ledger {
    entries: Vec<Entry>,
    /// What `$sync` stands for: each in turn.
    syncs: Vec<String>,
}

impl Ledger {
    pub fn new(syncs: &[&str]) -> Self {
        let mut entries = Vec::new();
        for name in DASHBOARDS {
            let dashboard = dashboard(name);
            for panel in panels(&dashboard) {
                entries.extend(of_panel(text(&dashboard, "title"), &panel));
            }
        }
        for (place, key) in [("Alerts", "alert"), ("Recording rules", "record")] {
            for rule in rules(key) {
                let name = text(&rule, key).to_owned();
                // What was recorded is asked for by its name.
                let expression = if key == "record" { name.clone() } else { text(&rule, "expr").to_owned() };
                let unit = if name.contains("_seconds") { "s" } else { "" }.to_owned();
                let (place, part) = (place.to_owned(), String::new());
                entries.push(Entry { place, name, part, expression, unit, best: Vec::new() });
            }
        }
        Self { entries, syncs: syncs.iter().map(|&sync| sync.to_owned()).collect() }
    }

    /// Evaluates everything once, and keeps the most that each gave.
    #[track_caller]
    pub fn sample(&mut self, prometheus: &Prometheus) {
        for entry in &mut self.entries {
            let syncs = if entry.expression.contains("$sync") { &self.syncs[..] } else { &self.syncs[..1] };
            for sync in syncs {
                let expression = filled(&entry.expression, sync);
                let found = prometheus.query(&expression);
                let found = found.unwrap_or_else(|error| panic!("{}: {}: {error}", entry.place, entry.name));
                if !found.is_empty() && (entry.best.is_empty() || weight(&found) > weight(&entry.best)) {
                    entry.best = found;
                }
            }
        }
    }

    /// What never gave anything.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.entries.iter().filter(|entry| entry.best.is_empty());
        missing.map(|entry| format!("{}: {} {}: {}", entry.place, entry.name, entry.part, entry.expression)).collect()
    }

    /// A section for each place, with a row for each panel or rule.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let mut before: Option<&Entry> = None;
        for entry in &self.entries {
            if before.is_none_or(|before| before.place != entry.place) {
                let column = if entry.place.starts_with("driftless") { "panel" } else { "rule" };
                text += &format!("\n\n## {}\n\n| {column} | seen |\n| --- | --- |", entry.place);
                before = None;
            }
            let again = before.is_some_and(|before| before.name == entry.name);
            text += &if again { "; ".to_owned() } else { format!("\n| {} | ", named(entry)) };
            text += &described(entry);
            before = Some(entry);
        }
        // A row ends where the next begins.
        let rows = text.lines().map(|line| {
            if line.starts_with("| ") && !line.ends_with('|') { format!("{line} |") } else { line.to_owned() }
        });
        rows.collect::<Vec<_>>().join("\n") + "\n"
    }

    /// The names under each place, as the tables have them.
    pub fn names(&self) -> Vec<(String, String)> {
        let mut names: Vec<_> = self.entries.iter().map(|entry| (entry.place.clone(), entry.name.clone())).collect();
        names.dedup();
        names
    }
}

fn of_panel(place: &str, panel: &serde_json::Value) -> Vec<Entry> {
    let targets = panel["targets"].as_array().expect("targets");
    let defaults = &panel["fieldConfig"]["defaults"];
    let entry = |target: &serde_json::Value| {
        let column = format!("Value #{}", text(target, "refId"));
        let renamed = panel.pointer("/transformations").and_then(|all| all.as_array()?.last().cloned());
        let renamed = renamed.and_then(|last| Some(last["options"]["renameByName"][&column].as_str()?.to_owned()));
        let legend = text(target, "legendFormat");
        // What is the same for all its series, such as `p95`, or `open` of `{{instance}} open`.
        let constant = legend.rsplit("}}").next().map(str::trim).filter(|word| !word.starts_with("__"));
        let constant = constant.filter(|_| targets.len() > 1).map(ToOwned::to_owned);
        let part = renamed.or(constant).unwrap_or_default();
        let overrides = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
        let own = overrides.filter(|one| one["matcher"]["options"] == *part).find_map(|one| {
            let properties = one["properties"].as_array()?.iter();
            properties
                .filter(|property| property["id"] == "unit")
                .find_map(|property| property["value"].as_str().map(ToOwned::to_owned))
        });
        let unit = own.or(defaults["unit"].as_str().map(ToOwned::to_owned)).unwrap_or_default();
        let (place, name) = (place.to_owned(), text(panel, "title").to_owned());
        Entry { place, name, part, expression: text(target, "expr").to_owned(), unit, best: Vec::new() }
    };
    targets.iter().map(entry).collect()
}

/// The expression as Grafana sends it: a short window, since the story is a short one.
fn filled(expression: &str, sync: &str) -> String {
    let pairs =
        [("$__rate_interval", "15s"), ("$__range", "10m"), ("$cluster", ".*"), ("$namespace", ".*"), ("$sync", sync)];
    let filled = pairs.iter().fold(expression.to_owned(), |text, (from, to)| text.replace(from, to));
    assert!(!filled.contains('$'), "{filled}");
    filled
}

fn weight(samples: &[Sample]) -> f64 {
    samples.iter().map(|(_, value)| value.abs()).sum()
}

fn named(entry: &Entry) -> String {
    if entry.place.starts_with("driftless") { entry.name.clone() } else { format!("`{}`", entry.name) }
}

fn described(entry: &Entry) -> String {
    let mut samples = entry.best.clone();
    samples.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let mut shown: Vec<String> = samples.iter().take(SHOWN).map(|sample| one(sample, &entry.unit)).collect();
    if samples.len() > SHOWN {
        shown.push(format!("and {} more", samples.len() - SHOWN));
    }
    let part = if entry.part.is_empty() { String::new() } else { format!("{}: ", entry.part.to_lowercase()) };
    part + &shown.join(", ")
}

/// The labels' values and the value, such as `shop Synced 1`.
fn one((labels, value): &Sample, unit: &str) -> String {
    let sync = labels.get("sync").into_iter();
    let others = labels.iter().filter(|(name, _)| *name != "sync").map(|(_, value)| value);
    let mut words: Vec<String> = sync.chain(others).cloned().collect();
    let number = match value.abs() {
        value if value >= 1e6 && unit == "bytes" => {
            return format!("{} {:.1} MiB", words.join(" "), value / 1_048_576.0);
        }
        size if size >= 100.0 || size.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    };
    words.push(if unit == "s" { format!("{number} s") } else { number });
    words.join(" ")
}
