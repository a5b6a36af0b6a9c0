//! git over TLS, with the credentials of a Secret, and by way of a proxy.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless::config::Reference;
use driftless::source::{Login, Remote as _, SourceError};
use serde_json::json;

use super::fixture::{Agent, branch, semver};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::process::{Finished, run};
use crate::support::proxy::HttpProxy;
use crate::support::tls::{Authority, in_front_of};

/// A repository that is served over TLS by an authority that nobody knows.
struct Scene {
    repo: TestRepo,
    server: GitHttp,
    authority: Authority,
    url: String,
}

impl Scene {
    fn new() -> Self {
        Self::with(|authority| authority.server("localhost"))
    }

    fn with(config: impl FnOnce(&Authority) -> Arc<rustls::ServerConfig>) -> Self {
        let repo = TestRepo::with(&[("a.yaml", MAP)]);
        let (server, authority) = (GitHttp::start(repo.root()), Authority::new());
        let port = in_front_of(server.address(), config(&authority));
        Self { repo, server, authority, url: format!("https://localhost:{port}/repo.git") }
    }

    /// With the authority, and more of a Secret.
    fn agent(&self, entries: &[(&str, &str)]) -> Agent {
        let authority = self.authority.pem();
        let entries: Vec<_> = entries.iter().copied().chain([("ca.crt", &*authority)]).collect();
        agent(&self.url, &entries)
    }
}

