//! Webhooks: a push is applied at once, and who has no secret causes nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::githttp::GitHttp;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually, within};

const SECRET: &str = "correct-horse-battery-staple";
/// Far less than the interval.
const SOON: Duration = Duration::from_secs(15);

fn site() -> (Site, GitHttp) {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    site.make_namespace(&site.home);
    let server = GitHttp::start(site.repo.root());
    (site, server)
}

/// Two syncs that poll once an hour, one of which follows another repository.
fn syncs(site: &Site, server: &GitHttp) -> [Value; 2] {
    let [mut shop, mut other] = ["shop", "other"].map(|name| site.sync(name));
    shop["source"]["url"] = json!(server.url());
    for sync in [&mut shop, &mut other] {
        sync["interval"] = json!("1h");
    }
    other["path"] = json!("nothing");
    other["suspend"] = json!(true);
    [shop, other]
}

fn configure(site: &Site, server: &GitHttp, place: &Value) {
    let mut hooks = place.clone();
    hooks["listen"] = json!("127.0.0.1:0");
    site.configure_with(&syncs(site, server), |config| config["hooks"] = hooks);
}

fn set(site: &Site, data: &Value) {
    let object =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "driftless-hooks"}, "stringData": data});
    cluster().create(path("secrets", Some(&site.home), "").trim_end_matches('/'), &object);
}

/// Where an agent receives webhooks.
#[track_caller]
fn receiver(agent: &Agent) -> String {
    let line = agent.eventually_logs(&["receiving webhooks on http://"]);
    agent.eventually_logs(&["webhooks: secrets are there for "]);
    let rest = line.split_once("on http://").expect("an address").1;
    rest.split_once('/').expect("a path").0.to_owned()
}

