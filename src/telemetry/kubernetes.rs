//! What is said of an event as a Kubernetes Event (events.k8s.io/v1): about which object, how
//! loud, and in which words. Pure; `agent` writes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::line::quarrel;
use crate::event::{Ended, Event, Outcome, SyncEvent};
use crate::object::{ObjectId, is_deceptive};
use crate::plan::{ApplyResult, Drift, Held};

/// The type of an Event: `Normal` needs nobody, `Warning` is for somebody to attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing is left to do.
    Normal,
    /// Somebody should attend to it.
    Warning,
}

impl Severity {
    /// Returns the value of the Event's field `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an Event regards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// The sync as a whole: its parent.
    Sync,
    /// An object that exists.
    Object {
        /// Object that the Event regards.
        id: ObjectId,
        /// Its UID, by which the Event is found.
        uid: Arc<str>,
    },
    /// An object that does not exist, whose Event nobody would find: reported on the parent.
    Missing(ObjectId),
}

/// One Kubernetes Event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeEvent {
    /// Name of the sync, as configured.
    pub sync: Arc<str>,
    /// Decides about the fields `regarding` and `related`.
    pub about: About,
    /// Field `type`.
    pub severity: Severity,
    /// In `PascalCase`; docs/operating.md lists them all.
    pub reason: &'static str,
    /// What was done or tried, in `PascalCase`: `Apply`, `Heal`, `Observe`, `Prune`, `Resume`, `Suspend` or `Sync`.
    pub action: &'static str,
    /// For people, one line of at most [`KubeEvent::LONGEST_NOTE`] bytes.
    pub note: String,
    /// The note without what is different every time. An Event about the same object with the same
    /// reason and essence is the same Event again.
    pub essence: String,
}

impl KubeEvent {
    /// Bytes in a note (`ValidateEventCreate`, `noteLengthLimit`).
    pub const LONGEST_NOTE: usize = 1024;
}

/// Makes Kubernetes Events of events. It remembers which syncs are in trouble, so that their
/// recovery is reported also where nothing had to be changed for it.
#[derive(Debug, Default)]
pub struct KubeEvents {
    troubled: BTreeSet<Arc<str>>,
}

impl KubeEvents {
    /// `None` for an event that is about no object: the quiet ones, what a later one says again,
    /// and those of the agent itself.
    pub fn of(&mut self, event: &Event) -> Option<KubeEvent> {
        let Event::Sync(sync, event) = event else { return None };
        match event {
            SyncEvent::DriftDetected { drift, uid, missed } => Some(drifted(sync, drift, uid.as_ref(), *missed)),
            SyncEvent::Contested { contest, uid } => {
                let essence = format!("{:?} {:?}", contest.rivals(), contest.fields);
                let about = about(&contest.object, uid.as_ref());
                Some(KubeEvent { essence, ..said(sync, about, "Contested", "Heal", quarrel(contest)) })
            }
            SyncEvent::Uncontested { object, uid } => {
                let note = "contested no longer: nobody else has changed it for a while".to_owned();
                Some(normal(said(sync, about(object, uid.as_ref()), "ContestEnded", "Heal", note)))
            }
            SyncEvent::Applied { object, uid, result: ApplyResult::Failed, error, again: _, drifted: _ } => {
                let origin = error.as_ref().and_then(|error| error.origin.as_ref());
                let message = error.as_ref().map_or("no reason was given", |error| &error.message);
                let note = match origin {
                    Some(origin) => format!("cannot be applied ({origin}): {message}"),
                    None => format!("cannot be applied: {message}"),
                };
                Some(said(sync, about(object, uid.as_ref()), "ApplyFailed", "Apply", note))
            }
            SyncEvent::Ended(ended) => self.ended(sync, ended),
            SyncEvent::PruneHeld(Held { prune, total, reason, .. }) => {
                let note = format!(
                    "not pruning {prune} of {total} objects until somebody approves: {reason}; to go ahead: driftless approve {sync}"
                );
                Some(said(sync, About::Sync, "PruneHeld", "Prune", note))
            }
            SyncEvent::Suspended { by } => {
                let note = format!("suspended by {by}; nothing is applied, healed or pruned");
                Some(normal(said(sync, About::Sync, "Suspended", "Suspend", note)))
            }
            SyncEvent::Resumed => Some(normal(said(sync, About::Sync, "Resumed", "Resume", "resumed".to_owned()))),
            SyncEvent::Forgotten => {
                self.troubled.remove(sync);
                None
            }
            _ => None,
        }
    }

