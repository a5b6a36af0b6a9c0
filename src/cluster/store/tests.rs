use super::*;
use crate::object::{Digest, Health, HealthStatus};

const SET: &str = "applyset-of-this-test-v1";

/// A store with a clock of its own, so that a test reads as what happened.
struct Story {
    store: LiveStore,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        Self { store: LiveStore::new(SET), now: Instant::now() }
    }

    fn see(&mut self, live: Observed) -> Option<Change> {
        self.store.see(live, self.now)
    }

    fn gone(&mut self, last: Observed) -> Option<Change> {
        self.store.gone(last, self.now)
    }

    fn note(&mut self, live: &Observed) -> bool {
        self.store.note(live, self.now)
    }

    fn removed(&mut self, uid: &str) -> bool {
        self.store.removed(&id("a"), uid, self.now)
    }

    fn list(&mut self, namespace: Option<&str>, list: Vec<Observed>, version: &str) -> Vec<Change> {
        self.store.replace(&id("a").gk, namespace, list, version, self.now)
    }

    /// UID and resource version of the object `a`; empty when there is none.
    fn known(&self) -> (&str, &str) {
        self.store.members.get(&id("a")).map(|known| (&*known.uid, &*known.resource_version)).unwrap_or_default()
    }
}

fn id(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some("shop"), name)
}

fn object(name: &str, uid: &str, version: &str) -> Observed {
    Observed {
        id: id(name),
        uid: uid.into(),
        resource_version: version.into(),
        part_of: Some(SET.into()),
        digest: None,
        fingerprint: None,
        terminating: None,
        controlled: false,
        detach: false,
        depends_on: Box::default(),
        foreign: None,
        takeover: false,
        finished: false,
        headless: false,
        health: Health::current(),
    }
}

/// The object `a` of a UID, with a content that its digest shows.
fn a(uid: &str, version: &str, content: &str) -> Observed {
    Observed { digest: Some(Digest::of(content.as_bytes())), ..object("a", uid, version) }
}

fn is_gone(change: Option<&Change>, name: &str, with_last: bool) -> bool {
    matches!(change, Some(Change::Gone { id: gone, last }) if *gone == id(name) && last.is_some() == with_last)
}

#[test]
fn a_new_object_and_a_changed_one_are_reported() {
    let mut story = Story::new();
    assert_eq!(story.see(a("u", "5", "x")), Some(Change::Seen(a("u", "5", "x"))));
    assert_eq!(story.see(a("u", "10", "y")), Some(Change::Seen(a("u", "10", "y"))));
    let failed = Observed { health: Health::new(HealthStatus::Failed, "it crashes"), ..a("u", "11", "y") };
    assert_eq!(story.see(failed.clone()), Some(Change::Seen(failed)));
    let ending = Observed { terminating: Some(Box::default()), ..a("u", "12", "y") };
    assert_eq!(story.see(ending.clone()), Some(Change::Seen(ending)));
}

#[test]
fn a_status_that_changes_no_health_is_not_reported_but_its_version_is_kept() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    assert_eq!(story.see(a("u", "6", "x")), None);
    assert_eq!(story.known(), ("u", "6"));
}

#[test]
fn what_is_older_than_known_is_ignored() {
    let mut story = Story::new();
    story.see(a("u", "10", "new"));
    assert_eq!(story.see(a("u", "9", "old")), None);
    assert_eq!(story.gone(a("u", "9", "old")), None);
    assert!(!story.note(&a("u", "9", "old")));
    assert_eq!(story.known(), ("u", "10"));
}

#[test]
fn without_an_order_the_incoming_counts() {
    let mut story = Story::new();
    story.see(a("u", "b", "x"));
    assert!(story.see(a("u", "a", "y")).is_some());
    // But the end of one object is not the end of another.
    assert_eq!(story.gone(a("another", "c", "x")), None);
    assert!(is_gone(story.gone(a("u", "c", "y")).as_ref(), "a", true));
}

#[test]
fn a_deletion_is_reported_with_the_last_state_and_once() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    let last = a("u", "6", "x");
    assert_eq!(story.gone(last.clone()), Some(Change::Gone { id: id("a"), last: Some(Box::new(last.clone())) }));
    assert_eq!(story.gone(last), None);
    assert_eq!(story.known(), ("", ""));
}

#[test]
fn a_late_answer_of_an_earlier_apply_does_not_bring_an_object_back() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    story.gone(a("u", "7", "x"));
    assert!(!story.note(&a("u", "6", "y")));
    assert_eq!(story.see(a("u", "6", "y")), None);
    assert_eq!(story.known(), ("", ""));
    // Nor when the deletion is all that was ever received about it.
    let mut story = Story::new();
    assert_eq!(story.gone(a("u", "7", "x")), None);
    assert!(!story.note(&a("u", "6", "y")));
}

