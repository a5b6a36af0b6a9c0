//! What of a commit becomes a snapshot, and what is refused.

use driftless::config::RepoPath;
use driftless::source::{Limits, Refusal, read_directory};

use super::fixture::{Agent, branch, content, left_out, paths};
use crate::support::git::TestRepo;

#[test]
fn a_commit_is_read_without_a_work_tree() {
    let repo = TestRepo::with(&[("apps/b.yaml", "b"), ("apps/a.yml", "a"), ("apps/c.json", "c"), ("x.yaml", "x")]);
    repo.commit(&[("apps/README.md", "no manifest"), ("apps/.hidden/h.yaml", "h"), ("apps/.h.yaml", "h")]);
    let agent = Agent::new(&repo.url(), branch("main"), "apps");
    let (info, snapshot) = agent.pull().unwrap();
    assert_eq!((info.id, info.subject.as_str()), (repo.head(), "a commit"));
    assert_eq!(info.time.to_string(), "2025-01-02T03:04:05Z");
    assert_eq!(paths(&snapshot), ["apps/a.yml", "apps/b.yaml", "apps/c.json"]);
    assert_eq!(content(&snapshot, "apps/b.yaml"), "b");
    assert_eq!(snapshot.tree, repo.git(&["rev-parse", "HEAD:apps"]));
    assert!(!agent.clone_dir().join("index").exists());
}

#[test]
fn a_path_may_name_a_single_file() {
    let repo = TestRepo::with(&[("apps/a.yaml", "a"), ("apps/b.yaml", "b"), ("NOTES", "n")]);
    assert_eq!(Agent::new(&repo.url(), branch("main"), "apps/a.yaml").paths(), ["apps/a.yaml"]);
    let refusal = Agent::new(&repo.url(), branch("main"), "NOTES").refusal();
    assert_eq!(refusal.to_string(), "path NOTES is a file, but no .yaml, .yml or .json file");
}

#[test]
fn a_path_that_does_not_exist_is_an_error_and_not_an_empty_snapshot() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    for path in ["nowhere", "a.yaml/deeper"] {
        let error = Agent::new(&repo.url(), branch("main"), path).pull().unwrap_err().to_string();
        let expected = format!("commit {} of {}: path {path} does not exist", &repo.head()[..12], repo.url());
        assert_eq!(error, expected);
    }
}

#[test]
fn links_inside_the_path_are_followed() {
    let repo = TestRepo::new();
    repo.write("apps/.shared/one.yaml", "1");
    repo.write("apps/.shared/two.yaml", "2");
    repo.link("apps/shop/one.yaml", "../.shared/one.yaml");
    repo.link("apps/all", ".shared");
    repo.link("apps/again", "all/../all");
    repo.link("apps/README", ".shared/one.yaml");
    repo.commit_all("links");
    // Each file once, however many links lead to it.
    let expected = ["apps/again/one.yaml", "apps/again/two.yaml"];
    let (_, snapshot) = Agent::new(&repo.url(), branch("main"), "apps").pull().unwrap();
    assert_eq!(paths(&snapshot), expected);
    assert_eq!(content(&snapshot, "apps/again/one.yaml"), "1");
    let local = read_directory(&repo.work(), &RepoPath::parse("apps").unwrap(), &Limits::default()).unwrap();
    assert_eq!(local.files, snapshot.files);
    assert!(local.tree.starts_with("local-"), "{}", local.tree);
}

#[test]
fn a_file_and_a_link_to_its_directory_are_one() {
    let repo = TestRepo::with(&[("zoo/a.yaml", "a")]);
    repo.link("also", "zoo");
    repo.link("b.yaml", "zoo/a.yaml");
    repo.commit_all("links");
    let (_, snapshot) = Agent::of(&repo).pull().unwrap();
    assert_eq!(paths(&snapshot), ["zoo/a.yaml"]);
}

#[test]
fn rules_that_are_a_link_are_refused_and_so_is_a_lone_exclamation_mark() {
    let repo = TestRepo::with(&[("a.yaml", "a"), ("rules", "a.yaml")]);
    repo.link(".driftlessignore", "rules");
    repo.commit_all("a link");
    let refusal = Agent::of(&repo).refusal().to_string();
    assert!(refusal.contains(".driftlessignore") && refusal.contains("symbolic link"), "{refusal}");
    let repo = TestRepo::with(&[("a.yaml", "a"), (".driftlessignore", "*.json\n! \n")]);
    let refusal = Agent::of(&repo).refusal().to_string();
    assert!(refusal.contains("line 2: a ! without a pattern"), "{refusal}");
}

