//! What every target holds foreign input to: texts for people cannot deceive and end somewhere,
//! and reading is a function of what is read. `tests/it/project/fuzz.rs` takes this file in, to hold the
//! corpora to the same.

pub mod answer;
pub mod config;
pub mod fields;
pub mod inventory;
pub mod manifests;
pub mod path;
pub mod walk;

use std::sync::Arc;

use driftless::object::is_deceptive;
use driftless::render::{Inputs, Rendered, Settings, render};
use driftless::source::{Snapshot, SourceFile};

/// The name of a target, and what is called with each input.
pub type Target = (&'static str, fn(&[u8]));

/// Each with the name of its binary and of its corpus.
pub const TARGETS: [Target; 7] = [
    ("answer", answer::target),
    ("config", config::target),
    ("fields", fields::target),
    ("inventory", inventory::target),
    ("manifests", manifests::target),
    ("path", path::target),
    ("walk", walk::target),
];

/// A text for people: without control and formatting characters, and short enough to be read.
#[track_caller]
pub fn assert_readable(text: &str, most_bytes: usize) {
    assert!(!text.chars().any(is_deceptive), "a text that deceives: {text:?}");
    assert!(text.len() <= most_bytes, "a text of {} bytes: {text:?}", text.len());
}

/// What a repository of these files declares.
#[must_use]
pub fn render_files(files: &[(&str, &[u8])]) -> Rendered {
    let file = |(path, bytes): &(&str, &[u8])| SourceFile { path: Arc::from(*path), bytes: Arc::from(*bytes) };
    let snapshot = Snapshot { tree: "t".into(), files: files.iter().map(file).collect(), refused: Vec::new() };
    render(&snapshot, &Settings::default(), &Inputs::default())
}

/// Bytes up to the first of these markers, and what follows it.
#[must_use]
pub fn cut(data: &[u8], marker: u8) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == marker) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
