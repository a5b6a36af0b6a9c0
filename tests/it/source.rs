//! git as the agent meets it: real repositories, `file://` and the real `git http-backend`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless::config::{DriftPolicy, PrunePolicy, Reference, RepoPath, Source, SyncConfig, SyncName};
use driftless::source::{
    CommitInfo, Git, GitRemote, Limits, Refusal, Remote, Revision, Snapshot, SourceError, Timeouts, read_directory,
};
use tempfile::TempDir;

use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};

fn sync(url: &str, reference: Reference, path: &str) -> SyncConfig {
    SyncConfig {
        name: SyncName::parse("shop").unwrap(),
        source: Source { url: url.into(), reference },
        path: RepoPath::parse(path).unwrap(),
        interval: Duration::from_secs(60),
        prune: PrunePolicy::default(),
        drift: DriftPolicy::default(),
        atomic: false,
        wait: true,
        timeout: Duration::from_secs(60),
        depends_on: Vec::new(),
        suspend: false,
        service_account: None,
        target_namespace: None,
    }
}

fn branch(name: &str) -> Reference {
    Reference::Branch(name.into())
}

fn semver(range: &str) -> Reference {
    Reference::Semver(range.parse().unwrap())
}

/// A remote with a data directory of its own.
struct Agent {
    data: TempDir,
    sync: SyncConfig,
    remote: GitRemote,
}

impl Agent {
    fn new(url: &str, reference: Reference, path: &str) -> Self {
        Self::with_limits(url, reference, path, Limits::default())
    }

    fn with_limits(url: &str, reference: Reference, path: &str, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        let sync = sync(url, reference, path);
        let remote = GitRemote::new(&sync, data.path(), limits);
        Self { data, sync, remote }
    }

    fn of(repo: &TestRepo) -> Self {
        Self::new(&repo.url(), branch("main"), "")
    }

    /// As after a restart: same data directory, nothing remembered.
    fn restarted(self) -> Self {
        let remote = GitRemote::new(&self.sync, self.data.path(), Limits::default());
        Self { remote, ..self }
    }

    /// Look, fetch, read.
    fn pull(&self) -> Result<(CommitInfo, Snapshot), SourceError> {
        let revision = self.remote.look()?;
        let info = self.remote.fetch(&revision)?;
        assert_eq!(info.id, revision.commit);
        let snapshot = self.remote.snapshot(&info.id, &self.sync.path)?;
        assert_eq!(self.remote.tree(&info.id, &self.sync.path)?, snapshot.tree);
        Ok((info, snapshot))
    }

    fn paths(&self) -> Vec<String> {
        paths(&self.pull().unwrap().1)
    }

    fn refusal(&self) -> Refusal {
        match self.pull() {
            Err(SourceError::Refused { refusal, .. }) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn clone_dir(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.data.path().join("git")).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    }

    fn packs(&self) -> Vec<PathBuf> {
        files_ending(&self.clone_dir().join("objects/pack"), ".pack")
    }
}

fn files_ending(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot.files.iter().map(|file| file.path.to_string()).collect()
}

fn content(snapshot: &Snapshot, path: &str) -> String {
    let file = snapshot.files.iter().find(|file| &*file.path == path).unwrap();
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

fn truncate(path: &Path, bytes: u64) {
    // Packs are read-only.
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(path, permissions).unwrap();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

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
fn a_deleted_branch_is_an_error_and_the_last_commit_stays_readable() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let agent = Agent::of(&repo);
    let (info, snapshot) = agent.pull().unwrap();
    repo.delete_branch("main");
    let error = agent.pull().unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }));
    assert_eq!(error.to_string(), format!("{} has no branch main", repo.url()));
    assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
}

#[test]
fn an_empty_repository_has_no_branch() {
    let repo = TestRepo::new();
    let error = Agent::of(&repo).pull().unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
}

#[test]
fn a_repository_that_does_not_exist_is_unreachable() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    for url in ["file:///nowhere/at/all.git".to_owned(), server.url().replace("repo.git", "other.git")] {
        let error = Agent::new(&url, branch("main"), "").pull().unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("cannot reach {url}: ")), "{error}");
    }
}

