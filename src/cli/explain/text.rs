//! What is known of an object, for people.

use jiff::{Timestamp, Unit};

use super::{Declared, Explained, Holder, LiveState, Manager};
use crate::cli::paint::Paint;
use crate::cli::status::age;
use crate::object::is_deceptive;
use crate::plan::{Contest, Drift};

/// More of a name or a message is not read by anybody.
const LONGEST: usize = 1000;

/// Escapes what could move a cursor, hide text or turn the direction of reading.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST {
            out.push('…');
            break;
        }
        if is_deceptive(character) { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out
}

/// `2026-11-21T14:20:00Z (3m12s ago)`.
fn when(time: Option<Timestamp>, now: Timestamp) -> String {
    let Some(time) = time else { return "-".into() };
    let seconds = time.round(Unit::Second).unwrap_or(time);
    if time > now { seconds.to_string() } else { format!("{seconds} ({} ago)", age(Some(time), now)) }
}

/// What the cluster and one sync say, as label and text.
fn facts(one: &Explained, holder: &Holder, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("sync", format!("{} ({})", holder.sync, holder.phase)),
        ("source", format!("{}, {}", holder.url, holder.reference)),
        ("path", holder.path.clone()),
    ];
    if !holder.asked_agent {
        let stored = holder.stored_at.map_or_else(|| "at an unknown time".into(), |time| when(Some(time), now));
        let text = format!("{stored}; the running agent could not be asked, so phase, commit and drift are as of then");
        facts.insert(1, ("stored", text));
    }
    facts.push(match &holder.synced {
        Some(commit) => {
            ("commit", format!("{} {}, synced {}", commit.short(), commit.subject, when(holder.synced_at, now)))
        }
        None => ("commit", "none is synced yet".into()),
    });
    let short = |commit: &str| commit.get(..12).unwrap_or(commit).to_owned();
    let newer = |commit: &str| holder.synced.as_ref().is_none_or(|synced| synced.id != commit);
    facts.push((
        "manifest",
        match &holder.manifest {
            Declared::At { origin, commit } if newer(commit) => {
                format!("{origin} in commit {}, which is not synced yet", short(commit))
            }
            Declared::At { origin, .. } => origin.to_string(),
            Declared::Nowhere { commit } => format!("none: commit {} does not declare it", short(commit)),
            Declared::Unknown(why) => format!("not known: {why}"),
        },
    ));
    let state =
        if holder.state == LiveState::Drifted { format!("drifted: {}", holder.reason) } else { holder.reason.clone() };
    facts.push((
        "live",
        match one.exists {
            Some(true) => format!("exists; {state}"),
            Some(false) => format!("does not exist; {state}"),
            None => state,
        },
    ));
    facts.push(("health", one.health.to_string()));
    facts.into_iter().map(|(label, text)| (label, safe(&text))).collect()
}

const COLUMNS: [&str; 5] = ["MANAGER", "OPERATION", "SUBRESOURCE", "FIELDS", "WHEN"];

fn row(manager: &Manager, now: Timestamp) -> [String; 5] {
    let text = |text: &str| if text.is_empty() { "-".into() } else { safe(text) };
    [
        text(&manager.name),
        text(&manager.operation),
        text(&manager.subresource),
        manager.fields.to_string(),
        when(manager.time, now),
    ]
}

fn drift(drift: &Drift, now: Timestamp) -> String {
    let done = if drift.healed { "healed" } else { "reported only" };
    let mut out = format!("{}, {done}: {}", when(Some(drift.at), now), drift.cause());
    let others: Vec<&str> = drift.blame.fields.iter().skip(1).map(|field| field.path.as_str()).collect();
    if !others.is_empty() {
        out += &format!(" ({})", others.join(", "));
    }
    safe(&out)
}

/// What others own of the object that git does not declare.
fn foreign(one: &Explained) -> Vec<(&'static str, String)> {
    let added = one.added.iter().map(|change| {
        let by = change.manager.as_deref().unwrap_or("somebody");
        ("added", safe(&format!("by {by}: {}", change.to_string().trim_start_matches("added "))))
    });
    let unknown = one.managers.iter().filter(|manager| manager.unknown).map(|manager| {
        let name = &manager.name;
        ("unknown", safe(&format!("{name} is known neither as a person's client nor as a controller, so what it adds is left alone; name it in drift.people or in drift.controllers")))
    });
    added.chain(unknown).collect()
}

fn contest(contest: &Contest) -> String {
    let until = contest.until.round(Unit::Second).unwrap_or(contest.until);
    safe(&format!("{}, and not again before {until}", contest.words()))
}

pub fn text(one: &Explained, now: Timestamp, paint: Paint) -> String {
    let mut out = paint.bold(&safe(&one.object.to_string())) + "\n";
    for holder in &one.syncs {
        out.push('\n');
        for (label, text) in facts(one, holder, now) {
            let text = match (label, holder.state) {
                ("live", LiveState::AsApplied) => paint.green(&text),
                ("live", _) => paint.yellow(&text),
                ("health", _) if !one.health.is_current() => paint.yellow(&text),
                _ => text,
            };
            out += &format!("{}  {text}\n", paint.dim(&format!("{label:<9}")));
        }
        for found in &holder.drift {
            out += &format!("{}  {}\n", paint.dim("drift    "), drift(found, now));
        }
        if holder.drift.is_empty() {
            let none = if holder.asked_agent {
                "none, says the running agent"
            } else {
                "none is stored; the agent stores what it heals up to 30 s later"
            };
            out += &format!("{}  {none}\n", paint.dim("drift    "));
        }
        if let Some(contested) = &holder.contested {
            out += &format!("{}  {}\n", paint.dim("contested"), paint.red(&contest(contested)));
        }
        for (label, text) in foreign(one) {
            out += &format!("{}  {}\n", paint.dim(&format!("{label:<9}")), paint.yellow(&text));
        }
    }
    if one.managers.is_empty() {
        return out;
    }
    let rows: Vec<[String; 5]> = one.managers.iter().map(|manager| row(manager, now)).collect();
    let width = |index: usize| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        cells.chain([COLUMNS[index].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 4] = std::array::from_fn(width);
    let line = |[manager, operation, subresource, fields, when]: [&str; 5]| {
        let [first, second, third, fourth] = widths;
        format!("{manager:<first$}  {operation:<second$}  {subresource:<third$}  {fields:>fourth$}  {when}")
    };
    out += &format!("\n{}\n", paint.dim(&line(COLUMNS)));
    for row in &rows {
        out += &(line(row.each_ref().map(String::as_str)) + "\n");
    }
    out
}

pub fn markdown(one: &Explained, now: Timestamp) -> String {
    let cell = |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
    let mut out = format!("## {}\n", cell(&safe(&one.object.to_string())));
    for holder in &one.syncs {
        out += "\n| | |\n| --- | --- |\n";
        let drift = holder.drift.iter().map(|found| ("drift", drift(found, now)));
        let contested = holder.contested.iter().map(|contested| ("contested", contest(contested)));
        for (label, text) in facts(one, holder, now).into_iter().chain(drift).chain(contested).chain(foreign(one)) {
            out += &format!("| {label} | {} |\n", cell(&text));
        }
    }
    if !one.managers.is_empty() {
        out += "\n| manager | operation | subresource | fields | when |\n| --- | --- | --- | --- | --- |\n";
        for manager in &one.managers {
            out += &format!("| {} |\n", row(manager, now).each_ref().map(|text| cell(text)).join(" | "));
        }
    }
    out
}

#[cfg(test)]
mod tests;
