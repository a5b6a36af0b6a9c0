//! Servers that send their clients elsewhere: the login in a URL is for the server that it names.

use driftless::source::SourceError;

use super::fixture::{Agent, branch};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};

/// `bob:s3cret` as it is in a header.
const LOGIN: &str = "Ym9iOnMzY3JldA";

/// Two servers of one repository; the first sends everybody to the second, under this base.
fn redirected(repo: &TestRepo, base: impl FnOnce(&GitHttp) -> String) -> (GitHttp, GitHttp) {
    let (first, second) = (GitHttp::start(repo.root()), GitHttp::start(repo.root()));
    first.behave(Behaviour::RedirectTo(base(&second)));
    (first, second)
}

fn base(server: &GitHttp) -> String {
    server.url().trim_end_matches("/repo.git").to_owned()
}

#[test]
fn a_login_is_never_sent_to_another_server_than_that_of_the_url() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    for elsewhere in [base, |server: &GitHttp| base(server).replace("127.0.0.1", "localhost")] {
        let (first, second) = redirected(&repo, elsewhere);
        second.require_login("bob", "s3cret");
        for url in [first.url_with_login("bob", "s3cret"), first.url()] {
            let error = Agent::new(&url, branch("main"), "").pull().unwrap_err();
            assert!(second.requests() > 0, "the redirect is followed");
            assert_eq!(second.logins(), [""; 0], "{url}");
            let message = error.to_string();
            assert!(matches!(error, SourceError::Redirected { .. }), "{message}");
            assert!(message.starts_with(&format!("{} redirects to ", first.url())), "{message}");
            assert!(message.contains(&elsewhere(&second)) && message.contains("source.url"), "{message}");
            assert!(!message.contains("s3cret") && !message.contains("bob"), "{message}");
        }
    }
}

/// The first server wants the login, too, and redirects only then: libgit2 has it by that time.
#[test]
fn a_login_that_the_first_server_has_taken_stays_with_it() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let (first, second) = redirected(&repo, base);
    first.require_login("bob", "s3cret");
    first.ask_before_redirecting();
    second.require_login("bob", "s3cret");
    let error = Agent::new(&first.url_with_login("bob", "s3cret"), branch("main"), "").pull().unwrap_err();
    assert!(first.logins().iter().any(|login| login.contains(LOGIN)), "{:?}", first.logins());
    assert!(second.requests() > 0);
    assert_eq!(second.logins(), [""; 0]);
    assert!(matches!(error, SourceError::Redirected { .. }), "{error}");
}

#[test]
fn a_repository_that_moved_to_another_server_is_read_there_without_a_login() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let (first, second) = redirected(&repo, base);
    for url in [first.url_with_login("bob", "s3cret"), first.url()] {
        assert_eq!(Agent::new(&url, branch("main"), "").paths(), ["a.yaml"]);
    }
    assert_eq!(second.logins(), [""; 0]);
}

#[test]
fn a_redirect_to_another_path_of_the_same_server_keeps_the_login() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    server.require_login("bob", "s3cret");
    for absolute in [false, true] {
        let before = server.logins().len();
        server.behave(Behaviour::RedirectToDotGit { absolute });
        let url = server.url_with_login("bob", "s3cret");
        let short = url.trim_end_matches(".git");
        assert_eq!(Agent::new(short, branch("main"), "").paths(), ["a.yaml"], "{absolute}");
        assert!(server.logins().len() > before);
    }
}
