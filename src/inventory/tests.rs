//! What is stored is what is read back; what was damaged is noticed, and never believed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

mod shards;
mod status;

use super::*;
use crate::object::{Commit, GroupKind, ObjectId, Short};
use crate::plan::Recorded;

type InventoryEntry = (ObjectId, Recorded);

fn listed(id: ObjectId) -> InventoryEntry {
    (id, Recorded::default())
}

fn is_known(recorded: &Recorded) -> bool {
    recorded.applied && recorded.uid != Short::default()
}

use crate::config::SyncName;
use crate::object::{Blame, FieldChange, Health, HealthStatus, Origin, names};
use crate::plan::{Approval, Contest, Drift, Held, Phase, Problem, SyncStatus};

fn id(text: &str, namespace: Option<&str>, name: &str) -> ObjectId {
    let gk = GroupKind::parse(text);
    ObjectId::new(&gk.group, &gk.kind, namespace, name)
}

fn known(id: ObjectId) -> InventoryEntry {
    let hash = |what: &str| Short::of(&format!("{what} of {id}"));
    let (uid, digest, fingerprint) = (hash("uid"), hash("digest"), hash("fingerprint"));
    (id, Recorded { uid, digest, fingerprint, applied: true, detach: false, unconfirmed: false, approved: false })
}

fn detached(id: ObjectId) -> InventoryEntry {
    let (id, recorded) = known(id);
    (id, Recorded { detach: true, ..recorded })
}

fn parent(entries: impl IntoIterator<Item = InventoryEntry>) -> Parent {
    let mut parent = Parent::new(SyncName::parse("shop").unwrap(), "driftless".into());
    parent.inventory = entries.into_iter().collect();
    parent
}

fn shop() -> Parent {
    let mut parent = parent([
        known(id("Namespace", None, "shop")),
        known(id("Deployment.apps", Some("shop"), "web")),
        known(id("Deployment.apps", Some("shop"), "api")),
        detached(id("PersistentVolumeClaim", Some("shop"), "data")),
        listed(id("ConfigMap", Some("driftless"), "more")),
        known(id("ClusterRole.rbac.authorization.k8s.io", None, "system:my role, 100%")),
    ]);
    parent.status = SyncStatus { sync: "shop".into(), phase: Phase::Synced, objects: 6, ..SyncStatus::default() };
    parent
}

#[test]
fn a_parent_reads_back_what_it_wrote_and_what_people_asked_for() {
    let mut wrote = shop();
    let mut live = wrote.to_apply().unwrap().parent;
    live["metadata"]["uid"] = "u".into();
    live["metadata"]["resourceVersion"] = "7".into();
    live["metadata"]["annotations"][names::APPROVE] = "abc".into();
    live["metadata"]["annotations"][names::SYNC_REQUESTED] = "now".into();
    live["metadata"]["annotations"][names::SUSPEND] = "true".into();
    (wrote.uid, wrote.resource_version) = (Some("u".into()), Some("7".into()));
    (wrote.approved, wrote.sync_requested, wrote.suspended) = (Some("abc".into()), Some("now".into()), true);
    assert_eq!(Parent::from_live(&live, &[]).unwrap(), wrote);
    // What people asked for stays theirs.
    let annotations = wrote.to_apply().unwrap().parent["metadata"]["annotations"].clone();
    assert!(!annotations.to_string().contains("driftless.dev/"), "{annotations}");
}

#[test]
fn a_parent_is_an_applyset_parent_that_people_can_read() {
    let object = shop().to_apply().unwrap().parent;
    let metadata = &object["metadata"];
    assert_eq!(metadata["name"], "driftless-shop");
    assert_eq!(metadata["labels"][names::SYNC_LABEL], "shop");
    assert_eq!(metadata["labels"][names::APPLYSET_ID], shop().set_id());
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "driftless");
    assert_eq!(metadata["annotations"][names::APPLYSET_NAMESPACES], "shop");
    assert_eq!(
        metadata["annotations"][names::APPLYSET_GROUP_KINDS],
        "ClusterRole.rbac.authorization.k8s.io,ConfigMap,Deployment.apps,Namespace,PersistentVolumeClaim"
    );
    assert_eq!(
        object["data"]["inventory"],
        "# driftless inventory 1: 6 objects\n\
         ConfigMap driftless: more\n\
         Namespace -: shop\n\
         PersistentVolumeClaim shop: data\n\
         Deployment.apps shop: api, web\n\
         ClusterRole.rbac.authorization.k8s.io -: system:my%20role%2c%20100%25\n"
    );
    assert_eq!(parent([]).to_apply().unwrap().parent["data"]["inventory"], "# driftless inventory 1: 0 objects\n");
}