#[test]
fn an_object_that_left_the_selection_comes_back_with_the_same_uid() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    story.gone(a("u", "6", "x"));
    assert!(story.see(a("u", "7", "x")).is_some());
    assert_eq!(story.known(), ("u", "7"));
}

#[test]
fn the_deletion_of_an_earlier_object_does_not_end_the_one_that_we_made_since() {
    let mut story = Story::new();
    story.see(a("old", "5", "x"));
    assert!(story.note(&a("new", "8", "x")));
    assert_eq!(story.gone(a("old", "7", "x")), None);
    assert_eq!(story.see(a("new", "8", "x")), None);
    assert_eq!(story.known(), ("new", "8"));
}

#[test]
fn our_own_apply_is_not_reported_whichever_comes_first() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    assert!(story.note(&a("u", "6", "y")));
    assert_eq!(story.see(a("u", "6", "y")), None);
    // The event first: it was a change, and the answer says that it need not have been.
    assert!(story.see(a("u", "7", "z")).is_some());
    assert!(story.note(&a("u", "7", "z")));
}

#[test]
fn an_apply_for_another_set_is_not_taken_in() {
    let mut story = Story::new();
    assert!(!story.note(&Observed { part_of: Some("another".into()), ..a("u", "5", "x") }));
    assert!(!story.note(&Observed { part_of: None, ..a("u", "5", "x") }));
    assert_eq!(story.known(), ("", ""));
}

#[test]
fn a_server_that_does_not_select_by_label_is_no_trouble() {
    let mut story = Story::new();
    let theirs = |version| Observed { part_of: None, ..a("u", version, "x") };
    assert_eq!(story.see(theirs("5")), None);
    story.see(a("u", "6", "x"));
    assert!(is_gone(story.see(theirs("7")).as_ref(), "a", true));
    assert_eq!(story.known(), ("", ""));
}

#[test]
fn our_own_deletion_is_not_reported_whichever_comes_first() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    assert!(story.removed("u"));
    assert_eq!(story.known(), ("", ""));
    let ending = Observed { terminating: Some(Box::default()), ..a("u", "6", "x") };
    assert_eq!(story.see(ending.clone()), None, "an event that was under way");
    assert!(!story.note(&ending));
    assert_eq!(story.gone(a("u", "7", "x")), None);
    assert_eq!(story.see(a("u", "6", "x")), None);
    // Another object under this name is a change.
    assert!(story.see(a("v", "8", "x")).is_some());

    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    assert!(story.gone(a("u", "7", "x")).is_some());
    assert!(story.removed("u"));
}

#[test]
fn a_late_answer_to_our_deletion_does_not_end_the_next_object() {
    let mut story = Story::new();
    story.see(a("u", "5", "x"));
    story.gone(a("u", "6", "x"));
    story.see(a("v", "7", "x"));
    assert!(!story.removed("u"));
    assert_eq!(story.known(), ("v", "7"));
}

#[test]
fn a_list_says_what_is_gone_and_what_is_new() {
    let mut story = Story::new();
    for name in ["a", "b", "c"] {
        story.see(object(name, name, "5"));
    }
    let changes = story.list(None, vec![object("b", "b", "5"), object("c", "other", "8"), object("d", "d", "9")], "9");
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(is_gone(changes.first(), "a", false));
    assert_eq!(changes[1..], [Change::Seen(object("c", "other", "8")), Change::Seen(object("d", "d", "9"))]);
    assert!(!story.note(&object("a", "a", "7")), "an answer from before the list");
}

#[test]
fn what_we_applied_after_a_list_stays() {
    let mut story = Story::new();
    story.note(&object("a", "a", "11"));
    story.note(&object("b", "b", "9"));
    let changes = story.list(None, Vec::new(), "10");
    assert_eq!(changes.len(), 1);
    assert!(is_gone(changes.first(), "b", false));
    assert_eq!(story.known(), ("a", "11"));
}

#[test]
fn a_list_of_one_namespace_says_nothing_of_others_nor_of_other_kinds() {
    let mut story = Story::new();
    let elsewhere = Observed { id: ObjectId::new("", "ConfigMap", Some("else"), "a"), ..object("a", "e", "5") };
    let another = Observed { id: ObjectId::new("", "Secret", Some("shop"), "a"), ..object("a", "s", "5") };
    for live in [object("a", "a", "5"), elsewhere.clone(), another.clone()] {
        story.see(live);
    }
    let changes = story.list(Some("shop"), Vec::new(), "9");
    assert_eq!(changes, [Change::Gone { id: id("a"), last: None }]);
    assert_eq!(story.store.members(&id("a").gk), [elsewhere]);
    assert_eq!(story.store.members(&another.id.gk), std::slice::from_ref(&another));
}

