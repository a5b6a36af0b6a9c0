//! What `make fuzz` searches for, held against the inputs that are kept in `fuzz/corpus`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

fn inside(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn every_kept_input_of_every_fuzz_target_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let named: BTreeSet<PathBuf> = targets::TARGETS.iter().map(|(name, _)| corpus.join(name)).collect();
    assert_eq!(inside(&corpus), named, "each target has a corpus, and each corpus a target");
    for (name, target) in targets::TARGETS {
        let inputs = inside(&corpus.join(name));
        assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
        for input in inputs {
            // Shown where it fails.
            println!("fuzz/corpus/{name}/{}", input.file_name().unwrap_or_default().display());
            target(&std::fs::read(&input).expect("an input"));
        }
    }
}