#[test]
fn tags_are_followed_to_their_commits_whatever_their_kind() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let first = repo.head();
    repo.tag("v1.0.0");
    repo.annotated_tag("v1.2.0");
    repo.git(&["tag", "-a", "-m", "nested", "nested", "v1.2.0"]);
    repo.git(&["push", "--quiet", "origin", "nested"]);
    let second = repo.commit(&[("a.yaml", "2")]);
    repo.annotated_tag("v1.10.0");
    repo.annotated_tag("2.0.0-rc.1");
    let server = GitHttp::start(repo.root());
    for url in [repo.url(), server.url()] {
        let at = |reference| Agent::new(&url, reference, "").pull().unwrap().0.id;
        assert_eq!(at(Reference::Tag("v1.0.0".into())), first);
        assert_eq!(at(Reference::Tag("v1.2.0".into())), first);
        assert_eq!(at(Reference::Tag("nested".into())), first);
        assert_eq!(at(semver("^1")), second);
        assert_eq!(at(semver("~1.2")), first);
        let error = Agent::new(&url, semver("^2"), "").pull().unwrap_err();
        assert_eq!(error.to_string(), format!("{url} has no tag that matches the semver range ^2"));
    }
}

#[test]
fn a_tag_of_something_that_is_no_commit_is_an_error() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    repo.git(&["tag", "tree", "HEAD^{tree}"]);
    repo.git(&["push", "--quiet", "origin", "tree"]);
    let server = GitHttp::start(repo.root());
    for url in [repo.url(), server.url()] {
        let error = Agent::new(&url, Reference::Tag("tree".into()), "").pull().unwrap_err();
        assert_eq!(error.to_string(), format!("refs/tags/tree of {url} is not a commit"));
    }
}

#[test]
fn a_commit_is_found_by_its_id_where_no_reference_is_at_it() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let first = repo.head();
    let second = repo.commit(&[("a.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    for allowed in ["false", "true"] {
        repo.git_bare(&["config", "uploadpack.allowAnySHA1InWant", allowed]);
        for url in [repo.url(), server.url()] {
            for (commit, expected) in [(&first, "1"), (&second, "2")] {
                let agent = Agent::new(&url, Reference::Commit(commit.as_str().into()), "");
                assert_eq!(content(&agent.pull().unwrap().1, "a.yaml"), expected);
            }
            let nowhere = "1".repeat(40);
            let error = Agent::new(&url, Reference::Commit(nowhere.as_str().into()), "").pull().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{url} has no commit {nowhere}, or no branch and no tag leads to it")
            );
        }
    }
}

#[test]
fn a_force_push_wins_over_what_was_fetched_before() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    for url in [repo.url(), server.url()] {
        let agent = Agent::new(&url, branch("main"), "");
        agent.pull().unwrap();
        let rewritten = repo.rewrite(&[("a.yaml", &format!("forced by {url}"))]);
        let (info, snapshot) = agent.pull().unwrap();
        assert_eq!(info.id, rewritten);
        assert_eq!(content(&snapshot, "a.yaml"), format!("forced by {url}"));
    }
}

#[test]
fn http_fetches_are_shallow_and_bring_only_what_is_new() {
    let repo = TestRepo::with(&[("big.yaml", &"x".repeat(10))]);
    // Incompressible enough to show in the count of bytes.
    let noise: String = (0..20_000).map(|_| fastrand::alphanumeric()).collect();
    repo.commit(&[("noise.yaml", &noise)]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    agent.pull().unwrap();
    assert!(agent.clone_dir().join("shallow").exists());
    let before = server.bytes();
    for round in 0..3 {
        let commit = repo.commit(&[("small.yaml", &format!("round {round}"))]);
        let (info, snapshot) = agent.pull().unwrap();
        assert_eq!(info.id, commit);
        assert_eq!(paths(&snapshot), ["big.yaml", "noise.yaml", "small.yaml"]);
    }
    assert!(server.bytes() - before < 8_000, "{} bytes came", server.bytes() - before);
}

#[test]
fn what_is_there_already_is_not_fetched_again_not_even_after_a_restart() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let (info, snapshot) = agent.pull().unwrap();
    let agent = agent.restarted();
    let before = server.requests();
    let revision = Revision { commit: info.id.clone(), name: "refs/heads/main".to_owned() };
    assert_eq!(agent.remote.fetch(&revision).unwrap(), info);
    assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
    assert_eq!(server.requests(), before);
}

