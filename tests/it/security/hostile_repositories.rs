//! Repositories meant to do harm: each ends in a clear error, in bounded memory and time, and takes
//! nothing healthy with it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::git::TestRepo;
use crate::support::process::{Finished, run};
use crate::support::site::{Site, config_map};

/// Of a processor, since others may want it as well; generous, as a debug build needs: what counts is that there
/// are bounds.
const MOST_COMPUTED: Duration = Duration::from_mins(1);
/// Until it is certain that it never ends.
const PATIENCE: Duration = Duration::from_mins(10);
const MOST_MEMORY: u64 = 512 << 20;

/// `driftless render` of a repository, held to the bounds.
#[must_use = "it may have failed; `expect_code` shows that"]
fn render(repo: &TestRepo) -> Finished {
    render_with(repo, &[])
}

#[must_use = "it may have failed; `expect_code` shows that"]
fn render_with(repo: &TestRepo, arguments: &[&OsStr]) -> Finished {
    let directory: TempDir = tempfile::tempdir().unwrap();
    let config = directory.path().join("driftless.yaml");
    let text = format!("syncs:\n- {{name: shop, source: {{url: \"{}\", branch: main}}}}\n", repo.url());
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    command.env_clear().env("HOME", directory.path()).env("TMPDIR", directory.path()).current_dir(directory.path());
    command.args(["render", "--config"]).arg(&config).args(arguments);
    let done = run(&mut command, None, PATIENCE);
    bounded(done)
}

fn bounded(done: Finished) -> Finished {
    assert!(done.computed < MOST_COMPUTED, "it took {:?} of a processor", done.computed);
    assert!(done.peak_memory < MOST_MEMORY, "it took {} MiB", done.peak_memory >> 20);
    assert!(!done.all().contains(|sign: char| sign.is_control() && sign != '\n'), "{}", done.all().escape_debug());
    assert!(!done.all().contains(['\u{202e}', '\u{2066}', '\u{feff}']), "{}", done.all().escape_unicode());
    done
}