#[test]
fn long_lists_are_broken_into_lines_of_a_screen() {
    let wrote = parent((0..500).map(|number| known(id("ConfigMap", Some("a"), &format!("settings-{number}")))));
    let live = wrote.to_apply().unwrap().parent;
    let text = live["data"]["inventory"].as_str().unwrap();
    assert!(text.lines().all(|line| line.len() <= 101 && line.trim_end() == line), "{text}");
    assert_eq!(Parent::from_live(&live, &[]).unwrap(), wrote);
}

#[test]
fn another_tools_or_syncs_configmap_is_refused() {
    let change = |pointer: &str, key: &str, value: Value| {
        let mut live = shop().to_apply().unwrap().parent;
        live.pointer_mut(pointer).unwrap()[key] = value;
        Parent::from_live(&live, &[]).unwrap_err().to_string()
    };
    let error = change("/metadata/annotations", names::APPLYSET_TOOLING, json!("kubectl/v1.30"));
    assert!(error.contains("driftless/driftless-shop belongs to the tool kubectl/v1.30"), "{error}");
    let error = change("/metadata", "annotations", json!({}));
    assert!(error.contains("is not known to be driftless's"), "{error}");
    let error = change("/metadata/labels", names::APPLYSET_ID, json!("applyset-x-v1"));
    assert!(error.contains("applyset-x-v1") && error.contains(&shop().set_id()), "{error}");
    let error = change("/metadata/labels", names::SYNC_LABEL, json!("other"));
    assert!(error.contains("driftless.dev/sync=other"), "{error}");
    let error = change("/metadata", "namespace", Value::Null);
    assert!(error.contains("without metadata.namespace"), "{error}");
    // A copy in another namespace has another id.
    let error = change("/metadata", "namespace", json!("copies"));
    assert!(error.contains("copies/driftless-shop has the label"), "{error}");
}

/// The parent after a change of its text.
fn with_text(change: impl Fn(&str) -> String) -> Result<Parent, ParentError> {
    let mut live = shop().to_apply().unwrap().parent;
    live["data"]["inventory"] = change(live["data"]["inventory"].as_str().unwrap()).into();
    Parent::from_live(&live, &[])
}

#[test]
fn an_edited_list_keeps_its_objects_and_believes_nothing_else() {
    let edits: [(&str, &str, usize); 4] = [
        ("api, web", "api, web, new", 7),
        ("6 objects\nConfigMap driftless: more\n", "5 objects\n", 5),
        ("Namespace", "\n# a note\nNamespace", 6),
        ("api, web", "api,\n web", 6),
    ];
    for (from, to, objects) in edits {
        let read = with_text(|text| text.replace(from, to)).unwrap();
        assert_eq!(read.inventory.len(), objects, "{to}");
        assert!(read.inventory.values().all(|entry| !is_known(entry) && !entry.applied), "{to}");
        assert!(read.damaged.unwrap().contains("edited by hand"), "{to}");
    }
}

#[test]
fn a_list_that_may_have_lost_objects_is_an_error() {
    let cases: [(&str, &str, &str); 9] = [
        ("# driftless", "driftless", "does not begin with"),
        ("inventory 1:", "inventory 2:", "has the form \"2\""),
        ("6 objects", "many objects", "line 1 is not"),
        (", web", "", "announces 6 objects, but it lists 5"),
        ("api, web", "api, api", "announces 6 objects, but it lists 5"),
        ("api, web", "api, , web", "line 5 is not"),
        ("api, web", "api web", "line 5 is not"),
        ("Namespace -: shop", "Namespace shop", "line 3 is not"),
        ("%25\n", "%25,\n", "cut off after line 6"),
    ];
    for (from, to, says) in cases {
        let error = with_text(|text| text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("nothing is pruned"), "{to}: {error}");
    }
    let error = with_text(|text| text.trim_end().into()).unwrap_err().to_string();
    assert!(error.contains("cut off after line 6"), "{error}");
    let mut live = shop().to_apply().unwrap().parent;
    live["data"] = Value::Null;
    let error = Parent::from_live(&live, &[]).unwrap_err().to_string();
    assert!(error.contains("data.inventory is missing"), "{error}");
}

#[test]
fn lost_records_leave_the_list() {
    for observed in [Value::Null, json!("***"), json!(""), json!("AQID")] {
        let mut live = shop().to_apply().unwrap().parent;
        live["binaryData"]["observed"] = observed;
        let read = Parent::from_live(&live, &[]).unwrap();
        assert!(read.inventory.keys().eq(shop().inventory.keys()));
        assert!(read.damaged.is_some() && read.inventory.values().all(|entry| !is_known(entry)));
    }
}

fn any_name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z]([-a-z0-9.]{0,20}[a-z0-9])?", "[a-zA-Z:, %#.\\-é\n]{1,6}"].prop_map(Into::into)
}