#[test]
fn a_branch_that_moves_between_look_and_fetch_never_gives_another_commit() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let looked = agent.remote.look().unwrap();
    repo.rewrite(&[("a.yaml", "2")]);
    let error = agent.remote.fetch(&looked).unwrap_err();
    assert!(matches!(error, SourceError::Moved { .. }), "{error}");
    assert_eq!(content(&agent.pull().unwrap().1, "a.yaml"), "2");

    let looked = agent.remote.look().unwrap();
    repo.delete_branch("main");
    let agent = Agent::new(&server.url(), branch("main"), "");
    assert!(matches!(agent.remote.fetch(&looked), Err(SourceError::Moved { .. })));
}

#[test]
fn an_old_clone_is_made_anew_before_it_grows_for_ever() {
    let repo = TestRepo::with(&[("a.yaml", "0")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    for round in 0..55 {
        repo.commit(&[("a.yaml", &format!("{round}"))]);
        assert_eq!(content(&agent.pull().unwrap().1, "a.yaml"), format!("{round}"));
    }
    assert!(agent.packs().len() < 10, "{} packs", agent.packs().len());
    let shallow = std::fs::read_to_string(agent.clone_dir().join("shallow")).unwrap();
    assert!(shallow.lines().count() < 10);
}

#[test]
fn a_truncated_pack_is_noticed_and_cloned_anew() {
    let repo = TestRepo::with(&[("a.yaml", "1"), ("b.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    for url in [repo.url(), server.url()] {
        for keep in [0, 12, 60] {
            let agent = Agent::new(&url, branch("main"), "");
            let (info, snapshot) = agent.pull().unwrap();
            agent.packs().iter().for_each(|pack| truncate(pack, keep));
            assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
            agent.packs().iter().for_each(|pack| truncate(pack, keep));
            let agent = agent.restarted();
            assert_eq!(agent.pull().unwrap().1, snapshot);
        }
    }
}

#[test]
fn flipped_bytes_in_a_pack_never_become_manifests() {
    let repo = TestRepo::with(&[("a.yaml", &"replicas: 1\n".repeat(40))]);
    let agent = Agent::of(&repo);
    let (info, snapshot) = agent.pull().unwrap();
    let pack = agent.packs().remove(0);
    let length = std::fs::metadata(&pack).unwrap().len();
    for at in 12..length - 20 {
        truncate(&pack, length);
        let good = std::fs::read(&pack).unwrap();
        let mut bad = good.clone();
        bad[usize::try_from(at).unwrap()] ^= 0x10;
        std::fs::write(&pack, bad).unwrap();
        assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot, "byte {at}");
        if !pack.exists() {
            // Cloned anew under another name.
            return;
        }
        truncate(&pack, length);
        std::fs::write(&pack, good).unwrap();
    }
}

#[test]
fn lost_objects_and_indexes_are_noticed_and_cloned_anew() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    for damage in ["objects/pack", "refs", "HEAD", "config", "objects", ""] {
        let agent = Agent::new(&server.url(), branch("main"), "");
        let (info, snapshot) = agent.pull().unwrap();
        let lost = agent.clone_dir().join(damage);
        if lost.is_dir() { std::fs::remove_dir_all(&lost) } else { std::fs::write(&lost, "\0nonsense") }.unwrap();
        assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot, "{damage}");
        let commit = repo.commit(&[("a.yaml", damage)]);
        assert_eq!(agent.pull().unwrap().0.id, commit, "{damage}");
        repo.rewrite(&[("a.yaml", "1")]);
    }
}

#[test]
fn a_damaged_shallow_list_does_not_stop_the_next_fetch() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    repo.commit(&[("a.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    for damage in ["", "nonsense\n", "0123"] {
        let agent = Agent::new(&server.url(), branch("main"), "");
        agent.pull().unwrap();
        std::fs::write(agent.clone_dir().join("shallow"), damage).unwrap();
        let commit = repo.commit(&[("a.yaml", &format!("after {damage}"))]);
        assert_eq!(agent.pull().unwrap().0.id, commit);
    }
}

#[test]
fn a_damaged_clone_comes_back_by_commit_when_the_branch_has_moved_on() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let (info, snapshot) = agent.pull().unwrap();
    repo.commit(&[("a.yaml", "2")]);
    agent.packs().iter().for_each(|pack| truncate(pack, 20));
    assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_a_pack_leaves_no_half_clone() {
    let noise: String = (0..50_000).map(|_| fastrand::alphanumeric()).collect();
    let repo = TestRepo::with(&[("a.yaml", &noise)]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    for bytes in [0, 10, 300, 20_000] {
        server.behave(Behaviour::CutPacksAfter(bytes));
        let error = agent.pull().unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. } | SourceError::Corrupt { .. }), "{error}");
    }
    server.behave(Behaviour::Serve);
    assert_eq!(content(&agent.pull().unwrap().1, "a.yaml"), noise);
}

