//! The status of a sync as YAML in its parent. It only informs: one that cannot be read is dropped,
//! and one that is long is shortened to the bytes that there are, so that it never keeps an
//! inventory from being stored. What the next process goes by (what is held, what was approved, the
//! commits) is short, and kept as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::object::{Blame, Commit, Health, ObjectId, Origin};
use crate::plan::{Approval, Contest, Drift, Held, Problem, Provenance, Rewritten, SyncStatus};

/// Bytes that a status may take of the parent's 1 MiB.
pub(super) const MOST_BYTES: usize = 64 * 1024;
/// What is left of a status that takes more, step by step: so many items of each list, with so many
/// characters of each text.
const STEPS: [Bounds; 5] = [
    Bounds { items: 10, characters: 500 },
    Bounds { items: 5, characters: 200 },
    Bounds { items: 2, characters: 100 },
    Bounds { items: 0, characters: 100 },
    Bounds { items: 0, characters: 20 },
];

/// The status in so many bytes, as far as that is possible: without any list it takes some hundred
/// bytes, and a few thousand where every character of its texts is one that YAML writes as many.
pub(super) fn encode(status: &SyncStatus, most: usize) -> String {
    let mut text = yaml(status);
    for bounds in STEPS {
        if text.len() <= most {
            break;
        }
        text = yaml(&bounds.shorten(status));
    }
    text
}

pub(super) fn decode(text: &str) -> SyncStatus {
    serde_saphyr::from_str(text).unwrap_or_default()
}

/// YAML, or the JSON that YAML contains should a value have no YAML.
fn yaml(status: &SyncStatus) -> String {
    serde_saphyr::to_string(status).or_else(|_| serde_json::to_string_pretty(status)).unwrap_or_default()
}

/// How much of each list and of each text a status keeps.
#[derive(Clone, Copy)]
struct Bounds {
    items: usize,
    characters: usize,
}

/// How many items of which list were left out.
type Omitted = BTreeMap<&'static str, usize>;

impl Bounds {
    /// A status of which only so much is left, and that says so.
    fn shorten(self, status: &SyncStatus) -> SyncStatus {
        let mut omitted = Omitted::new();
        let problems = self.first("problems", &status.problems, &mut omitted, |one| self.problem(one));
        let summary = self.first("summaries", &status.summary, &mut omitted, |one| self.problem(one));
        let notes = self.first("notes", &status.notes, &mut omitted, |one| self.problem(one));
        let unhealthy = self.first("unhealthy objects", &status.unhealthy, &mut omitted, |(id, health)| {
            Some((self.id(id)?, Health::new(health.status, self.text(&health.message))))
        });
        let contested = self.first("contests", &status.contested, &mut omitted, |one| self.contest(one));
        let rewritten = self.first("rewritten objects", &status.rewritten, &mut omitted, |one| {
            let fields = one.fields.iter().take(self.items).map(|field| self.text(field)).collect();
            Some(Rewritten { object: self.id(&one.object)?, fields })
        });
        // The newest is the last.
        let mut newest: Vec<Drift> =
            status.drift.iter().rev().filter_map(|one| self.drift(one)).take(self.items).collect();
        newest.reverse();
        let less = status.drift.len() - newest.len();
        if less > 0 {
            omitted.insert("drifts", less);
        }
        SyncStatus {
            sync: self.text(&status.sync),
            phase: status.phase,
            message: self.text(&status.message),
            url: self.text(&status.url),
            reference: self.text(&status.reference),
            path: self.text(&status.path),
            // Shortened, it would be another one; without it, older fields say where the objects come from.
            provenance: status.provenance.clone().filter(is_brief),
            synced: status.synced.as_ref().and_then(|commit| self.commit(commit)),
            synced_at: status.synced_at,
            attempted: status.attempted.as_ref().and_then(|commit| self.commit(commit)),
            former: status.former.iter().filter(|id| is_hash(id)).take(SyncStatus::MOST_FORMER).cloned().collect(),
            held: status.held.as_ref().and_then(|held| self.held(held)),
            approval: status.approval.clone().filter(is_short),
            problems,
            summary,
            notes,
            objects: status.objects,
            health: status.health.clone(),
            unhealthy,
            drift: newest,
            contested,
            rewritten_more: status.rewritten_more + (status.rewritten.len() - rewritten.len()),
            rewritten,
            shortened: Some(shortened(&omitted)),
        }
    }