/// The objects that were printed.
fn names(done: &Finished) -> Vec<String> {
    let documents = done.stdout.split("---\n").filter(|text| !text.is_empty());
    let object = |text| serde_saphyr::from_str::<Value>(text).expect("what is printed is YAML");
    documents.map(|text| object(text)["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

/// A line of the errors with all these parts.
#[track_caller]
fn says(done: &Finished, parts: &[&str]) {
    let found = done.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "no line says {parts:?}:\n{}", done.stderr);
}

#[test]
fn hostile_documents_are_reported_with_their_place_and_the_healthy_ones_are_rendered() {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    let laughs = |open: &str, close: &str| {
        let level =
            |level: usize| format!("a{level}: &a{level} {open}{}{close}\n", format!("*a{},", level - 1).repeat(9));
        format!("{head}a0: &a0 x\n{}", (1..12).map(level).collect::<String>())
    };
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let files: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("laughs.yaml", laughs("[", "]").into(), &["laughs.yaml:", "aliases expand to more than"]),
        ("block.yaml", "- ".repeat(100_000).into(), &["block.yaml:1", "nested more than 64 levels"]),
        ("flow.yaml", "[".repeat(100_000).into(), &["flow.yaml:1", "nested more than 64 levels"]),
        ("flow.json", "[".repeat(100_000).into(), &["flow.json:1", "nested more than 64 levels"]),
        ("map.json", "{\"a\":".repeat(100_000).into(), &["map.json:1", "nested more than 64 levels"]),
        ("nul.yaml", format!("{head}data: {{a: b\0c}}\n").into(), &["nul.yaml:4", "not valid YAML"]),
        ("big.yaml", format!("{head}data: {{a: 1e999}}\n").into(), &["big.yaml:4", "not finite"]),
        ("wide.yaml", format!("{head}spec: 99999999999999999999\n").into(), &["wide.yaml:4", "64 bits"]),
        ("twice.yaml", format!("{head}data: {{a: b}}\ndata: {{}}\n").into(), &["twice.yaml:5", "given twice"]),
        ("twice.json", "{\"a\": 1,\n\"a\": 2}".into(), &["twice.json:2", "given twice"]),
        ("across.yaml", format!("a: &a 1\n---\n{head}data: *a\n").into(), &["across.yaml:6", "does not define"]),
        (
            "binary.yaml",
            format!("{head}data: {{a: !!binary gICA}}\n").into(),
            &["binary.yaml:4", "!!binary is no text"],
        ),
        ("python.yaml", format!("{head}a: !!python/object:os.system x\n").into(), &["python.yaml:4", "tag"]),
        ("utf16.yaml", utf16(&format!("\u{feff}{head}")), &["utf16.yaml:1", "not UTF-8"]),
        (
            "steer.yaml",
            head.replace("name: x", "name: \"\\e[2J\\u202e\"").into(),
            &["steer.yaml:1", "control characters"],
        ),
        (
            "long.yaml",
            head.replace("name: x", &format!("name: {}", "x".repeat(10_000))).into(),
            &["long.yaml:1", "253"],
        ),
        ("key.yaml", format!("{head}\"\\e[31m\\n\": 1\n\"\\e[31m\\n\": 2\n").into(), &["key.yaml:5", r"\u{1b}[31m\n"]),
    ];
    let repo = TestRepo::new();
    for (name, content, _) in &files {
        repo.write(name, content);
    }
    repo.write("good.yaml", config_map("good", "1"));
    repo.write("bom.yaml", format!("\u{feff}{}", config_map("bom", "1")));
    repo.write("proto.yaml", config_map("proto", "1").replace("value:", "__proto__: a\n  constructor:"));
    repo.commit_all("hostile");
    let done = render(&repo).expect_code(1);
    for (_, _, parts) in &files {
        says(&done, parts);
    }
    assert_eq!(done.stderr.lines().count(), files.len() + 1, "{}", done.stderr);
    assert_eq!(names(&done), ["bom", "good", "proto"]);
}

#[test]
fn names_of_files_steer_no_terminal_and_slip_no_object_in() {
    let repo = TestRepo::new();
    let slipped = config_map("slipped-in", "1");
    for name in [
        b"a\x1b[2J\x1b]0;owned\x07.yaml".as_slice(),
        format!("b\n---\n{}\n.yaml", slipped.replace('/', "")).as_bytes(),
        "c\u{202e}lmay.yaml".as_bytes(),
        b"d\rerror: all is well.yaml",
    ] {
        let letter = char::from(name[0]);
        repo.write(".placeholder", "");
        std::fs::write(repo.work().join(OsStr::from_bytes(name)), config_map(&letter.to_string(), "1")).unwrap();
        std::fs::create_dir_all(repo.work().join(letter.to_string())).unwrap();
        std::fs::write(repo.work().join(letter.to_string()).join(OsStr::from_bytes(name)), "nonsense").unwrap();
    }
    std::fs::write(repo.work().join(OsStr::from_bytes(b"latin\xe9.yaml")), "x").unwrap();
    repo.link("link\u{1b}[1m.yaml", "\u{1b}[5mnowhere\n.yaml");
    repo.link("out.yaml", "../../../../etc/passwd");
    repo.submodule("sub\u{1b}[7m");
    repo.commit_all("a \u{1b}[31msubject\u{202e}");
    for local in [false, true] {
        let work = repo.work();
        let arguments = [OsStr::new("--sync"), OsStr::new("shop"), OsStr::new("--local"), work.as_os_str()];
        let done = if local { render_with(&repo, &arguments) } else { render(&repo) }.expect_code(1);
        assert_eq!(names(&done), ["a", "b", "c", "d"], "{}", done.stdout);
        says(&done, &[r"a/a\u{1b}[2J\u{1b}]0;owned\u{7}.yaml:1", "not a Kubernetes manifest"]);
        says(&done, &["latin\u{fffd}.yaml", "not UTF-8"]);
        says(&done, &[r"link\u{1b}[1m.yaml", r"points to \u{1b}[5mnowhere\n.yaml", "does not exist"]);
        says(&done, &["out.yaml", "points to ../../../../etc/passwd", "outside"]);
        if !local {
            says(&done, &[r"sub\u{1b}[7m is a submodule", ".driftlessignore"]);
        }
    }
}

#[test]
fn a_file_of_a_gibibyte_is_not_read() {
    let repo = TestRepo::with(&[("good.yaml", &config_map("good", "1"))]);
    let huge = std::fs::File::create(repo.work().join("huge.yaml")).unwrap();
    huge.set_len(1 << 30).unwrap();
    let work = repo.work();
    let local = ["--sync", "shop", "--local"].map(OsStr::new).into_iter().chain([work.as_os_str()]);
    let done = render_with(&repo, &local.collect::<Vec<_>>()).expect_code(1);
    says(&done, &["huge.yaml", "has 1073741824 bytes, and 33554432 are allowed", ".driftlessignore"]);
    assert_eq!(names(&done), ["good"]);
    assert!(done.peak_memory < 128 << 20, "{} MiB", done.peak_memory >> 20);
}

/// A commit of `main` in git-fast-import's form, with one file that holds `content` under all these paths.
fn commit_of(content: &str, mode: &str, paths: impl Iterator<Item = String>) -> Vec<u8> {
    let mut stream = format!("blob\nmark :1\ndata {}\n{content}\n", content.len());
    stream += "commit refs/heads/main\ncommitter Ada <ada@example.com> 1735787045 +0000\ndata 1\nx\ndeleteall\n";
    stream.extend(paths.map(|path| format!("M {mode} :1 {path}\n")));
    stream.into()
}

#[test]
fn a_hundred_thousand_files_are_too_many_and_soon_known_to_be() {
    let repo = TestRepo::new();
    let paths = (0..100_000).map(|number| format!("d{}/{number}.yaml", number / 1000));
    repo.fast_import(&commit_of("apiVersion: v1", "100644", paths));
    let done = render(&repo).expect_code(1);
    says(&done, &["path . holds more than 20000 manifest files", "split it between several syncs"]);
}

#[test]
fn more_entries_that_cannot_be_taken_than_anybody_reads_refuse_the_commit() {
    let repo = TestRepo::new();
    repo.fast_import(&commit_of("nowhere", "120000", (0..5_000).map(|number| format!("{number}.yaml"))));
    let done = render(&repo).expect_code(1);
    says(&done, &["path . holds more than 1000 files, links and submodules that cannot be taken", "points to nowhere"]);
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}

/// Each of a few trees holds the next one ten times: a few kilobytes, and billions of paths.
#[test]
fn trees_that_multiply_are_read_once() {
    let repo = TestRepo::with(&[("leaf.yaml", "x")]);
    for (leaf, says_what) in [("f.yaml", "manifest files"), ("f.txt", "files and directories")] {
        let mut entries = format!("100644 blob {}\t{leaf}", repo.git(&["rev-parse", "HEAD:leaf.yaml"]));
        for level in 0..12 {
            let tree = repo.git_with_input(&["mktree"], &entries);
            let name = |number: usize| format!("040000 tree {tree}\td{level}{number}");
            entries = (0..10).map(name).collect::<Vec<_>>().join("\n");
        }
        let tree = repo.git_with_input(&["mktree"], &entries);
        let commit = repo.git(&["commit-tree", "-m", "multiplied", &tree]);
        repo.git(&["push", "--quiet", "--force", "origin", &format!("{commit}:refs/heads/main")]);
        let done = render(&repo).expect_code(1);
        says(&done, &["path . holds more than", says_what]);
    }
}

/// Every link is resolved in the directory, which is too large to be kept parsed.
#[test]
fn links_through_a_large_directory_end() {
    let repo = TestRepo::new();
    let name = |number: usize| format!("{number:0>200}.yaml");
    repo.fast_import(&commit_of(&name(20_000), "120000", (0..20_000).map(name)));
    let done = render(&repo).expect_code(1);
    assert!(done.stderr.lines().count() <= 1_001, "{}", done.stderr);
}

#[test]
fn links_that_multiply_directories_end() {
    let repo = TestRepo::with(&[("d0/x.txt", "x")]);
    for level in 1..30 {
        for side in ["a", "b", "c"] {
            repo.link(&format!("d{level}/{side}"), &format!("../d{}", level - 1));
        }
    }
    repo.commit_all("links");
    let done = render(&repo).expect_code(1);
    says(&done, &["path . holds more than 1000000 files and directories", "narrow the path"]);
}

#[test]
fn a_path_that_is_longer_than_any_system_takes_is_left_out() {
    let repo = TestRepo::new();
    let deep = format!("{}x.yaml", format!("{}/", "d".repeat(250)).repeat(20));
    let paths = [deep, "good.yaml".to_owned()].into_iter();
    repo.fast_import(&commit_of(&config_map("good", "1"), "100644", paths));
    let done = render(&repo).expect_code(1);
    says(&done, &["ddd", "its path has", "and 4096 are allowed", "rename it"]);
    assert_eq!(names(&done), ["good"]);
}

#[test]
fn documents_without_number_are_too_many() {
    let repo = TestRepo::with(&[("good.yaml", &config_map("good", "1"))]);
    repo.commit(&[("large.yaml", &"--- 1\n".repeat(6_000_000)), ("z.yaml", &"--- 1\n".repeat(5_000_000))]);
    let done = render(&repo).expect_code(1);
    says(&done, &["large.yaml", "has 36000000 bytes, and 33554432 are allowed; split it"]);
    says(&done, &["z.yaml:", "more than 50000 objects", "several syncs"]);
    assert_eq!(names(&done), ["good"]);
    assert!(done.peak_memory < 192 << 20, "{} MiB", done.peak_memory >> 20);
}

#[test]
fn empty_documents_without_number_are_too_many() {
    let repo = TestRepo::with(&[("a.yaml", &config_map("good", "1"))]);
    repo.commit(&[("empty.yaml", &"--- ~\n".repeat(5_000_000))]);
    let done = render(&repo).expect_code(1);
    says(&done, &["empty.yaml:", "more than 50000 objects", "several syncs"]);
    assert_eq!(names(&done), ["good"]);
    assert!(done.peak_memory < 192 << 20, "{} MiB", done.peak_memory >> 20);
}

#[test]
fn files_that_are_too_large_together_refuse_the_commit() {
    let repo = TestRepo::new();
    for file in 0..33 {
        repo.write(&format!("{file}.yaml"), config_map(&format!("big-{file}"), &"x".repeat((4 << 20) - 200)));
    }
    repo.commit_all("too large");
    let done = render(&repo).expect_code(1);
    says(&done, &["the manifest files in path . are larger than 134217728 bytes together", "several syncs"]);
}

#[test]
fn a_hostile_commit_prunes_nothing_and_its_healthy_files_are_applied() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    site.once().expect_code(0);
    site.repo.remove("old.yaml");
    site.repo.link("loop.yaml", "loop.yaml");
    site.repo.link("out.yaml", "/etc/passwd");
    site.repo.submodule("vendored");
    let annotated = config_map("annotated", "1")
        .replace("metadata:\n", &format!("metadata:\n  annotations: {{x: {}}}\n", "y".repeat(300 << 10)));
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "two")),
        ("annotated.yaml", &annotated),
        ("huge.yaml", &"x".repeat(40 << 20)),
        ("large.yaml", &format!("# A comment.\n{}", config_map("large", &"x".repeat(1_700_000)))),
        ("larger.yaml", &config_map("larger", &"x".repeat(3_500_000))),
        ("steer.yaml", &config_map("\"\\e[2Jx\"", "1")),
    ]);
    let done = bounded(site.once().expect_code(1));
    for parts in [
        &["loop.yaml", "leads back to it", ".driftlessignore"][..],
        &["out.yaml", "outside of the path", ".driftlessignore"],
        &["vendored is a submodule", ".driftlessignore"],
        &["huge.yaml", "41943040 bytes", ".driftlessignore"],
        &["ConfigMap", "annotated", "annotated.yaml:1", "annotations"],
        &["ConfigMap", "large", "large.yaml:2", "large"],
        &["ConfigMap", "larger", "larger.yaml:1", "large"],
        &["steer.yaml:1", r"\u{1b}[2Jx", "control characters"],
    ] {
        says(&done, parts);
    }
    assert_eq!(site.config_maps(), ["a", "old"], "nothing is pruned");
    assert_eq!(site.value_of("a").as_deref(), Some("two"), "the healthy file is applied");

    let plan = bounded(site.cli(&["plan"]).expect_code(1));
    assert!(plan.all().contains("vendored is a submodule"), "{}", plan.all());
    let status = bounded(site.cli(&["status"]).expect_code(3));
    assert!(status.all().contains("huge.yaml"), "{}", status.all());
}
