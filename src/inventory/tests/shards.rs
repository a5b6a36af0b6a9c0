//! Inventories that need more than one `ConfigMap`.

use super::*;
use crate::inventory::shards::LiveShards;

const MIB: usize = 1024 * 1024;

/// As large syncs are: several namespaces and kinds, names as long as Helm and people make them.
fn large(objects: usize) -> Parent {
    let kinds =
        ["ConfigMap", "Service", "Deployment.apps", "ServiceAccount", "NetworkPolicy.networking.k8s.io", "Secret"];
    parent((0..objects).map(|number| {
        let namespace = format!("team-{:02}-production", number % 40);
        known(id(kinds[number % kinds.len()], Some(&namespace), &format!("checkout-service-worker-{number:05}-blue")))
    }))
}

/// The live `ConfigMap`s of the shards, as the API server would give them.
fn live(stored: &EncodedParent) -> Vec<Value> {
    stored.shards.iter().map(|shard| shard.to_apply(Some("u"))).collect()
}

/// Bytes of the values together, as the API server counts them (`ValidateConfigMap`).
fn size(object: &Value) -> usize {
    let values = |key: &str| object[key].as_object().into_iter().flatten();
    let text = values("data").map(|(_, value)| value.as_str().unwrap().len());
    let binary = values("binaryData").map(|(_, value)| STANDARD.decode(value.as_str().unwrap()).unwrap().len());
    text.chain(binary).sum()
}

/// Everything is listed, and nothing believed.
fn damaged(stored: &Value, shards: &[Value], wrote: &Parent) -> String {
    let read = Parent::from_live(stored, shards).unwrap();
    assert!(read.inventory.keys().eq(wrote.inventory.keys()));
    assert!(read.inventory.values().all(|recorded| *recorded == Recorded::default()));
    assert_eq!(read.status, wrote.status, "the status is not concerned");
    read.damaged.unwrap()
}

#[test]
fn what_version_0_1_0_stored_in_one_configmap_is_read_and_written_as_it_was() {
    let stored: Value = serde_json::from_str(include_str!("one-configmap.json")).unwrap();
    let mut wrote = shop();
    wrote.status.message = "all is well".into();
    assert_eq!(Parent::from_live(&stored, &[]).unwrap(), wrote);
    let again = wrote.to_apply().unwrap();
    assert!(again.shards.is_empty());
    assert_eq!((&again.parent["data"], &again.parent["binaryData"]), (&stored["data"], &stored["binaryData"]));
}

#[test]
fn ten_thousand_objects_fit_into_one_configmap() {
    let stored = large(10_000).to_apply().unwrap();
    assert!(stored.shards.is_empty() && Parent::shard_names(&stored.parent).is_empty());
    assert!(size(&stored.parent) < MIB);
}

#[test]
fn twenty_thousand_objects_read_back_from_several_configmaps_in_any_order() {
    let mut wrote = large(20_000);
    wrote.status.problems = vec![Problem::general("x".repeat(1000)); 60];
    let stored = wrote.to_apply().unwrap();
    assert_eq!(stored.shards.len(), 2);
    let mut shards = live(&stored);
    assert!(size(&stored.parent) < MIB, "{}", size(&stored.parent));
    for shard in &shards {
        // With room for metadata in an etcd request of 1.5 MiB, even as base64 in JSON.
        assert!(size(shard) < MIB && shard.to_string().len() < MIB);
    }
    let text = stored.parent["data"]["inventory"].as_str().unwrap();
    assert!(text.starts_with("# driftless inventory 1: 20000 objects\nConfigMap team-00-production: checkout-"));
    let names: std::collections::BTreeSet<_> = stored.shards.iter().map(|shard| shard.name.clone()).collect();
    assert_eq!(Parent::shard_names(&stored.parent), names);

    shards.reverse();
    shards.push(shop().to_apply().unwrap().parent);
    assert_eq!(Parent::from_live(&stored.parent, &shards).unwrap(), wrote);
    assert_eq!(wrote.to_apply().unwrap(), stored, "the same inventory is the same bytes");
}

/// The list of objects alone takes nearly all there is.
#[test]
fn the_largest_status_leaves_room_for_new_objects() {
    let mut parent = large(1000);
    parent.status = super::status::largest();
    let mut number = 0;
    let listed = |parent: &Parent| text::encode(&parent.inventory).len();
    while listed(&parent) < MIB - 40 * 1024 {
        for _ in 0..500 {
            let (id, recorded) = known(id("Secret", Some("new"), &format!("another-object-with-a-name-{number:06}")));
            parent.inventory.insert(id, recorded);
            number += 1;
        }
    }
    let stored = parent.to_apply().unwrap();
    assert!(size(&stored.parent) <= MIB, "{}", size(&stored.parent));
    let read = Parent::from_live(&stored.parent, &live(&stored)).unwrap();
    assert_eq!((read.inventory, read.damaged), (parent.inventory, None));
    assert!(read.status.shortened.is_some() && read.status.held.is_some());
}

