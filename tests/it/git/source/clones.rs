//! The clone in the data directory: shallow, bounded, and made anew when it is damaged.

use std::path::PathBuf;

use driftless::source::{Remote, Revision, SourceError};

use super::fixture::{Agent, branch, content, files_ending, paths, truncate};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};

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
    assert_eq!(server.packs(), 2, "a negotiation and a pack");
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
    let revision = Revision { commit: info.id.clone(), name: "refs/heads/main".to_owned(), tag: None };
    assert_eq!(agent.remote.fetch(&revision).unwrap(), info);
    assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot);
    assert_eq!(server.requests(), before);
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
    for at in 12.. {
        let pack = agent.packs().remove(0);
        let good = std::fs::read(&pack).unwrap();
        // The last 20 bytes are the pack's checksum, which only fetches read.
        if at + 20 >= good.len() {
            break;
        }
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        truncate(&pack, 0);
        std::fs::write(&pack, bad).unwrap();
        assert_eq!(agent.remote.snapshot(&info.id, &agent.sync.path).unwrap(), snapshot, "byte {at}");
        // Bytes of zlib that do not matter may stay as they are; the next round has only its own.
        std::fs::remove_file(&agent.packs()[0]).unwrap();
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
