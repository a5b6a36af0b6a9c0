//! Servers that hang, refuse or ask who we are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless::source::{Git, GitRemote, Limits, SourceError, Timeouts};

use super::fixture::{Agent, branch, paths, sync};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};

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
        let message = error.to_string();
        assert!(message.starts_with(&format!("{} asks for credentials", server.url())), "{message}");
        assert!(!message.contains("wr0ng") && !message.contains("bob"), "{message}");
        assert!(server.requests() - before < 8);
    }
}

#[test]
fn a_server_in_trouble_is_unreachable_and_no_credentials_are_shown() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    server.behave(Behaviour::Unavailable);
    let error = Agent::new(&server.url_with_login("bob", "pa55"), branch("main"), "").pull().unwrap_err();
    let expected = format!("cannot reach {}: unexpected http status code: 503; check the URL, ", server.url());
    assert!(error.to_string().starts_with(&expected), "{error}");
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
    let git = Git::with(&sync, remote, Timeouts { poll: limit, fetch: Duration::from_secs(20) });
    server.behave(Behaviour::Hang);
    let error = git.poll().await.unwrap_err();
    let expected = format!("polling {} did not end within 0.3 seconds and was given up; ", server.url());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let requests = server.requests();
    for _ in 0..20 {
        let started = Instant::now();
        assert!(matches!(git.poll().await, Err(SourceError::Busy { .. })));
        assert!(started.elapsed() < limit);
    }
    assert_eq!(server.requests(), requests);
    server.behave(Behaviour::Serve);
    let deadline = Instant::now() + Duration::from_secs(10);
    let revision = loop {
        match git.poll().await {
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
    let revision = Arc::new(gits[0].poll().await.unwrap());
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
    let dropped = tokio::time::timeout(Duration::from_millis(200), git.poll()).await;
    assert!(dropped.is_err());
    assert!(matches!(git.poll().await, Err(SourceError::Busy { .. })));
}

#[test]
fn ssh_urls_of_both_forms_are_dialled() {
    for url in ["ssh://git@127.0.0.1:1/shop.git", "git@host.invalid:shop.git"] {
        let error = Agent::new(url, branch("main"), "").pull().unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("failed to"), "{error}");
    }
}
