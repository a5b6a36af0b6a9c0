//! Branches, tags, ranges and commits, and references that move or vanish.

use driftless::config::{Reference, Source};
use driftless::source::{Remote, RemoteBase, SourceError, Timeouts, Turns};

use super::fixture::{Agent, branch, content, paths, semver};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};

#[test]
fn a_deleted_branch_is_an_error_and_the_last_commit_stays_readable() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let agent = Agent::of(&repo);
    let (info, snapshot) = agent.pull().unwrap();
    repo.delete_branch("main");
    let error = agent.pull().unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }));
    let expected = format!("{} has no branch main; push it again, or correct the sync's source", repo.url());
    assert_eq!(error.to_string(), expected);
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
fn the_id_of_an_annotated_tag_is_followed_to_its_commit() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let first = repo.head();
    repo.annotated_tag("v1");
    let tag = repo.git(&["rev-parse", "v1"]);
    assert_ne!(tag, first);
    repo.commit(&[("a.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    for url in [repo.url(), server.url()] {
        let agent = Agent::new(&url, Reference::Commit(tag.as_str().into()), "");
        let (info, _) = agent.pull().unwrap();
        assert_eq!(info.id, first);
        assert_eq!(agent.remote.poll().unwrap().commit, first, "from then on");
    }
}

#[test]
fn a_server_that_gives_another_commit_for_an_id_is_not_believed() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let first = repo.head();
    let second = repo.commit(&[("a.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    server.behave(Behaviour::ClaimTag { id: second.clone(), commit: first.clone() });
    let agent = Agent::new(&server.url(), Reference::Commit(second.as_str().into()), "");
    for _ in 0..2 {
        let error = agent.pull().unwrap_err();
        assert!(matches!(error, SourceError::NotTagged { .. }), "{error}");
        let expected = format!("{} says that {second} is an annotated tag of the commit {first}, and ", server.url());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    server.behave(Behaviour::Serve);
    assert_eq!(agent.pull().unwrap().0.id, second);
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

#[tokio::test]
async fn a_remote_base_is_fetched_without_history_or_not_at_all() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let first = repo.head();
    let second = repo.commit(&[("a.yaml", "2")]);
    let server = GitHttp::start(repo.root());
    let fetch = async |reference: Reference| {
        // Of its own: a clone that is in use a moment longer is removed later, and has it already.
        let data = tempfile::tempdir().unwrap();
        let source = Source { url: server.url().as_str().into(), reference, auth: None, verify: None };
        let base = RemoteBase::new(&source, data.path(), Timeouts::default(), Turns::default());
        let revision = base.git.poll().await.unwrap();
        let fetched = base.git.fetch(&revision).await;
        base.remove();
        fetched.map(|commit| commit.id)
    };
    let at = |id: &str| Reference::Commit(id.into());
    assert_eq!(fetch(branch("main")).await.unwrap(), second);
    assert_eq!(fetch(at(&second)).await.unwrap(), second);
    let error = fetch(at(&first)).await.unwrap_err();
    assert!(matches!(error, SourceError::BaseNotSent { .. }), "{error}");
    repo.git_bare(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    assert_eq!(fetch(at(&first)).await.unwrap(), first);

    server.behave(Behaviour::ServeHistory);
    for reference in [branch("main"), at(&first)] {
        let error = fetch(reference).await.unwrap_err();
        assert!(matches!(error, SourceError::BaseNotShallow { .. }), "{error}");
    }
    assert_eq!(Agent::new(&server.url(), branch("main"), "").pull().unwrap().0.id, second, "a sync");
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
fn a_branch_that_moves_between_poll_and_fetch_never_gives_another_commit() {
    let repo = TestRepo::with(&[("a.yaml", "1")]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let polled = agent.remote.poll().unwrap();
    repo.rewrite(&[("a.yaml", "2")]);
    let error = agent.remote.fetch(&polled).unwrap_err();
    assert!(matches!(error, SourceError::Moved { .. }), "{error}");
    assert_eq!(content(&agent.pull().unwrap().1, "a.yaml"), "2");

    let polled = agent.remote.poll().unwrap();
    repo.delete_branch("main");
    let agent = Agent::new(&server.url(), branch("main"), "");
    assert!(matches!(agent.remote.fetch(&polled), Err(SourceError::Moved { .. })));
}

#[test]
fn a_revert_and_another_branch_are_commits_like_any_other() {
    let repo = TestRepo::with(&[("a.yaml", "1"), ("b.yaml", "1")]);
    let agent = Agent::of(&repo);
    repo.remove("b.yaml");
    repo.commit(&[("a.yaml", "2")]);
    assert_eq!(agent.paths(), ["a.yaml"]);
    let reverted = repo.revert();
    let (info, snapshot) = agent.pull().unwrap();
    assert_eq!((info.id, paths(&snapshot).len()), (reverted, 2));
    repo.checkout("release");
    repo.commit(&[("c.yaml", "3")]);
    assert_eq!(agent.paths(), ["a.yaml", "b.yaml"]);
    assert_eq!(Agent::new(&repo.url(), branch("release"), "").paths(), ["a.yaml", "b.yaml", "c.yaml"]);
}