#[test]
fn a_cut_connection_keeps_the_old_commit_readable() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let (info, snapshot) = agent.pull().unwrap();
    repo.commit(&[("a.yaml", "2")]);
    server.behave(Behaviour::CutPacksAfter(100));
    assert!(agent.pull().is_err());
    assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
}

#[test]
fn what_a_killed_clone_left_behind_is_cleared_away() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let agent = Agent::of(&repo);
    agent.pull().unwrap();
    let clone = agent.clone_dir();
    let half = PathBuf::from(format!("{}.new", clone.display()));
    std::fs::create_dir_all(half.join("objects/pack")).unwrap();
    std::fs::write(half.join("objects/pack/pack_git2_a1b2c3"), "half").unwrap();
    std::fs::write(clone.join("objects/pack/pack_git2_d4e5f6"), "half").unwrap();
    // Killed after init and before the first fetch.
    std::fs::remove_dir_all(clone.join("objects/pack")).unwrap();
    std::fs::create_dir_all(clone.join("objects/pack")).unwrap();
    std::fs::write(clone.join("objects/pack/pack_git2_d4e5f6"), "half").unwrap();
    let agent = agent.restarted();
    assert_eq!(agent.paths(), ["a.yaml"]);
    assert!(files_ending(&clone.join("objects/pack"), "pack_git2_d4e5f6").is_empty());
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
    let expected =
        ["apps/again/one.yaml", "apps/again/two.yaml", "apps/all/one.yaml", "apps/all/two.yaml", "apps/shop/one.yaml"];
    let (_, snapshot) = Agent::new(&repo.url(), branch("main"), "apps").pull().unwrap();
    assert_eq!(paths(&snapshot), expected);
    assert_eq!(content(&snapshot, "apps/shop/one.yaml"), "1");
    let local = read_directory(&repo.work(), &RepoPath::parse("apps").unwrap(), &Limits::default()).unwrap();
    assert_eq!(local.files, snapshot.files);
    assert!(local.tree.starts_with("local-"), "{}", local.tree);
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
        let refusal = agent.refusal();
        assert!(matches!(refusal, Refusal::LinkLeaves { .. }), "{refusal}");
        assert!(refusal.to_string().contains("outside of the path apps"), "{refusal}");
        let local = read_directory(&repo.work(), &agent.sync.path, &Limits::default()).unwrap_err();
        assert!(matches!(local, SourceError::Refused { refusal: Refusal::LinkLeaves { .. }, .. }), "{local}");
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
    assert!(matches!(Agent::of(&repo).refusal(), Refusal::LinkLoop { .. }));
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
    let refusal = |file_bytes, files, total_bytes| {
        let limits = Limits { file_bytes, files, total_bytes };
        Agent::with_limits(&repo.url(), branch("main"), "", limits).refusal().to_string()
    };
    assert!(refusal(59, 9, 999).starts_with("file a.yaml has 60 bytes, and 59 are allowed"));
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
    let local = read_directory(&repo.work(), &agent.sync.path, &Limits::default()).unwrap_err();
    assert!(matches!(local, SourceError::Refused { refusal: Refusal::NotUtf8 { .. }, .. }), "{local}");
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
    let error = read_directory(&repo.work(), &path, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("apps/nested is a submodule"), "{error}");
}