/// `driftless render` with these variables, which are the process's alone.
fn render(url: &str, variables: &[(&str, &str)]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("driftless.yaml");
    let source = json!({"url": url, "branch": "main"});
    let syncs = json!([{"name": "shop", "source": source}]);
    let text = json!({"dataDir": directory.path().join("data"), "syncs": syncs}).to_string();
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", directory.path()).envs(variables.iter().copied());
    run(command.arg("render").arg("--config").arg(config), None, Duration::from_mins(1))
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn login(url: &str, entries: &[(&str, &str)]) -> Arc<Login> {
    let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
    Arc::new(Login::of(&data.collect(), url).unwrap())
}

fn agent(url: &str, entries: &[(&str, &str)]) -> Agent {
    let agent = Agent::new(url, branch("main"), "");
    agent.remote.use_login(Some(login(url, entries)));
    agent
}

#[track_caller]
fn fails(agent: &Agent, says: &[&str]) -> SourceError {
    let error = agent.pull().unwrap_err();
    let message = error.to_string();
    for part in says {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("s3cret") && !message.contains("czNjcmV0"), "{message}");
    error
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_the_secret_has_it_and_named_where_not() {
    let scene = Scene::new();
    let noise: String = (0..2_000_000).map(|_| fastrand::alphanumeric()).collect();
    scene.repo.commit(&[("noise.txt", &noise)]);
    assert_eq!(scene.agent(&[]).paths(), ["a.yaml"]);
    let unknown = Agent::new(&scene.url, branch("main"), "");
    let says = ["is not trusted", "CN=an authority of the tests", "`ca.crt` in the Secret of source.auth"];
    let error = fails(&unknown, &says);
    assert!(matches!(error, SourceError::Certificate { .. }), "{error}");
    let other = Authority::new().pem();
    fails(&agent(&scene.url, &[("ca.crt", &other)]), &says[..1]);

    let scene = Scene::with(|authority| authority.server("git.example.com"));
    fails(&scene.agent(&[]), &["is not trusted", "for another name", "git.example.com"]);

    let broken = agent(&scene.url, &[("ca.crt", "s3cret")]);
    let error = fails(&broken, &["ca.crt holds no certificate in PEM; correct what source.auth names"]);
    assert!(matches!(error, SourceError::Login { .. }), "{error}");
}

#[test]
fn the_authorities_of_the_environment_are_trusted() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    std::fs::write(&file, scene.authority.pem()).unwrap();
    for (variable, value) in [("SSL_CERT_FILE", &*file), ("SSL_CERT_DIR", directory.path())] {
        let rendered = render(&scene.url, &[(variable, value.to_str().unwrap())]).expect_code(0);
        assert!(rendered.stdout.contains("name: a"), "{}", rendered.stdout);
    }
    let error = render(&scene.url, &[]).expect_code(1).stderr;
    assert!(error.contains("CN=an authority of the tests"), "{error}");
}

#[test]
fn a_user_and_a_token_of_a_secret_are_sent_and_a_changed_login_is_used_by_the_next_call() {
    let scene = Scene::new();
    scene.server.require_login("bob", "s3cret");
    let agent = scene.agent(&[("username", "bob"), ("password", "s3cret")]);
    assert_eq!(agent.paths(), ["a.yaml"]);
    let requests = scene.server.requests();
    assert!(agent.remote.poll().is_ok());
    assert_eq!(scene.server.requests(), requests + 2, "the login goes along at once");

    scene.server.require_token("t0ken.s3cret");
    let error = fails(&agent, &["asks for credentials", "the credentials of source.auth is 401"]);
    assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
    let authority = scene.authority.pem();
    let entries = [("bearerToken", "t0ken.s3cret"), ("ca.crt", &*authority)];
    agent.remote.use_login(Some(login(&scene.url, &entries)));
    scene.repo.commit(&[("b.yaml", "b")]);
    assert_eq!(agent.paths(), ["a.yaml", "b.yaml"]);
    agent.remote.use_login(None);
    assert!(matches!(agent.remote.poll(), Err(SourceError::Certificate { .. })));

    // Those of the URL are for whoever has none in a Secret.
    scene.server.require_login("bob", "s3cret");
    let url = scene.url.replace("https://", "https://bob:s3cret@");
    assert_eq!(self::agent(&url, &entries[1..]).paths(), ["a.yaml", "b.yaml"]);
}

#[test]
fn a_server_that_knows_its_clients_gets_the_certificate_of_the_secret() {
    let scene = Scene::with(|authority| authority.server_for_known_clients("localhost"));
    let (certificate, key) = scene.authority.client("driftless");
    let client = [("tls.crt", &*certificate), ("tls.key", &*key)];
    assert_eq!(scene.agent(&client).paths(), ["a.yaml"]);
    let error = fails(&scene.agent(&[]), &["asks for a client certificate, and none was sent", "`tls.crt`"]);
    assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
    let (certificate, key) = Authority::new().client("driftless");
    let error = fails(&scene.agent(&[("tls.crt", &certificate), ("tls.key", &key)]), &["the client certificate"]);
    assert!(matches!(error, SourceError::Credentials { .. }), "{error}");
}

#[test]
fn nothing_of_a_secret_goes_to_another_server() {
    let scene = Scene::new();
    let other = Scene::new();
    let both = scene.authority.pem() + &other.authority.pem();
    let base = |url: &str| url.trim_end_matches("/repo.git").to_owned();
    scene.server.behave(Behaviour::RedirectTo(base(&other.url)));
    let basic = [("username", "bob"), ("password", "s3cret"), ("ca.crt", &*both)];
    let bearer = [("bearerToken", "s3cret"), ("ca.crt", &*both)];
    for entries in [&basic[..], &bearer] {
        // What anybody may read is read.
        assert_eq!(agent(&scene.url, entries).paths(), ["a.yaml"]);
        other.server.require_login("bob", "s3cret");
        let error = fails(&agent(&scene.url, entries), &["redirects to https://localhost", "`source.url`"]);
        assert!(matches!(error, SourceError::Redirected { .. }), "{error}");
        other.server.require_token("s3cret");
        fails(&agent(&scene.url, entries), &["redirects to https://localhost"]);
        other.server.behave(Behaviour::Serve);
        assert_eq!(other.server.logins(), [""; 0]);
        other.server.forget_login();
    }
    assert!(!scene.server.logins().is_empty());

    let known = Scene::with(|authority| authority.server_for_known_clients("localhost"));
    let (certificate, key) = known.authority.client("driftless");
    let all = scene.authority.pem() + &known.authority.pem();
    scene.server.behave(Behaviour::RedirectTo(base(&known.url)));
    let entries = [("tls.crt", &*certificate), ("tls.key", &*key), ("ca.crt", &*all)];
    fails(&agent(&scene.url, &entries), &["asks for a client certificate, and none was sent"]);

    scene.server.behave(Behaviour::RedirectTo(base(&other.server.url())));
    let error = fails(&agent(&scene.url, &basic), &["redirects to http://127.0.0.1", "less safe than the URL"]);
    assert!(matches!(error, SourceError::Redirected { .. }), "{error}");
    scene.server.behave(Behaviour::RedirectTo("https://bob:s3cret@localhost:1/x?s3cret=".to_owned()));
    fails(&agent(&scene.url, &basic), &["localhost:1 refuses the connection", "it redirects to https://localhost:1/x"]);
}

#[test]
fn a_server_is_reached_by_the_proxy_of_the_environment() {
    let scene = Scene::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    std::fs::write(&file, scene.authority.pem()).unwrap();
    let trust = ("SSL_CERT_FILE", file.to_str().unwrap());
    let host = scene.url.trim_start_matches("https://").trim_end_matches("/repo.git").to_owned();

    let proxy = HttpProxy::for_login("ada", "s3cret");
    let (known, unknown) = (proxy.url("ada:s3cret@"), proxy.url("eve:s3cret@"));
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let before = proxy.asked().len();
        render(&scene.url, &[trust, (variable, &known)]).expect_code(0);
        let asked = proxy.asked();
        assert!(asked.len() > before && asked.iter().all(|asked| *asked == format!("CONNECT {host}")), "{asked:?}");
    }
    let before = proxy.asked().len();
    render(&scene.url, &[trust, ("HTTPS_PROXY", &unknown), ("NO_PROXY", "localhost")]).expect_code(0);
    assert_eq!(proxy.asked().len(), before);
    render(&scene.server.url(), &[("HTTP_PROXY", &known)]).expect_code(0);
    assert!(proxy.asked().last().unwrap().starts_with("GET http://127.0.0.1"), "{:?}", proxy.asked());

    let refusing = HttpProxy::that_refuses("502 Bad Gateway");
    let closed = "http://ada:s3cret@127.0.0.1:1";
    let says = |variable: (&str, &str), url: &str, says: &[&str]| {
        let error = render(url, &[trust, variable]).expect_code(1).stderr;
        for part in says {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    };
    let through = |url: &str| format!("through the proxy {url}: ");
    let plain = through(&proxy.url(""));
    says(("HTTPS_PROXY", &unknown), &scene.url, &[&plain, "other credentials", "HTTPS_PROXY"]);
    says(("HTTP_PROXY", &unknown), &scene.server.url(), &[&plain, "other credentials"]);
    let refused = refusing.url("");
    says(("HTTPS_PROXY", &refused), &scene.url, &[&through(&refused), "makes no connection to localhost"]);
    says(("HTTP_PROXY", &refused), &scene.server.url(), &["502, through the proxy", &refused]);
    for (variable, url) in [("HTTPS_PROXY", scene.url.clone()), ("HTTP_PROXY", scene.server.url())] {
        says((variable, closed), &url, &[&through("http://127.0.0.1:1"), "http://127.0.0.1:1 refuses the connection"]);
    }
}

#[test]
fn a_poll_of_many_references_costs_what_it_asks_for() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    repo.annotated_tag("v1.2.0");
    let (commit, tag) = (repo.head(), repo.git(&["rev-parse", "v1.2.0"]));
    let mut packed = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for number in 0..50_000 {
        writeln!(packed, "{commit} refs/heads/topic-{number:05}").unwrap();
    }
    std::fs::write(repo.bare().join("packed-refs"), packed).unwrap();
    let server = GitHttp::start(repo.root());
    let poll = |reference| {
        let agent = Agent::new(&server.url(), reference, "");
        let (bytes, requests) = (server.bytes(), server.requests());
        (agent.remote.poll().unwrap().commit, server.bytes() - bytes, server.requests() - requests)
    };
    for reference in [
        branch("main"),
        Reference::Tag("v1.2.0".into()),
        semver("^1"),
        Reference::Commit(tag.as_str().into()),
        Reference::Named("HEAD".into()),
        Reference::Named("main".into()),
    ] {
        let shown = reference.to_string();
        let (found, bytes, requests) = poll(reference);
        assert!(found == commit && bytes < 600 && requests == 2, "{shown}: {bytes} bytes, {requests} requests");
    }
    // An old server sends them all.
    server.behave(Behaviour::ServeVersion0);
    for reference in [branch("main"), semver("^1"), Reference::Commit(tag.as_str().into())] {
        let (found, bytes, requests) = poll(reference);
        assert!(found == commit && bytes > 1_000_000 && requests == 1, "{bytes} bytes, {requests} requests");
    }
    assert_eq!(Agent::new(&server.url(), branch("main"), "").paths(), ["a.yaml"]);
}

