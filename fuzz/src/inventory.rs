//! The stored inventory. Either the parent holds what the input says, or it holds a good inventory
//! that the input damages: what is read is the very thing that was written, or known as damaged, or
//! an error, and never something else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use driftless::config::SyncName;
use driftless::inventory::{EncodedParent, Parent};
use driftless::object::{ObjectId, Short};
use driftless::plan::Recorded;
use serde_json::Value;

use super::{assert_readable, cut};

pub fn target(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode & 1 == 0 { written_by_anybody(rest) } else { damaged(rest) }
}

fn empty() -> Parent {
    Parent::new(SyncName::parse("shop").unwrap(), Arc::from("driftless"))
}

/// Status, inventory and rows, divided by zero bytes.
fn written_by_anybody(data: &[u8]) {
    let (status, rest) = cut(data, 0);
    let (inventory, rows) = cut(rest, 0);
    let mut live = empty().to_apply().unwrap().parent;
    live["data"]["status"] = String::from_utf8_lossy(status).into();
    live["data"]["inventory"] = String::from_utf8_lossy(inventory).into();
    live["binaryData"]["observed"] = STANDARD.encode(rows).into();
    let parent = match Parent::from_live(&live, &[]) {
        Err(error) => return assert_readable(&error.to_string(), 2_000),
        Ok(parent) => parent,
    };
    assert!(parent.damaged.is_none() || parent.inventory.values().all(|recorded| *recorded == Recorded::default()));
    if let Some(damaged) = &parent.damaged {
        assert_readable(damaged, 2_000);
    }
    let EncodedParent { parent: stored, shards } = parent.to_apply().unwrap();
    assert!(shards.is_empty());
    let again = Parent::from_live(&stored, &[]).unwrap();
    assert_eq!((&again.inventory, &again.damaged), (&parent.inventory, &None));
    let twice = Parent::from_live(&again.to_apply().unwrap().parent, &[]).unwrap();
    assert_eq!(twice.status, again.status);
}

/// Names between commas; behind a zero byte what is changed: two bytes of place, one of difference.
fn damaged(data: &[u8]) {
    let (names, changes) = cut(data, 0);
    let mut parent = empty();
    for (index, name) in String::from_utf8_lossy(names).split(',').enumerate() {
        let part = |at: usize| name.split('/').rev().nth(at).filter(|part| !part.is_empty());
        let Some(own) = part(0) else { continue };
        let id = ObjectId::new(part(3).unwrap_or(""), part(2).unwrap_or("ConfigMap"), part(1), own);
        let hash = |what: &str| Short::of(&format!("{what}{name}"));
        let recorded = Recorded {
            uid: hash("u"),
            digest: hash("d"),
            fingerprint: hash("f"),
            applied: true,
            detach: index % 3 == 0,
            unconfirmed: index % 5 == 0,
            approved: index % 7 == 0,
        };
        parent.inventory.insert(id, recorded);
    }
    let stored = parent.to_apply().unwrap().parent;
    let read = Parent::from_live(&stored, &[]).unwrap();
    assert_eq!((&read.inventory, &read.damaged), (&parent.inventory, &None));

    let mut live = stored.clone();
    let mut text = live["data"]["inventory"].as_str().unwrap().as_bytes().to_vec();
    let mut rows = STANDARD.decode(live["binaryData"]["observed"].as_str().unwrap()).unwrap();
    for change in changes.chunks_exact(3) {
        let place = usize::from(change[0]) << 7 | usize::from(change[1] >> 1);
        let bytes = if change[1] & 1 == 0 { &mut text } else { &mut rows };
        match bytes.len() {
            0 => {}
            length if change[2] == 0 => bytes.truncate(place % length),
            length => bytes[place % length] ^= change[2],
        }
    }
    live["data"]["inventory"] = String::from_utf8_lossy(&text).into();
    live["binaryData"]["observed"] = STANDARD.encode(&rows).into();
    match Parent::from_live(&live, &[]) {
        Err(error) => assert_readable(&error.to_string(), 2_000),
        Ok(read) if live == stored || read.damaged.is_none() => {
            assert_eq!(read.inventory, parent.inventory);
            assert_eq!(live["data"], Value::clone(&stored["data"]));
        }
        // Known by name, so that they are applied again, and none is pruned.
        Ok(read) => assert!(read.inventory.values().all(|recorded| *recorded == Recorded::default())),
    }
}
