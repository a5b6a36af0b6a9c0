//! The status of a sync as YAML in its parent. It only informs: one that cannot be read is dropped,
//! and one that is long is shortened, so that it never keeps an inventory from being stored.

use crate::plan::{Problem, SyncStatus};

/// Bytes that a status may take of the parent's 1 MiB.
const MOST_BYTES: usize = 64 * 1024;
/// What is left of a status that takes more: so many items of each list, with so many characters.
const SHORT_LIST: usize = 10;
const SHORT_TEXT: usize = 500;

pub(super) fn encode(status: &SyncStatus) -> String {
    let text = yaml(status);
    if text.len() <= MOST_BYTES { text } else { yaml(&shortened(status)) }
}

pub(super) fn decode(text: &str) -> SyncStatus {
    serde_saphyr::from_str(text).unwrap_or_default()
}

/// YAML, or the JSON that YAML contains should a value have no YAML.
fn yaml(status: &SyncStatus) -> String {
    serde_saphyr::to_string(status).or_else(|_| serde_json::to_string_pretty(status)).unwrap_or_default()
}

fn shortened(status: &SyncStatus) -> SyncStatus {
    let mut status = status.clone();
    for text in [&mut status.message, &mut status.url, &mut status.reference, &mut status.path] {
        *text = cut(text);
    }
    for commit in [&mut status.synced, &mut status.attempted].into_iter().flatten() {
        commit.subject = cut(&commit.subject);
    }
    for list in [&mut status.problems, &mut status.notes] {
        list.truncate(SHORT_LIST);
        for Problem { message, .. } in list {
            *message = cut(message);
        }
    }
    status.unhealthy.truncate(SHORT_LIST);
    for (_, health) in &mut status.unhealthy {
        health.message = cut(&health.message).into();
    }
    status
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHORT_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