#[test]
fn links_out_of_the_path_are_refused_by_name() {
    for target in ["../secret.yaml", "/etc/passwd", "deeper/../../../x", "../../../../etc/passwd", "out.yaml"] {
        let repo = TestRepo::with(&[("secret.yaml", "s"), ("apps/deeper/d.yaml", "d")]);
        if target == "out.yaml" {
            repo.link("apps/out.yaml", "../secret.yaml");
        }
        repo.link("apps/x.yaml", target);
        repo.commit_all("a link");
        let agent = Agent::new(&repo.url(), branch("main"), "apps");
        let refused = agent.pull().unwrap().1.refused;
        let refusal = &refused.iter().find(|left| &*left.path == "apps/x.yaml").expect("it is left out").refusal;
        assert!(matches!(refusal, Refusal::LinkLeaves { .. }), "{refusal}");
        assert!(refusal.to_string().contains("outside of the path apps"), "{refusal}");
        let local = read_directory(&repo.work(), &agent.sync.path, &Limits::default()).unwrap();
        assert_eq!(paths(&local), ["apps/deeper/d.yaml"], "the others are taken");
        assert!(local.refused.iter().all(|left| matches!(left.refusal, Refusal::LinkLeaves { .. })), "{local:?}");
        assert_eq!(local.refused, agent.pull().unwrap().1.refused);
        repo.commit(&[("apps/.driftlessignore", "x.yaml\nout.yaml\n")]);
        assert_eq!(agent.paths(), ["apps/deeper/d.yaml"]);
    }
}

#[test]
fn links_that_go_round_or_nowhere_are_refused() {
    type Check = fn(&Refusal) -> bool;
    let cases: [(&str, &str, Check); 5] = [
        ("apps/loop.yaml", "loop.yaml", |refusal| matches!(refusal, Refusal::LinkLoop { .. })),
        ("apps/up", ".", |refusal| matches!(refusal, Refusal::LinkLoop { .. })),
        ("apps/dir/up", "../dir", |refusal| matches!(refusal, Refusal::LinkLoop { .. })),
        ("apps/gone.yaml", "nowhere.yaml", |refusal| matches!(refusal, Refusal::LinkBroken { .. })),
        ("apps/gone.yaml", "a.yaml/b", |refusal| matches!(refusal, Refusal::LinkBroken { .. })),
    ];
    for (link, target, expected) in cases {
        let repo = TestRepo::with(&[("apps/a.yaml", "a"), ("apps/dir/b.yaml", "b")]);
        repo.link(link, target);
        repo.commit_all("a link");
        let refusal = Agent::new(&repo.url(), branch("main"), "apps").refusal();
        assert!(expected(&refusal), "{link} to {target}: {refusal}");
        assert!(refusal.to_string().contains(&format!("{link} points to {target}")), "{refusal}");
    }
}

#[test]
fn two_links_that_hold_each_other_end() {
    let repo = TestRepo::with(&[("a/x.yaml", "x"), ("b/y.yaml", "y")]);
    repo.link("a/b", "../b");
    repo.link("b/a", "../a");
    repo.commit_all("links");
    let (_, snapshot) = Agent::of(&repo).pull().unwrap();
    let loops = ["a/b/a", "b/a/b"].map(|path| (path.to_owned(), true));
    let found = snapshot.refused.iter();
    let found = found.map(|left| (left.path.to_string(), matches!(left.refusal, Refusal::LinkLoop { .. })));
    assert!(found.eq(loops), "{:?}", snapshot.refused);
    assert_eq!(paths(&snapshot), ["a/x.yaml", "b/y.yaml"]);
}

#[test]
fn a_path_through_a_link_is_refused() {
    let repo = TestRepo::with(&[("v2/a.yaml", "a")]);
    repo.link("current", "v2");
    repo.commit_all("a link");
    let refusal = Agent::new(&repo.url(), branch("main"), "current").refusal();
    assert!(matches!(&refusal, Refusal::PathThroughLink { link, .. } if link == "current"), "{refusal}");
}

#[test]
fn submodules_are_refused_unless_ignored() {
    let repo = TestRepo::with(&[("apps/a.yaml", "a"), ("other/b.yaml", "b")]);
    repo.submodule("apps/vendored");
    repo.commit_all("a submodule");
    let agent = Agent::new(&repo.url(), branch("main"), "apps");
    assert_eq!(agent.refusal(), Refusal::Submodule { path: "apps/vendored".to_owned() });
    assert_eq!(Agent::new(&repo.url(), branch("main"), "other").paths(), ["other/b.yaml"]);
    let inside = Agent::new(&repo.url(), branch("main"), "apps/vendored/deep").refusal();
    assert_eq!(inside, Refusal::Submodule { path: "apps/vendored".to_owned() });
    repo.commit(&[("apps/.driftlessignore", "vendored/\n")]);
    assert_eq!(agent.paths(), ["apps/a.yaml"]);
}

