//! What the documentation promises of the tests.

use std::path::Path;

use ignore::Walk;

#[test]
fn every_test_that_the_scenarios_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/scenarios.md")).expect("the table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|row| !row.starts_with("| ---")).collect();
    let number = |row: &&str| row.split('|').nth(1).and_then(|cell| cell.trim().parse().ok());
    let numbers: Vec<u32> = rows.iter().map(|row| number(row).unwrap_or_else(|| panic!("{row}"))).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "one row a scenario, in their order: {numbers:?}");
    assert_eq!(numbers[..37], (1..=37).collect::<Vec<u32>>());
    for row in rows {
        let tests: Vec<&str> = row.split('`').filter(|part| part.contains("::")).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").expect("a module");
            let file = root.join("tests/it").join(module.replace("::", "/")).with_extension("rs");
            let code = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(code.contains(&format!("#[test]\nfn {name}(")), "{test}");
        }
    }
}

/// The table of errors quotes what the program says.
#[test]
fn every_error_that_the_documentation_explains_is_one_that_is_reported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let operating = std::fs::read_to_string(root.join("docs/operating.md")).expect("the document");
    let section = operating.split("\n## ").find(|section| section.starts_with("Errors\n")).expect("a section");
    let quoted: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(quoted.len() >= 20, "{quoted:?}");
    let files = Walk::new(root.join("src")).filter_map(Result::ok);
    let files = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"));
    let code: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    // A text that goes over two lines of code is one.
    let code = code.split("\\\n").map(str::trim_start).collect::<String>();
    for words in quoted {
        assert!(code.contains(words), "no code says {words:?}");
    }
}

/// Those that people copy: pipelines and values.
#[test]
fn every_yaml_block_of_the_guides_is_yaml() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (guide, least) in [("ci.md", 4), ("eks.md", 1), ("hooks.md", 2), ("image.md", 1), ("rendering.md", 6)] {
        let text = std::fs::read_to_string(docs.join(guide)).expect("a guide");
        let blocks: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
        assert!(blocks.len() >= least, "{guide} has {} blocks", blocks.len());
        for block in blocks {
            let parsed: Result<serde_json::Value, _> = serde_saphyr::from_str(block);
            assert!(parsed.is_ok_and(|value| value.is_object() || value.is_array()), "{guide}:\n{block}");
        }
    }
}