#[test]
fn a_list_that_is_too_long_for_the_parent_is_refused() {
    let error = large(60_000).to_apply().unwrap_err();
    assert!(error.bytes > MIB);
    let text = error.to_string();
    assert!(text.contains("sync shop lists 60000 objects, whose names and the sync's status take"), "{text}");
    assert!(text.contains("split it"), "{text}");
}

#[test]
fn pieces_carry_no_label_by_which_parents_are_found_and_go_with_their_parent() {
    let shard = large(20_000).to_apply().unwrap().shards.remove(0);
    let object = shard.to_apply(None);
    assert_eq!(
        object["metadata"]["labels"],
        json!({"driftless.dev/observed-of": "shop", "app.kubernetes.io/managed-by": "driftless"})
    );
    assert_eq!(object["metadata"].get("ownerReferences"), None);
    let owned = shard.to_apply(Some("u-1"));
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "driftless-shop", "uid": "u-1"}]);
    assert_eq!(owned["metadata"]["ownerReferences"], reference);
    assert!(shard.is(&owned, Some("u-1")) && shard.is(&object, None));
    assert!(!shard.is(&owned, Some("u-2")) && !shard.is(&owned, None) && !shard.is(&object, Some("u-1")));
    let mut edited = owned;
    edited["binaryData"]["rows"] = "AAAA".into();
    assert!(!shard.is(&edited, Some("u-1")));
}

#[test]
fn no_parent_has_the_name_of_a_piece() {
    let shop = SyncName::parse("shop").unwrap();
    let shard = large(20_000).to_apply().unwrap().shards.remove(0).name;
    assert!(Shard::is_name_of(&shop, &shard));
    let sync = shard.strip_prefix("driftless-").unwrap();
    assert_eq!(SyncName::parse(sync), None, "the dot");
    // Nor has a shard of another sync, whatever that is called.
    let other = SyncName::parse("shop-observed-1").unwrap();
    assert!(!Shard::is_name_of(&other, &shard));
    assert!(!Shard::is_name_of(&shop, &shard.replace("-shop", "-shop-observed-1")));
    for name in ["driftless-shop", "driftless-shop.observed-", "driftless-shop.observed-1", "kube-root-ca.crt"] {
        assert!(!Shard::is_name_of(&shop, name), "{name}");
    }
    assert!(!Shard::is_name_of(&shop, &shard.to_uppercase()) && !Shard::is_name_of(&shop, &format!("{shard}0")));
}

#[test]
fn shards_that_are_not_what_they_should_be_are_missing_and_other_configmaps_are_none() {
    let shop = SyncName::parse("shop").unwrap();
    let needed = large(20_000).to_apply().unwrap().shards;
    let object = |mut object: Value, name: &str, uid: &str| {
        object["metadata"]["name"] = name.into();
        object["metadata"]["uid"] = uid.into();
        object
    };
    let former = format!("driftless-shop.observed-{}", "0".repeat(32));
    let found = [
        object(needed[0].to_apply(Some("u")), &needed[0].name, "1"),
        object(needed[1].to_apply(Some("other")), &needed[1].name, "2"),
        object(needed[1].to_apply(None), &former, "3"),
        object(needed[1].to_apply(None), "driftless-shop.observed-by-me", "4"),
    ];
    let mut live = LiveShards::of(&found, &shop, &needed, Some("u".into()));
    assert!(live.contains(&needed[0]) && !live.contains(&needed[1]));
    assert_eq!(live.take_unneeded(&needed), [(former, "3".to_owned())]);
    assert_eq!(live.take_unneeded(&needed), []);
    assert!(!live.change_parent("u", &needed) && live.contains(&needed[0]));
    assert!(live.change_parent("other", &needed) && !live.contains(&needed[0]), "it has the former parent as owner");
    assert_eq!(live.parent_uid(), Some("other"));
}