#[test]
fn what_a_server_refuses_says_why_and_until_when() {
    let repo = TestRepo::with(&[("a.yaml", "a")]);
    let server = GitHttp::start(repo.root());
    let url = server.url_with_login("bob", "s3cret");
    let agent = Agent::new(&url, branch("main"), "");
    for (behaviour, says) in [
        (
            Behaviour::Refuse("401 Unauthorized"),
            &["asks for credentials", "the user and password of the URL is 401"][..],
        ),
        (Behaviour::Refuse("403 Forbidden"), &["asks for credentials", "is 403"]),
        (Behaviour::Refuse("404 Not Found"), &["cannot reach", "there is no such repository (404)"]),
        (Behaviour::RefuseWith("429 Too Many Requests", "Retry-After: 60\r\n"), &["no more requests", "until 2"]),
        (
            Behaviour::RefuseWith("403 Forbidden", "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 4102444800\r\n"),
            &["no more requests", "until 2100-01-01T00:00:00Z"],
        ),
        (Behaviour::RefuseWith("200 OK", "Content-Type: text/html\r\n"), &["not answer as a git server", "text/html"]),
        (Behaviour::RefuseWith("302 Found", "Location: ftp://h/\r\n"), &["redirects to ftp://h/", "less safe"]),
        (
            Behaviour::RefuseWith("200 OK", "Content-Type: application/x-git-upload-pack-advertisement\r\n"),
            &["not answer as a git server does: the length of a packet is no number"],
        ),
    ] {
        server.behave(behaviour);
        fails(&agent, says);
    }
    drop(server);
    let error = fails(&Agent::new("https://nobody.invalid/a.git", branch("main"), ""), &["the name nobody.invalid"]);
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    fails(&Agent::new("https://127.0.0.1:1/a.git", branch("main"), ""), &["127.0.0.1:1 refuses the connection"]);
}

#[test]
fn a_call_that_hangs_ends_soon_after_it_is_cancelled() {
    let repo = TestRepo::with(&[("a.yaml", "a"), ("b.yaml", &"b".repeat(100))]);
    let server = GitHttp::start(repo.root());
    let agent = Agent::new(&server.url(), branch("main"), "");
    let revision = agent.remote.poll().unwrap();
    for behaviour in [Behaviour::Hang, Behaviour::StallPacksAfter(100)] {
        server.behave(behaviour.clone());
        agent.remote.begin();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| match behaviour {
                Behaviour::Hang => agent.remote.poll().map(drop),
                _ => agent.remote.fetch(&revision).map(drop),
            });
            std::thread::sleep(Duration::from_millis(500));
            assert!(!call.is_finished());
            let cancelled = Instant::now();
            agent.remote.cancel();
            let error = call.join().unwrap().unwrap_err();
            assert!(matches!(error, SourceError::Cancelled { .. }), "{error}");
            assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());
        });
    }
}