fn any_entry() -> impl Strategy<Value = InventoryEntry> {
    let group = prop_oneof![Just(""), Just("apps"), Just("a.example.com")];
    let kind = prop_oneof![Just("A"), Just("Deployment"), Just("odd.kind")];
    let id = (group, kind, prop::option::of(any_name()), any_name())
        .prop_map(|(group, kind, namespace, name)| ObjectId { gk: GroupKind::new(group, kind), namespace, name });
    (id, any::<[[u8; 16]; 3]>(), any::<[bool; 4]>()).prop_map(
        |(id, [uid, digest, fingerprint], [applied, detach, unconfirmed, approved])| {
            let (uid, digest, fingerprint) = (Short(uid), Short(digest), Short(fingerprint));
            (id, Recorded { uid, digest, fingerprint, applied, detach, unconfirmed, approved })
        },
    )
}

fn any_parent() -> impl Strategy<Value = Parent> {
    prop::collection::vec(any_entry(), 0..40).prop_map(parent)
}

/// Whatever is believed of a damaged parent stood in the one that was written.
fn believes_only(read: Result<Parent, ParentError>, wrote: &Parent) -> bool {
    read.is_ok_and(|read| {
        read.inventory.iter().all(|(id, entry)| !is_known(entry) || wrote.inventory.get(id) == Some(entry))
    })
}

proptest! {
    #[test]
    fn every_inventory_reads_back_as_written(wrote in any_parent()) {
        let object = wrote.to_apply().unwrap().parent;
        prop_assert_eq!(&wrote.clone().to_apply().unwrap().parent.to_string(), &object.to_string());
        prop_assert_eq!(Parent::from_live(&object, &[]).unwrap(), wrote);
    }

    #[test]
    fn a_cut_list_never_names_another_object(wrote in any_parent(), part in 0.0..1.0f64) {
        let mut live = wrote.to_apply().unwrap().parent;
        let text = live["data"]["inventory"].as_str().unwrap().to_owned();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let end = (text.len() as f64 * part) as usize;
        live["data"]["inventory"] = text[..end].into();
        if let Ok(read) = Parent::from_live(&live, &[]) {
            prop_assert!(read.damaged.is_some());
            prop_assert!(read.inventory.keys().eq(wrote.inventory.keys()));
        }
    }

    #[test]
    fn a_changed_character_is_never_believed(wrote in any_parent(), at in any::<prop::sample::Index>(), to in "[a-zA-Z ,.:%\n-]") {
        let mut live = wrote.to_apply().unwrap().parent;
        let mut text = live["data"]["inventory"].as_str().unwrap().to_owned();
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != to);
        text.replace_range(at..=at, &to);
        live["data"]["inventory"] = text.into();
        let read = Parent::from_live(&live, &[]);
        prop_assert!(read.as_ref().map_or(true, |read| read.damaged.is_some()));
        prop_assert!(read.is_err() || believes_only(read, &wrote));
    }

    #[test]
    fn flipped_cut_and_grown_records_are_never_believed(
        wrote in any_parent(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        how in 0..3,
    ) {
        let mut live = wrote.to_apply().unwrap().parent;
        let mut bytes = STANDARD.decode(live["binaryData"]["observed"].as_str().unwrap()).unwrap();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] ^= 1 << bit,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, bit),
        }
        live["binaryData"]["observed"] = STANDARD.encode(bytes).into();
        let read = Parent::from_live(&live, &[]).unwrap();
        prop_assert!(read.damaged.is_some());
        prop_assert!(read.inventory.values().all(|entry| !is_known(entry)));
        prop_assert!(read.inventory.keys().eq(wrote.inventory.keys()));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(# driftless inventory 1: 1 object\n)?(.|\n){0,60}", observed in ".{0,40}") {
        let mut live = shop().to_apply().unwrap().parent;
        live["data"]["inventory"] = text.into();
        live["binaryData"]["observed"] = observed.into();
        let read = Parent::from_live(&live, &[]);
        prop_assert!(read.is_err() || believes_only(read, &parent([])));
    }
}

/// No API server knows such kinds; what is written must be readable all the same, or nothing is
/// ever pruned again.
#[test]
fn no_kind_and_no_namespace_can_shift_the_border_of_a_heading() {
    for (group, kind, namespace, name) in [
        ("", "Kind:", Some("a"), "b"),
        ("", "K: a", Some("b"), "c"),
        ("g:", "K", Some("a:"), "b:"),
        (": ", ": ", Some(": "), ": "),
        ("a.b", "K.c", Some("-"), "-"),
    ] {
        let wrote = parent([known(ObjectId::new(group, kind, namespace, name))]);
        let read = Parent::from_live(&wrote.to_apply().unwrap().parent, &[]).unwrap();
        assert_eq!((&read.inventory, &read.damaged), (&wrote.inventory, &None), "{kind:?}");
    }
}