/// Sends a push of GitHub; gives the whole answer.
fn push(receiver: &str, url: &str, secret: &str) -> String {
    let body = json!({"repository": {"clone_url": url}}).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let tag = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let request = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: a\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={tag}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(receiver) {
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn synced_soon(agent: &Agent, commit: &str) {
    within(SOON, "the push is applied", || {
        let status = agent.sync("shop");
        check(status["synced"]["id"] == commit && status["phase"] == "Synced", status)
    });
}

#[test]
fn a_push_is_applied_at_once_and_a_wrong_signature_polls_nothing() {
    let (site, server) = site();
    set(&site, &json!({"github": SECRET}));
    configure(&site, &server, &json!({"secret": "driftless-hooks"}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let receiver = receiver(&agent);

    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    let polls = server.requests();
    for (url, secret, says) in [
        (server.url(), "another", "no secret of this receiver fits"),
        (server.url(), "", "no secret of this receiver fits"),
        ("https://git.example.com/another.git".to_owned(), SECRET, "no sync follows this repository"),
    ] {
        let answer = push(&receiver, &url, secret);
        assert!(answer.contains(says), "{answer}");
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(server.requests(), polls, "nobody polls");
    let answer = push(&receiver, &server.url(), SECRET);
    assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("syncs that poll: 1"), "{answer}");
    synced_soon(&agent, &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
    // The next one comes within the pause: it is kept, and acted on at the end.
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "3"))]);
    // Another spelling of the same repository.
    let url = server.url().replace("http://", "ssh://git@").replace(".git", "");
    assert!(push(&receiver, &url, SECRET).contains("syncs that poll: 1"));
    synced_soon(&agent, &commit);
    agent.eventually_logs(&["INFO", "webhook from GitHub: 127.0.0.1/repo has changed, so it is polled now for shop"]);
    for (result, least) in [("accepted", 2.0), ("unauthorized", 2.0), ("ignored", 1.0)] {
        let counted = agent.metric("driftless_hook_requests_total", &[&format!("result=\"{result}\"")]);
        assert!(counted >= Some(least), "{result}: {counted:?}");
    }
    let log = agent.log().join("\n");
    assert!(!log.contains(SECRET) && !log.contains("clone_url"), "{log}");
}

#[test]
fn a_secret_that_is_replaced_is_used_at_once_and_files_are_read_when_they_do_not_fit() {
    let (site, server) = site();
    let files = site.scratch("hooks");
    std::fs::create_dir_all(&files).expect("a directory");
    std::fs::write(files.join("github"), "the old one\n").expect("a file");
    configure(&site, &server, &json!({"files": files}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let at = receiver(&agent);
    assert!(push(&at, &server.url(), "the old one").starts_with("HTTP/1.1 202 "));
    std::fs::write(files.join("github"), "the new one\n").expect("a file");
    eventually("the new one is read", || {
        let answer = push(&at, &server.url(), "the new one");
        check(answer.starts_with("HTTP/1.1 202 "), answer)
    });
    assert!(push(&at, &server.url(), "the old one").starts_with("HTTP/1.1 403 "));
    agent.stop();

    configure(&site, &server, &json!({"secret": "driftless-hooks"}));
    let agent = Agent::start(&site);
    agent.eventually_logs(&["webhooks cannot be verified", "/driftless-hooks, which hooks.secret names, is not there"]);
    set(&site, &json!({"github": "first"}));
    let at = receiver(&agent);
    assert!(push(&at, &server.url(), "first").starts_with("HTTP/1.1 202 "));
    let data = json!({"stringData": {"github": "second\nthird"}});
    cluster().merge(&path("secrets", Some(&site.home), "driftless-hooks"), "it", &data);
    for secret in ["second", "third"] {
        eventually("the watch shows the change", || {
            let answer = push(&at, &server.url(), secret);
            check(answer.starts_with("HTTP/1.1 202 "), answer)
        });
    }
    assert!(push(&at, &server.url(), "first").starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_flood_keeps_neither_probes_nor_syncs_waiting() {
    let (site, server) = site();
    set(&site, &json!({"github": SECRET}));
    configure(&site, &server, &json!({"secret": "driftless-hooks"}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let at = receiver(&agent);
    let until = Instant::now() + Duration::from_secs(6);
    let floods: Vec<_> = (0..6)
        .map(|number| {
            let (at, url) = (at.clone(), server.url());
            std::thread::spawn(move || {
                let mut resting = Vec::new();
                let mut limited = 0;
                while Instant::now() < until {
                    limited +=
                        usize::from(push(&at, &url, if number < 3 { SECRET } else { "other" }).contains(" 429 "));
                    resting.extend(TcpStream::connect(&at).into_iter().take(1));
                    if resting.len() > 100 {
                        resting.clear();
                    }
                }
                limited
            })
        })
        .collect();
    let polls = server.requests();
    while Instant::now() < until {
        for page in ["/healthz", "/readyz"] {
            let began = Instant::now();
            assert_eq!(agent.http(page).0, 200, "{page}");
            assert!(began.elapsed() < Duration::from_secs(2), "{page} took {:?}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let limited: usize = floods.into_iter().map(|flood| flood.join().expect("a flood")).sum();
    assert!(limited > 0, "too many are refused");
    // Of each poll, a few requests; a poll at once, and one each 5 s.
    assert!(server.requests() - polls <= 20, "{} requests", server.requests() - polls);
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    eventually("it is received", || {
        let answer = push(&at, &server.url(), SECRET);
        check(answer.contains(" 202 "), answer)
    });
    synced_soon(&agent, &commit);
}

#[test]
fn a_webhook_that_comes_to_a_follower_reaches_the_leader() {
    let (site, server) = site();
    set(&site, &json!({"github": SECRET}));
    let start = |replica: &str| {
        let mut config = site.configuration(&syncs(&site, &server));
        config["leaderElection"] = json!({"enabled": true});
        config["dataDir"] = json!(site.scratch(&format!("data-{replica}")));
        config["hooks"] = json!({"listen": "127.0.0.1:0", "secret": "driftless-hooks"});
        let file = site.scratch(&format!("{replica}.yaml"));
        std::fs::write(&file, config.to_string()).expect("a file");
        Agent::spawn(&site, site.command_for(&file, &["run"]))
    };
    let leader = start("leader");
    leader.eventually_synced("shop", &site.repo.head());
    let follower = start("follower");
    follower.eventually_logs(&["shop: standing by with commit"]);
    let at = receiver(&follower);
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    assert!(push(&at, &server.url(), SECRET).contains("syncs that poll: 1"));
    synced_soon(&leader, &commit);
    follower.eventually_logs(&["shop: standing by with commit", &commit[..12]]);
    assert_eq!(follower.metric("driftless_leader", &[]), Some(0.0));
}