#[test]
fn a_server_that_asks_for_a_login_gets_the_one_in_the_url() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    server.require_login("bob", "s@cret");
    let agent = Agent::new(&server.url_with_login("bob", "s%40cret"), branch("main"), "");
    assert_eq!(agent.paths(), ["a.yaml"]);
    for url in [server.url(), server.url_with_login("bob", "wr0ng")] {
        let before = server.requests();
        let error = Agent::new(&url, branch("main"), "").pull().unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
        let told = error.to_string();
        assert!(told.starts_with(&format!("{} asks for credentials", server.url())), "{told}");
        assert!(!told.contains("wr0ng") && !told.contains("bob"), "{told}");
        assert!(server.requests() - before < 8);
    }
}

#[test]
fn a_server_in_trouble_is_unreachable_and_no_credentials_are_told() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    server.behave(Behaviour::Unavailable);
    let error = Agent::new(&server.url_with_login("bob", "pa55"), branch("main"), "").pull().unwrap_err();
    let expected = format!("cannot reach {}: unexpected http status code: 503", server.url());
    assert_eq!(error.to_string(), expected);
    drop(server);
    let error = Agent::new("http://bob:pa55@127.0.0.1:1/repo.git", branch("main"), "").pull().unwrap_err();
    assert!(error.to_string().starts_with("cannot reach http://127.0.0.1:1/repo.git: "), "{error}");
    assert!(!error.to_string().contains("pa55"));
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_thread_and_recovers() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    let data = tempfile::tempdir().unwrap();
    let sync = sync(&server.url(), branch("main"), "");
    let remote = GitRemote::new(&sync, data.path(), Limits::default());
    let limit = Duration::from_millis(300);
    let git = Git::with(&sync, remote, Timeouts { look: limit, fetch: Duration::from_secs(20) });
    server.behave(Behaviour::Hang);
    let error = git.look().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("looking at {} did not end within 0.3 seconds and was given up", server.url())
    );
    let requests = server.requests();
    for _ in 0..20 {
        let started = Instant::now();
        assert!(matches!(git.look().await, Err(SourceError::Busy { .. })));
        assert!(started.elapsed() < limit);
    }
    assert_eq!(server.requests(), requests);
    server.behave(Behaviour::Serve);
    let deadline = Instant::now() + Duration::from_secs(10);
    let revision = loop {
        match git.look().await {
            Ok(revision) => break revision,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let info = git.fetch(&revision).await.unwrap();
    let snapshot = git.snapshot(&info.id, &sync.path).await.unwrap();
    assert_eq!(git.tree(&info.id, &sync.path).await.unwrap(), snapshot.tree);
    assert_eq!(paths(&snapshot), ["a.yaml"]);
}

#[tokio::test]
async fn calls_at_the_same_time_take_turns() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let data = tempfile::tempdir().unwrap();
    let sync = sync(&repo.url(), branch("main"), "");
    // Two lives of one sync share the clone: the lock on disk keeps them apart.
    let gits = [Git::open(&sync, data.path()), Git::open(&sync, data.path())];
    let revision = Arc::new(gits[0].look().await.unwrap());
    let tasks: Vec<_> = (0..12)
        .map(|at| {
            let (git, revision, path) = (gits[at % 2].clone(), Arc::clone(&revision), sync.path.clone());
            tokio::spawn(async move {
                git.fetch(&revision).await.unwrap();
                git.snapshot(&revision.commit, &path).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(paths(&task.await.unwrap()), ["a.yaml"]);
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    let data = tempfile::tempdir().unwrap();
    let sync = sync(&server.url(), branch("main"), "");
    let git = Git::open(&sync, data.path());
    server.behave(Behaviour::Hang);
    let dropped = tokio::time::timeout(Duration::from_millis(200), git.look()).await;
    assert!(dropped.is_err());
    assert!(matches!(git.look().await, Err(SourceError::Busy { .. })));
}
