//! What is deployed to watch driftless: alerts and recording rules for Prometheus, dashboards for
//! Grafana, and what the documentation says of them.

mod dashboards;
mod files;
mod ledger;
mod metrics;
mod rules;
mod story;

/// Set, what is made from other files is written anew instead of being compared.
const REGENERATE: &str = "DRIFTLESS_REGENERATE";

/// Compares a file with what it has to hold, or writes it anew.
#[track_caller]
fn assert_holds(file: &std::path::Path, text: &str) {
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(file, text).expect("a file");
        return;
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let name = file.file_name().unwrap_or_default().display();
    assert!(found == text, "{name} is not what the other files make of it; `make regenerate` writes it anew");
}