#[test]
fn pieces_that_are_not_all_there_as_they_were_written_leave_the_list_and_nothing_else() {
    let wrote = large(20_000);
    let stored = wrote.to_apply().unwrap();
    let shards = live(&stored);
    for missing in 0..2 {
        let rest: Vec<Value> =
            shards.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, p)| p.clone()).collect();
        let text = damaged(&stored.parent, &rest, &wrote);
        let says = format!("of its 20000 objects is incomplete (the ConfigMap {}", stored.shards[missing].name);
        assert!(
            text.contains(&says) && text.contains("each is applied again, and none is pruned before that"),
            "{text}"
        );
    }
    damaged(&stored.parent, &[], &wrote);

    let rows = |shard: &Value| STANDARD.decode(shard["binaryData"]["rows"].as_str().unwrap()).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut shards = shards.clone();
        shards[at]["binaryData"]["rows"] = STANDARD.encode(bytes).into();
        damaged(&stored.parent, &shards, &wrote)
    };
    let (first, second) = (rows(&shards[0]), rows(&shards[1]));
    with(0, &second);
    with(1, &first);
    with(1, &second[..second.len() - 1]);
    with(1, &second[..second.len() - 49]);
    with(0, &[]);
    with(0, &[&[first[0] ^ 4], &first[1..]].concat());
    let mut broken = shards.clone();
    for value in [json!("***"), json!(5), Value::Null] {
        broken[0]["binaryData"]["rows"] = value;
        assert!(damaged(&stored.parent, &broken, &wrote).contains("is not what it was"));
    }
    assert!(with(0, &second).contains("edited by hand"));
}

#[test]
fn a_parent_that_names_other_pieces_leaves_the_list_and_nothing_else() {
    let wrote = large(20_000);
    let stored = wrote.to_apply().unwrap();
    let shards = live(&stored);
    let names = stored.parent["data"]["observed-in"].as_str().unwrap();
    let (first, second) = names.split_once('\n').unwrap();
    let foreign = names.replace("-shop.", "-other.");
    for edited in [&format!("{second}{first}\n"), first, &format!("{names}{first}\n"), &foreign, "kube-root-ca.crt", ""]
    {
        let mut parent = stored.parent.clone();
        parent["data"]["observed-in"] = edited.into();
        damaged(&parent, &shards, &wrote);
        assert!(Parent::shard_names(&parent).iter().all(|name| names.contains(&**name)), "others are not asked for");
    }
    let mut parent = stored.parent.clone();
    parent["data"]["observed-in"] = Value::Null;
    damaged(&parent, &shards, &wrote);
    // Of another version, by its first byte; or none at all.
    let mut seal = STANDARD.decode(parent["binaryData"]["observed"].as_str().unwrap()).unwrap();
    assert_eq!((seal.len(), seal[0]), (17, 1));
    seal[0] = 2;
    for observed in [json!(STANDARD.encode(seal)), Value::Null] {
        let mut parent = stored.parent.clone();
        parent["binaryData"]["observed"] = observed;
        damaged(&parent, &shards, &wrote);
    }
}

#[test]
fn a_write_that_broke_off_is_either_the_old_inventory_or_the_new_one() {
    let old = large(20_000);
    let mut new = old.clone();
    new.inventory.pop_first();
    let (before, after) = (old.to_apply().unwrap(), new.to_apply().unwrap());
    // Written in this order: the new shards, the parent; deleted: the old shards. All may be there.
    let both: Vec<Value> = live(&before).into_iter().chain(live(&after)).collect();
    assert_eq!(Parent::from_live(&before.parent, &both).unwrap(), old);
    assert_eq!(Parent::from_live(&after.parent, &both).unwrap(), new);
    // Whatever survives of another write, or of another agent's, is not taken for the own.
    damaged(&before.parent, &live(&after), &old);
    damaged(&after.parent, &live(&before), &new);
}

#[test]
fn only_the_pieces_with_changed_objects_are_others() {
    let old = large(20_000);
    let mut new = old.clone();
    new.inventory.values_mut().next_back().unwrap().fingerprint = Short::of("another");
    let (before, after) = (old.to_apply().unwrap(), new.to_apply().unwrap());
    assert_eq!(before.shards[0], after.shards[0]);
    assert_ne!(before.shards[1].name, after.shards[1].name);
    assert_eq!(before.parent["data"]["inventory"], after.parent["data"]["inventory"]);
    assert_ne!(before.parent["binaryData"], after.parent["binaryData"], "sealed anew");
}

#[test]
fn an_inventory_grows_into_pieces_and_shrinks_back_into_the_parent() {
    let counts: Vec<usize> = [10_000, 20_000, 25_000, 16_000, 100]
        .into_iter()
        .map(|objects| {
            let wrote = large(objects);
            let stored = wrote.to_apply().unwrap();
            assert_eq!(Parent::from_live(&stored.parent, &live(&stored)).unwrap(), wrote);
            stored.shards.len()
        })
        .collect();
    assert_eq!(counts, [0, 2, 3, 2, 0]);
}

#[test]
fn objects_of_which_nothing_is_recorded_share_a_piece() {
    let names = (0..20_000).map(|number| listed(id("ConfigMap", Some("shop"), &format!("{number:040}"))));
    let wrote = parent(names);
    let stored = wrote.to_apply().unwrap();
    assert_eq!(stored.shards[0], stored.shards[1]);
    assert_eq!(Parent::shard_names(&stored.parent).len(), 1);
    assert_eq!(Parent::from_live(&stored.parent, &live(&stored)[..1]).unwrap(), wrote);
}