    fn ended(&mut self, sync: &Arc<str>, ended: &Ended) -> Option<KubeEvent> {
        let Ended { outcome, commit, changed, message, lag, retry_in: _, again } = ended;
        let (commit, quiet) = (commit.short(), *changed == 0 && lag.is_none());
        let note = if commit.is_empty() { message.clone() } else { format!("commit {commit}: {message}") };
        let about = |reason| said(sync, About::Sync, reason, "Sync", note.clone());
        match outcome {
            Outcome::Synced => {
                let recovered = self.troubled.remove(sync);
                (recovered || !quiet).then(|| normal(about("Synced")))
            }
            Outcome::Failed => {
                self.troubled.insert(Arc::clone(sync));
                Some(about("SyncFailed"))
            }
            Outcome::Unhealthy => {
                self.troubled.insert(Arc::clone(sync));
                (!again).then(|| about("Unhealthy"))
            }
            // What is held was reported when it was found, with the way to approve it.
            Outcome::Held => {
                self.troubled.remove(sync);
                None
            }
        }
    }
}

/// A drift that was put back is `Normal`: nothing is left to do. One that stays is a `Warning`.
fn drifted(sync: &Arc<str>, drift: &Drift, uid: Option<&Arc<str>>, missed: bool) -> KubeEvent {
    let Drift { object, at: _, reason, blame, healed } = drift;
    let when = blame.at.map(|at| format!(" at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default();
    let seen = if missed { ", which only the audit saw" } else { "" };
    let end = if *healed { "put back as git declares it" } else { "not put back" };
    let mut others = String::new();
    // The reason names the first field already.
    for (number, field) in blame.fields.iter().skip(1).enumerate() {
        others.push_str(if number == 0 { "; also: " } else { ", " });
        others.push_str(&field.to_string());
        if let Some(manager) = &field.manager {
            others.push_str(&format!(" (by {manager})"));
        }
    }
    let note = |when: &str| format!("{reason}{when}{seen}; {end} by sync {sync}{others}");
    let (name, action) = if *healed { ("DriftHealed", "Heal") } else { ("DriftDetected", "Observe") };
    let event = KubeEvent { essence: note(""), ..said(sync, about(object, uid), name, action, note(&when)) };
    if *healed { normal(event) } else { event }
}

fn about(object: &ObjectId, uid: Option<&Arc<str>>) -> About {
    match uid {
        Some(uid) => About::Object { id: object.clone(), uid: Arc::clone(uid) },
        None => About::Missing(object.clone()),
    }
}

fn said(sync: &Arc<str>, about: About, reason: &'static str, action: &'static str, note: String) -> KubeEvent {
    let essence = note.clone();
    let note = match &about {
        About::Missing(object) => format!("{object}: {note}"),
        _ => note,
    };
    let note = one_line(&note);
    KubeEvent { sync: Arc::clone(sync), about, severity: Severity::Warning, reason, action, note, essence }
}

fn normal(event: KubeEvent) -> KubeEvent {
    KubeEvent { severity: Severity::Normal, ..event }
}

/// Text that starts no line and steers no terminal, cut to what a note may hold.
fn one_line(text: &str) -> String {
    const MORE: char = '…';
    let clean: String = text.chars().map(|sign| if is_deceptive(sign) { ' ' } else { sign }).collect();
    if clean.len() <= KubeEvent::LONGEST_NOTE {
        return clean;
    }
    let mut end = KubeEvent::LONGEST_NOTE - MORE.len_utf8();
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MORE}", &clean[..end])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::object::{Blame, FieldChange};
    use crate::plan::Problem;
    use crate::telemetry::sample;

    fn of(event: &Event) -> KubeEvent {
        KubeEvents::default().of(event).expect("an Event")
    }

    fn change(path: &str, wanted: &str, found: &str) -> FieldChange {
        FieldChange {
            path: path.into(),
            wanted: Some(wanted.into()),
            found: Some(found.into()),
            ..FieldChange::default()
        }
    }

    fn drifted(fields: Vec<FieldChange>, seconds: i64, healed: bool) -> Event {
        let at = Timestamp::from_second(1_700_000_000 + seconds).ok();
        let blame = Blame { manager: Some("tuner".into()), at, fields, ..Blame::default() };
        let drift = Drift { healed, ..sample::drift(sample::web(), &blame.to_string(), blame) };
        Event::of(&"shop".into(), SyncEvent::DriftDetected { drift, uid: Some(sample::uid()), missed: false })
    }

    #[test]
    fn a_drift_says_who_when_which_field_and_both_values() {
        let kube_event =
            of(&drifted(vec![change("spec.replicas", "3", "5"), change("spec.paused", "false", "true")], 0, true));
        assert_eq!(
            kube_event.note,
            "tuner changed spec.replicas from 3 to 5 and 1 more field at 2023-11-14T22:13:20Z; put back as git declares \
             it by sync shop; also: changed spec.paused from false to true"
        );
        assert_eq!((kube_event.severity, kube_event.reason), (Severity::Normal, "DriftHealed"));
        assert_eq!(kube_event.about, About::Object { id: sample::web(), uid: "uid-1".into() });
        let left = of(&drifted(vec![change("spec.replicas", "3", "5")], 0, false));
        assert_eq!((left.severity, left.reason), (Severity::Warning, "DriftDetected"));
        assert!(left.note.contains("not put back"), "{}", left.note);
    }

    #[test]
    fn the_same_drift_at_another_time_is_the_same_event_and_another_drift_is_not() {
        let essence =
            |value: &str, seconds| of(&drifted(vec![change("spec.replicas", "3", value)], seconds, true)).essence;
        assert_eq!(essence("5", 0), essence("5", 60));
        assert_ne!(essence("5", 0), essence("6", 0));
    }

    #[test]
    fn what_does_not_exist_is_reported_on_the_parent_by_its_name() {
        let shown = of(&sample::refused(sample::web(), Problem::general("refused")));
        assert_eq!(shown.about, About::Missing(sample::web()));
        assert_eq!(shown.note, "Deployment shop/web: cannot be applied: refused");
    }

    #[test]
    fn a_note_is_one_line_that_fits_and_ends_at_a_character() {
        for filler in ["a", "é", "日", "\n"] {
            let kube_event = of(&drifted(vec![change(&filler.repeat(2000), "1", "2")], 0, true));
            assert!(kube_event.note.len() <= KubeEvent::LONGEST_NOTE, "{}", kube_event.note.len());
            assert!(kube_event.note.ends_with('…') && !kube_event.note.contains('\n'), "{}", kube_event.note);
        }
    }

    #[test]
    fn every_event_that_is_reported_fits_what_the_api_server_accepts() {
        let mut kube_events = KubeEvents::default();
        for event in sample::every_event().iter().filter_map(|event| kube_events.of(event)) {
            assert!(!event.note.is_empty() && event.note.len() <= KubeEvent::LONGEST_NOTE, "{event:?}");
            assert!(event.reason.chars().all(char::is_alphanumeric) && !event.action.is_empty(), "{event:?}");
        }
    }

    #[test]
    fn a_quiet_cycle_reports_nothing_unless_it_ends_a_trouble() {
        let sync: Arc<str> = "shop".into();
        let mut kube_events = KubeEvents::default();
        assert!(sample::quiet_cycle().iter().all(|event| kube_events.of(event).is_none()));
        let failed = kube_events.of(&sample::ended(&sync, Outcome::Failed, 0, None)).expect("a failure");
        assert_eq!((failed.severity, failed.reason), (Severity::Warning, "SyncFailed"));
        let quiet = sample::ended(&sync, Outcome::Synced, 0, None);
        let recovered = kube_events.of(&quiet).expect("the recovery");
        assert_eq!((recovered.severity, recovered.reason), (Severity::Normal, "Synced"));
        assert_eq!(kube_events.of(&quiet), None);
    }

    #[test]
    fn the_documentation_lists_every_reason() {
        let text = include_str!("../../docs/operating.md");
        let mut kube_events = KubeEvents::default();
        for event in sample::every_event().iter().filter_map(|event| kube_events.of(event)) {
            let row = format!("| `{}` | {} |", event.reason, event.severity.as_str());
            assert!(text.contains(&row), "{row}");
        }
        assert!(text.contains("| `DriftDetected` | Warning |"));
    }
}