#[test]
fn a_list_is_outdated_when_anything_newer_was_seen_and_names_the_objects_that_can_show_why() {
    let mut story = Story::new();
    for (name, version) in [("a", "90"), ("b", "500"), ("c", "80")] {
        story.see(object(name, name, version));
    }
    story.see(Observed { id: ObjectId::new("", "ConfigMap", Some("else"), "x"), ..object("x", "x", "900") });
    let list = [object("a", "a", "90"), object("b", "b", "70"), object("d", "d", "60")];
    let outdated = |namespace, version: &str, watched: Option<&str>| {
        story.store.outdated(&id("a").gk, namespace, &list, version, watched.map(Into::into).as_ref())
    };
    assert_eq!(outdated(Some("shop"), "500", None), None);
    assert_eq!(outdated(Some("shop"), "501", Some("501")), None);
    assert_eq!(&*outdated(Some("shop"), "501", Some("502")).unwrap().seen, "502");
    let Outdated { seen, suspicions } = outdated(Some("shop"), "100", None).unwrap();
    assert_eq!(&*seen, "500");
    let suspicions: Vec<_> =
        suspicions.iter().map(|one| (&*one.id.name, one.known.as_deref(), one.listed.as_deref())).collect();
    assert_eq!(suspicions, [("b", Some("500"), Some("70")), ("c", Some("80"), None), ("d", None, Some("60"))]);
    assert_eq!(&*outdated(None, "100", None).unwrap().seen, "900");
    assert_eq!(outdated(Some("shop"), "no number", None), None);
}

#[test]
fn once_history_went_back_what_comes_next_counts_whatever_its_version() {
    let mut story = Story::new();
    for (name, version) in [("a", "500"), ("b", "600"), ("c", "400")] {
        story.see(object(name, name, version));
    }
    story.see(object("gone", "gone", "450"));
    story.gone(object("gone", "gone", "550"));
    let elsewhere = Observed { id: ObjectId::new("", "ConfigMap", Some("else"), "x"), ..object("x", "x", "900") };
    story.see(elsewhere.clone());
    story.store.forget_versions(&id("a").gk, Some("shop"));
    let older = a("a", "50", "as it was");
    let changes =
        story.list(Some("shop"), vec![older.clone(), object("c", "c", "60"), object("gone", "gone", "55")], "100");
    let gone = Change::Gone { id: id("b"), last: None };
    assert_eq!(changes, [gone, Change::Seen(older), Change::Seen(object("gone", "gone", "55"))]);
    assert!(story.see(a("a", "101", "x")).is_some(), "and events go on from there");
    assert_eq!(
        story.store.see(Observed { resource_version: "101".into(), ..elsewhere }, story.now),
        None,
        "of elsewhere nothing was listed"
    );
}

#[test]
fn the_objects_of_a_kind_go_with_it() {
    let mut story = Story::new();
    story.see(object("a", "a", "5"));
    story.see(object("b", "b", "6"));
    let gone = |name| Change::Gone { id: id(name), last: None };
    assert_eq!(story.store.unserved(&id("a").gk), [gone("a"), gone("b")]);
    assert_eq!(story.known(), ("", ""));
    assert!(story.see(object("a", "a2", "9")).is_some(), "the kind is back");
}

#[test]
fn what_nobody_asks_for_is_forgotten_without_a_word() {
    let mut story = Story::new();
    story.see(object("a", "a", "5"));
    story.see(object("b", "b", "5"));
    story.store.forget(&id("a").gk, |id| &*id.name == "a");
    assert_eq!(story.store.members(&id("a").gk), [object("b", "b", "5")]);
}

#[test]
fn tombstones_end_after_a_while_and_do_not_pile_up() {
    let mut story = Story::new();
    story.gone(a("u", "7", "x"));
    story.now += tombstones::KEPT / 2;
    assert!(!story.note(&a("u", "6", "x")));
    story.now += tombstones::KEPT / 2;
    assert!(story.note(&a("u", "6", "x")));
    for number in 0..3 * tombstones::MOST {
        story.gone(object(&number.to_string(), "u", "9"));
    }
    assert_eq!(story.store.tombstones.len(), tombstones::MOST);
    story.now += tombstones::KEPT;
    story.gone(object("last", "u", "9"));
    assert_eq!(story.store.tombstones.len(), 1);
}

#[test]
fn objects_share_the_strings_that_they_have_in_common() {
    let mut story = Story::new();
    story.see(object("a", "a", "5"));
    story.note(&object("b", "b", "5"));
    let members = story.store.members(&id("a").gk);
    let namespace = |index: usize| members[index].id.namespace.as_ref().unwrap();
    assert!(Arc::ptr_eq(namespace(0), namespace(1)));
    assert!(Arc::ptr_eq(members[0].part_of.as_ref().unwrap(), &story.store.set));
    drop(members);
    story.store.forget(&id("a").gk, |_| true);
    assert!(story.store.namespaces.is_empty());
}
