//! The rooms of `src` import each other as the table in `src/lib.rs` says, and the pure ones know no clock, no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a pure room does not use: whatever reads a clock, waits, reads or writes, or draws at random.
const IMPURE: [&str; 12] = [
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "fastrand",
    "git2",
    "kube::",
];
const PURE: [&str; 6] = ["object", "plan", "event", "reconcile", "election", "hook"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Room, and the rooms that it may import, by the table. `all` stands for every room.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`")).map(|row| {
        let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_end_matches("`]").to_owned();
        let last = cells.get(2).copied().unwrap_or_default();
        (name, last.split(", ").filter(|room| !room.is_empty()).map(str::to_owned).collect())
    });
    rows.collect()
}

/// The Rust files of a room, without those that hold tests alone.
fn files(room: &str) -> Vec<PathBuf> {
    let mut found = vec![source().join(format!("{room}.rs"))];
    let mut open = vec![source().join(room)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "tests" || name == "fixture" || name == "script" {
                continue;
            }
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The text of a file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The rooms that some code names as `crate::room`, also within `use crate::{a, b::C}`.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => drop(found.insert(word(after))),
            Some(group) => {
                let mut depth = 0;
                let mut begins = true;
                for (at, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begins = true,
                        _ if begins && !character.is_whitespace() => {
                            found.insert(word(&group[at..]));
                            begins = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_room_imports_what_the_table_allows_and_no_more() {
    let table = table();
    let modules = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules: BTreeSet<String> = modules
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), modules, "the table names every room");
    // Whoever sends requests or starts helpers may use these: the text above the table says so.
    let for_all: BTreeSet<String> = ["limit", "retry", "sandbox"].map(str::to_owned).into();
    let mut wrong = Vec::new();
    for (room, allowed) in &table {
        for file in files(room) {
            for import in imports(&code(&file)) {
                let ok = import == *room
                    || allowed.contains("all")
                    || allowed.contains(&import)
                    || !modules.contains(&import)
                    || for_all.contains(&import) && !PURE.contains(&room.as_str());
                if !ok {
                    wrong.push(format!("{}: {room} imports {import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_rooms_know_no_clock_and_no_io() {
    let mut wrong = Vec::new();
    for room in PURE {
        for file in files(room) {
            let code = code(&file);
            let used = IMPURE.iter().filter(|word| code.contains(**word));
            wrong.extend(used.map(|word| format!("{}: {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_is_where_the_security_model_says() {
    let all = table().into_keys().flat_map(|room| files(&room));
    let used = all.filter(|file| code(file).contains("unsafe {"));
    let found: BTreeSet<PathBuf> = used.map(|file| file.strip_prefix(source()).unwrap().to_owned()).collect();
    let known = ["sandbox/child.rs", "sandbox/support.rs", "source/http/subtransport.rs", "source/transport.rs"];
    assert_eq!(found, known.map(PathBuf::from).into(), "docs/security.md says how many there are");
}

#[test]
fn every_file_of_the_integration_tests_is_a_part_of_them() {
    let mut open = vec![(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), "main")];
    while let Some((directory, list)) = open.pop() {
        let listed = std::fs::read_to_string(directory.join(list).with_extension("rs"));
        let listed = listed.unwrap_or_else(|error| panic!("{}/{list}.rs: {error}", directory.display()));
        assert!(listed.starts_with("//! "), "{}/{list}.rs says what belongs there", directory.display());
        let listed: BTreeSet<&str> = listed
            .lines()
            .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
            .collect();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_module = path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
            assert!(
                !is_module || name == list || listed.contains(name.as_str()),
                "{} is not in {list}.rs beside it",
                path.display()
            );
            if path.is_dir() {
                open.push((path, "mod"));
            }
        }
    }
}

#[test]
fn imports_are_found_in_groups_too() {
    let found = imports("use crate::{a, b::{c, d}, e::F};\nuse crate::object::ObjectId;\nlet x = crate::plan::Y;");
    assert_eq!(found, ["a", "b", "e", "object", "plan"].map(str::to_owned).into());
}
