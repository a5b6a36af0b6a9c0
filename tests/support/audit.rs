//! What an agent asked of the API server, out of the devcluster's audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::cluster::cluster;
use super::wait::eventually;

/// A place in the audit log. Requests after it can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One request of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub verb: String,
    /// `configmaps app-x/name`, `nodes /`, or the path where there is no resource.
    pub what: String,
    pub agent: String,
    pub code: u64,
    /// A dry run changes nothing.
    pub dry: bool,
    /// When the API server got it and when it had answered, as RFC 3339 in UTC with six digits of a
    /// second, so that texts are in the order of time.
    pub begun: String,
    pub ended: String,
}

impl Asked {
    pub fn writes(&self) -> bool {
        !self.dry && matches!(&*self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The end of the log as it is now; `None` for a cluster without one.
pub fn mark() -> Option<Mark> {
    let log = cluster().audit_log()?;
    settle(&log);
    Some(Mark(std::fs::metadata(log).expect("an audit log").len()))
}

/// When a request came and was done with (RFC 3339, in UTC with 6 digits, so that they sort), and
/// which it was.
#[derive(Clone, Debug)]
pub struct Timed {
    pub came: String,
    pub done: String,
    pub asked: Asked,
}

/// The writes of a user since a mark that were carried out.
pub fn writes_since(mark: Mark, user: &str) -> Vec<Timed> {
    let log = cluster().audit_log().expect("an audit log");
    settle(&log);
    let of_user = events(&log, mark).filter(|event| who(event) == Some(user));
    let timed = of_user.map(|event| {
        let time = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        Timed { came: time("requestReceivedTimestamp"), done: time("stageTimestamp"), asked: asked(&event) }
    });
    timed.filter(|timed| timed.asked.writes() && timed.asked.code < 300).collect()
}

/// Every request of a user since a mark, once each, in the order in which they came.
pub fn requests_since(mark: Mark, user: &str) -> Vec<Asked> {
    let log = cluster().audit_log().expect("an audit log");
    settle(&log);
    let of_user = events(&log, mark).filter(|event| who(event) == Some(user));
    let by_id: BTreeMap<String, Asked> =
        of_user.map(|event| (event["auditID"].as_str().expect("an id").to_owned(), asked(&event))).collect();
    let mut requests: Vec<Asked> = by_id.into_values().collect();
    requests.sort_by(|one, other| one.begun.cmp(&other.begun));
    requests
}

/// Every request that somebody has sent since a mark, once each, with the user that it was made as
/// where that is another one.
pub fn requests_by(mark: Mark, user: &str) -> Vec<(Option<String>, Asked)> {
    let log = cluster().audit_log().expect("an audit log");
    settle(&log);
    let text = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
    let by = |event: &Value| text(event, "/user/username").as_deref() == Some(user);
    let id = |event: &Value| text(event, "/auditID").expect("an id");
    let all: BTreeMap<String, (Option<String>, Asked)> = events(&log, mark)
        .filter(by)
        .map(|event| (id(&event), (text(&event, "/impersonatedUser/username"), asked(&event))))
        .collect();
    all.into_values().collect()
}

/// When requests about one object were answered, oldest first, in seconds since the first of them.
pub fn times(mark: Mark, user: &str, verb: &str, what: &str) -> Vec<f64> {
    let log = cluster().audit_log().expect("an audit log");
    settle(&log);
    let meant = |event: &Value| {
        let asked = asked(event);
        who(event) == Some(user) && asked.verb == verb && asked.what == what
    };
    let moment = |event: Value| event["requestReceivedTimestamp"].as_str()?.parse::<jiff::Timestamp>().ok();
    let times: Vec<jiff::Timestamp> = events(&log, mark).filter(meant).filter_map(moment).collect();
    let first = times.first().copied().unwrap_or_default();
    times.iter().map(|time| time.duration_since(first).as_secs_f64()).collect()
}

/// Asks for something that nobody else asks for and waits until the log has it: what was asked
/// before is there then.
fn settle(log: &std::path::Path) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let before = Mark(std::fs::metadata(log).expect("an audit log").len());
    let uri = format!("/version?it={}", NUMBER.fetch_add(1, Ordering::Relaxed));
    cluster().get(&uri).expect("a version");
    eventually("the audit log has what was just asked", || {
        let found = events(log, before).any(|event| event["requestURI"] == *uri);
        if found { Ok(()) } else { Err("not yet") }
    });
}

fn events(log: &std::path::Path, since: Mark) -> impl Iterator<Item = Value> {
    let mut file = File::open(log).expect("an audit log");
    file.seek(SeekFrom::Start(since.0)).expect("the log is that long");
    // The last line may be half written.
    BufReader::new(file).split(b'\n').map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok())
}

/// As whom it was asked.
fn who(event: &Value) -> Option<&str> {
    event.pointer("/impersonatedUser/username").or_else(|| event.pointer("/user/username"))?.as_str()
}

fn asked(event: &Value) -> Asked {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let what = match event.get("objectRef") {
        Some(_) => {
            let subresource = text("/objectRef/subresource");
            let slash = if subresource.is_empty() { "" } else { "/" };
            let (resource, name) = (text("/objectRef/resource"), text("/objectRef/name"));
            format!("{resource}{slash}{subresource} {}/{name}", text("/objectRef/namespace"))
        }
        None => text("/requestURI"),
    };
    Asked {
        verb: text("/verb"),
        what,
        agent: text("/userAgent"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
        dry: text("/requestURI").contains("dryRun=All"),
        begun: text("/requestReceivedTimestamp"),
        ended: text("/stageTimestamp"),
    }
}
