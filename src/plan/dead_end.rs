//! A commit that cannot get on by itself: what it removes is kept until all of the commit is applied,
//! and what the commit applies may be refused for the very objects that it removes (a fixed node port
//! that is taken, a webhook whose backend is gone). Nobody but a person can know that, so it is held for
//! an approval.

use crate::object::{Displayed, ObjectId};

use super::approval::despite_digest;
use super::{Held, Plan, Reason, Verb};

/// Refused objects that are named.
const NAMED: usize = 3;

/// The prune of a plan that is held since objects of the commit are refused. `refused` are those
/// objects, and there must be no other reason against pruning; `total` is the number of objects in the
/// inventory. `None`: nothing is to be pruned, or nothing is refused.
#[must_use]
pub fn dead_end(commit: &str, plan: &Plan, refused: &[&ObjectId], total: usize) -> Option<Held> {
    let kept: Vec<&ObjectId> = plan.steps.iter().filter(|step| step.prunes()).map(|step| &step.id).collect();
    if kept.is_empty() || refused.is_empty() || plan.held.is_some() || plan.blocked.is_some() {
        return None;
    }
    let (objects, are) =
        if kept.len() == 1 { ("1 object".to_owned(), "is") } else { (format!("{} objects", kept.len()), "are") };
    let digest = despite_digest(plan, refused);
    let (gone, refused) = (listed(&kept), listed(refused));
    let reason = format!("{objects} that left git {are} kept ({gone}), since the API server refuses {refused}");
    let objects = kept.iter().take(Held::MOST).map(|id| (*id).clone()).collect();
    Some(Held { commit: commit.to_owned(), prune: kept.len(), total, reason, digest, objects })
}

/// `Service shop/new, Service shop/other and 2 more`.
fn listed(objects: &[&ObjectId]) -> String {
    let named: Vec<String> = objects.iter().take(NAMED).map(|id| Displayed(&id.to_string()).to_string()).collect();
    let more = objects.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

impl Plan {
    /// Keeps what would be pruned, for a reason that holds as long as these objects cannot be applied.
    pub fn wait_for(&mut self, unapplied: &[&ObjectId]) {
        let why = format!("{} cannot be applied", listed(unapplied));
        for step in self.steps.iter_mut().filter(|step| step.prunes()) {
            (step.verb, step.reason) = (Verb::Keep, Reason::Blocked { why: why.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Reason, Step, Verb, digest_of};

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "Service", Some("shop"), name)
    }

    fn pruning(names: &[&str]) -> Plan {
        let step = |name: &&str| Step {
            id: id(name),
            verb: Verb::Prune,
            reason: Reason::RemovedFromGit,
            desired: None,
            live: None,
        };
        let steps: Vec<Step> = names.iter().map(step).collect();
        let going = digest_of(steps.iter().map(|step| &step.id));
        Plan { steps, going, ..Plan::default() }
    }

    #[test]
    fn what_is_kept_and_for_whom_is_said_and_approved_as_a_set_of_one_commit() {
        let new = id("new");
        let held = dead_end("c0ffee", &pruning(&["old"]), &[&new], 7).unwrap();
        assert_eq!((held.prune, held.total, held.is_dead_end()), (1, 7, true));
        assert_eq!(
            held.reason,
            "1 object that left git is kept (Service shop/old), since the API server refuses Service shop/new"
        );
        assert_eq!(held.objects, [id("old")]);
        let digest = |kept: &[&str]| dead_end("c0ffee", &pruning(kept), &[&new], 7).unwrap().digest;
        assert_eq!(held.digest, digest(&["old"]));
        for other in [digest(&["older"]), digest(&["old", "more"]), crate::plan::digest_of([&id("old")])] {
            assert_ne!(held.digest, other);
        }
    }

    #[test]
    fn many_refused_objects_are_counted() {
        let ids: Vec<ObjectId> = ["a", "b", "c", "d", "e"].map(id).into();
        let held = dead_end("c0ffee", &pruning(&["old", "older"]), &ids.iter().collect::<Vec<_>>(), 9).unwrap();
        assert!(held.reason.starts_with("2 objects that left git are kept"), "{}", held.reason);
        assert!(held.reason.ends_with("Service shop/c and 2 more"), "{}", held.reason);
    }

    #[test]
    fn there_is_none_where_nothing_goes_nothing_is_refused_or_something_else_is_against_it() {
        let (new, plan) = (id("new"), pruning(&["old"]));
        assert_eq!(dead_end("c", &pruning(&[]), &[&new], 7), None);
        assert_eq!(dead_end("c", &plan, &[], 7), None);
        let blocked = Plan { blocked: Some("a file cannot be read".into()), ..plan.clone() };
        let guarded = Plan { held: Some(Held::default()), ..plan };
        assert_eq!((dead_end("c", &blocked, &[&new], 7), dead_end("c", &guarded, &[&new], 7)), (None, None));
    }
}