#[test]
fn limits_hold_and_name_what_broke_them() {
    let repo = TestRepo::with(&[("a.yaml", &"a".repeat(60)), ("b.yaml", &"b".repeat(60)), ("c.txt", &"c".repeat(999))]);
    let agent = |file_bytes, files, total_bytes| {
        let limits = Limits { file_bytes, files, total_bytes };
        Agent::with_limits(&repo.url(), branch("main"), "", limits)
    };
    let refusal = |file_bytes, files, total_bytes| agent(file_bytes, files, total_bytes).refusal().to_string();
    let left = agent(59, 9, 999).pull().unwrap().1.refused;
    assert_eq!(left.iter().map(|left| &*left.path).collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);
    assert!(left[0].refusal.to_string().starts_with("file a.yaml has 60 bytes, and 59 are allowed"));
    assert!(refusal(60, 1, 999).starts_with("path . holds more than 1 manifest files"));
    assert!(refusal(60, 2, 119).starts_with("the manifest files in path . are larger than 119 bytes together"));
    let limits = Limits { file_bytes: 60, files: 2, total_bytes: 120 };
    assert_eq!(Agent::with_limits(&repo.url(), branch("main"), "", limits).paths(), ["a.yaml", "b.yaml"]);
}

#[test]
fn a_file_that_is_ignored_may_be_of_any_size() {
    let repo = TestRepo::with(&[("a.yaml", "a"), ("dump.json", &"d".repeat(999)), (".driftlessignore", "dump.json\n")]);
    let limits = Limits { file_bytes: 100, ..Limits::default() };
    assert_eq!(Agent::with_limits(&repo.url(), branch("main"), "", limits).paths(), ["a.yaml"]);
}

#[test]
fn rules_above_the_path_count_and_change_its_key() {
    let repo = TestRepo::with(&[("apps/shop/a.yaml", "a"), ("apps/shop/values.yaml", "v")]);
    let agent = Agent::new(&repo.url(), branch("main"), "apps/shop");
    let plain = agent.pull().unwrap().1;
    repo.commit(&[(".driftlessignore", "values.yaml\n")]);
    let ignoring = agent.pull().unwrap().1;
    assert_eq!(paths(&ignoring), ["apps/shop/a.yaml"]);
    assert_ne!(plain.tree, ignoring.tree);
    assert_eq!(ignoring.tree.len(), 40);
    repo.commit(&[("apps/.driftlessignore", "!values.yaml\n"), ("unrelated.yaml", "u")]);
    let again = agent.pull().unwrap().1;
    assert_eq!(paths(&again), ["apps/shop/a.yaml", "apps/shop/values.yaml"]);
    assert_ne!(again.tree, ignoring.tree);
    repo.commit(&[("unrelated.yaml", "changed")]);
    assert_eq!(agent.pull().unwrap().1.tree, again.tree);
}

#[test]
fn a_path_that_is_ignored_is_an_error_and_not_an_empty_snapshot() {
    let repo = TestRepo::with(&[("apps/shop/a.yaml", "a"), (".driftlessignore", "/apps/\n")]);
    let agent = Agent::new(&repo.url(), branch("main"), "apps/shop");
    assert_eq!(agent.refusal(), Refusal::PathIgnored { path: "apps/shop".to_owned() });
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.yaml");
    std::fs::write(repo.work().join(name), "x").unwrap();
    repo.commit_all("latin 1");
    let agent = Agent::of(&repo);
    assert_eq!(agent.refusal(), Refusal::NotUtf8 { path: "caf\u{fffd}.yaml".to_owned() });
    assert_eq!(agent.paths(), ["a.yaml"]);
    let local = read_directory(&repo.work(), &agent.sync.path, &Limits::default()).unwrap();
    assert!(matches!(left_out(&local), Refusal::NotUtf8 { .. }), "{local:?}");
}

#[test]
fn a_checkout_on_disk_gives_the_same_files_as_its_commit() {
    let repo = TestRepo::with(&[("apps/a.yaml", "a"), ("apps/v/b.yaml", "b"), (".driftlessignore", "v/\n")]);
    let path = RepoPath::parse("apps").unwrap();
    let local = read_directory(&repo.work(), &path, &Limits::default()).unwrap();
    assert_eq!(local.files, Agent::new(&repo.url(), branch("main"), "apps").pull().unwrap().1.files);
    let root = RepoPath::parse("").unwrap();
    let whole = read_directory(&repo.work(), &root, &Limits::default()).unwrap();
    assert_eq!(paths(&whole), ["apps/a.yaml"]);
    repo.write("apps/a.yaml", "changed");
    assert_ne!(read_directory(&repo.work(), &path, &Limits::default()).unwrap().tree, local.tree);
    std::fs::create_dir_all(repo.work().join("apps/nested/.git")).unwrap();
    let refusal = left_out(&read_directory(&repo.work(), &path, &Limits::default()).unwrap()).to_string();
    assert!(refusal.contains("apps/nested is a submodule"), "{refusal}");
}

#[test]
fn nesting_has_an_end() {
    let directory = tempfile::tempdir().unwrap();
    let deepest = (0..101).fold(directory.path().to_owned(), |path, _| path.join("d"));
    std::fs::create_dir_all(&deepest).unwrap();
    let snapshot = read_directory(directory.path(), &RepoPath::parse("").unwrap(), &Limits::default()).unwrap();
    assert!(matches!(left_out(&snapshot), Refusal::TooDeep { .. }), "{snapshot:?}");
}