    /// The first items that are not too long to be named.
    fn first<T>(
        self,
        what: &'static str,
        list: &[T],
        omitted: &mut Omitted,
        shorten: impl Fn(&T) -> Option<T>,
    ) -> Vec<T> {
        let kept: Vec<T> = list.iter().filter_map(shorten).take(self.items).collect();
        let less = list.len() - kept.len();
        if less > 0 {
            omitted.insert(what, less);
        }
        kept
    }

    fn text(self, text: &str) -> String {
        match text.char_indices().nth(self.characters) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.into(),
        }
    }

    fn name(self, name: Option<&Arc<str>>) -> Option<Arc<str>> {
        name.map(|name| self.text(name).into())
    }

    /// `None` for an identity that is longer than Kubernetes lets one be: cut off, it would be another.
    fn id(self, id: &ObjectId) -> Option<ObjectId> {
        let parts = [Some(&id.gk.group), Some(&id.gk.kind), id.namespace.as_ref(), Some(&id.name)];
        (parts.into_iter().flatten().map(|part| part.len()).sum::<usize>() <= self.characters.max(LONGEST_ID))
            .then(|| id.clone())
    }

    fn problem(self, problem: &Problem) -> Option<Problem> {
        let object = match &problem.object {
            Some(id) => Some(self.id(id)?),
            None => None,
        };
        let origin = problem.origin.as_ref().map(|origin| Origin { file: self.text(&origin.file).into(), ..*origin });
        Some(Problem { object, origin, message: self.text(&problem.message) })
    }

    fn drift(self, drift: &Drift) -> Option<Drift> {
        let object = self.id(&drift.object)?;
        let blame = &drift.blame;
        let mut fields = blame.fields.clone();
        fields.truncate(self.items);
        let more = blame.more.saturating_add(blame.fields.len() - fields.len());
        for field in &mut fields {
            field.path = self.text(&field.path);
            field.manager = self.name(field.manager.as_ref());
            field.wanted = field.wanted.as_deref().map(|value| self.text(value));
            field.found = field.found.as_deref().map(|value| self.text(value));
        }
        let (manager, subresource) = (self.name(blame.manager.as_ref()), self.name(blame.subresource.as_ref()));
        let blame = Blame { manager, subresource, at: blame.at, fields, more };
        Some(Drift { object, at: drift.at, reason: self.text(&drift.reason), blame, healed: drift.healed })
    }

    fn contest(self, contest: &Contest) -> Option<Contest> {
        Some(Contest {
            object: self.id(&contest.object)?,
            manager: self.name(contest.manager.as_ref()),
            managers: contest.managers.iter().take(self.items).map(|name| self.text(name).into()).collect(),
            fields: contest.fields.iter().take(self.items).map(|field| self.text(field)).collect(),
            heals: contest.heals,
            until: contest.until,
        })
    }

    fn commit(self, commit: &Commit) -> Option<Commit> {
        is_hash(&commit.id).then(|| Commit { subject: self.text(&commit.subject), ..commit.clone() })
    }

    /// Commit, digest and figures are what an approval goes by; the list is for people.
    fn held(self, held: &Held) -> Option<Held> {
        (is_hash(&held.commit) && is_hash(&held.digest)).then(|| Held {
            reason: self.text(&held.reason),
            objects: held.objects.iter().filter_map(|id| self.id(id)).take(self.items).collect(),
            ..held.clone()
        })
    }
}

/// What can be the id of a commit, or a digest: anything longer was written by somebody else.
fn is_hash(text: &str) -> bool {
    text.len() <= 128
}

/// Whether where the objects come from can be kept whole.
fn is_brief(provenance: &Provenance) -> bool {
    let target = provenance.target_namespace.as_deref().unwrap_or_default();
    let branch = provenance.branch.as_deref().unwrap_or_default();
    provenance.repository.len() + provenance.path.len() + branch.len() + target.len() <= 4096
}

fn is_short(approval: &Approval) -> bool {
    approval.value.len() <= Approval::LONGEST && approval.digest.as_deref().is_none_or(is_hash)
}

/// Group, kind, namespace and name together, as long as Kubernetes has them (253, 63, 63 and 253).
const LONGEST_ID: usize = 700;

/// `40 problems and 18 drifts are left out, and long texts are cut off, for want of room`.
fn shortened(omitted: &Omitted) -> String {
    let mut text = String::new();
    for (at, (what, count)) in omitted.iter().enumerate() {
        let joint = match at {
            0 => "",
            _ if at + 1 == omitted.len() => " and ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{joint}{count} {what}");
    }
    if !text.is_empty() {
        text.push_str(" are left out, and ");
    }
    text + "long texts are cut off, for want of room; /status of the agent has it all"
}
