//! git over ssh, by the real `sshd`, with credentials out of a Secret.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::sshd::Sshd;

const ALL: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

fn sync(site: &Site, server: &Sshd, auth: &Value) -> Value {
    let mut sync = site.sync("shop");
    sync["source"]["url"] = server.url(&site.repo.bare()).into();
    sync["source"]["auth"] = auth.clone();
    sync
}

fn set(site: &Site, name: &str, data: &Value) {
    let at = path("secrets", Some(&site.home), name);
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    if cluster().get(&at).is_some() {
        cluster().delete(&at);
    }
    cluster().create(path("secrets", Some(&site.home), "").trim_end_matches('/'), &object);
}

fn site() -> Site {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    site.make_namespace(&site.home);
    site
}

#[test]
fn keys_of_each_kind_are_used_and_a_rotated_one_without_a_restart() {
    let (site, server) = (site(), Sshd::start());
    let hosts = server.known_hosts(&ALL);
    let keys = [("one", "ed25519", ""), ("two", "ecdsa", "open sesame"), ("three", "rsa", "open sesame")];
    let secrets = keys.map(|(name, kind, passphrase)| {
        let mut data = json!({"identity": server.new_key(name, kind, passphrase), "known_hosts": hosts});
        if !passphrase.is_empty() {
            data["password"] = passphrase.into();
        }
        data
    });
    server.authorize(&["one"]);
    set(&site, "shop-git", &secrets[0]);
    site.configure(&[sync(&site, &server, &json!({"secret": "shop-git"}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    for (at, value) in [(1, "2"), (2, "3")] {
        server.authorize(&[keys[at].0]);
        let commit = site.repo.commit(&[("a.yaml", &config_map("a", value))]);
        agent.eventually_logs(&["cannot read the git repository", "asks for credentials"]);
        set(&site, "shop-git", &secrets[at]);
        agent.eventually_synced("shop", &commit);
    }
    let log = agent.log().join("\n");
    assert!(!log.contains("PRIVATE KEY") && !log.contains("open sesame"), "{log}");
}

#[test]
fn what_is_wrong_with_the_credentials_is_said_and_nothing_secret() {
    let (site, server, other) = (site(), Sshd::start(), Sshd::start());
    let (key, stranger) = (server.new_key("one", "ed25519", "s3cret"), server.new_key("two", "ed25519", ""));
    server.authorize(&["one"]);
    site.configure(&[sync(&site, &server, &json!({"secret": "shop-git"}))]);
    let error = site.cli(&["check"]).expect_code(1).all();
    assert!(error.contains("/shop-git, which source.auth.secret names, is not there; create it"), "{error}");

    let hosts = server.known_hosts(&ALL);
    let with =
        |key: &str, password: &str, hosts: &str| json!({"identity": key, "password": password, "known_hosts": hosts});
    let renamed = other.known_hosts(&ALL).replace(&other.port.to_string(), &server.port.to_string());
    for (data, says) in [
        (json!({"username": "bob", "password": "s3cret"}), &["ssh needs identity", "it has password, username"][..]),
        (json!({"identity": key, "password": "s3cret"}), &["it has no known_hosts", "ssh-keyscan 127.0.0.1"]),
        (with(&stranger, "", &hosts), &["its key password is empty"]),
        (json!({"identity": stranger, "known_hosts": hosts}), &["the server refuses the private key", "source.auth"]),
        (with(&key, "wrong", &hosts), &["source.auth"]),
        (
            with(&key, "s3cret", &renamed),
            &["the host key of ssh://", "shows the key ", "SHA256:", "and known_hosts has "],
        ),
        (with(&key, "s3cret", &other.known_hosts(&ALL)), &["and known_hosts has none for it"]),
        (with(&key, "s3cret", &server.known_hosts(&["rsa"])), &["keys of other types for it: ssh-rsa SHA256:"]),
    ] {
        set(&site, "shop-git", &data);
        let error = site.cli(&["check"]).expect_code(1).all();
        for says in says {
            assert!(error.contains(says), "{says}: {error}");
        }
        assert!(!error.contains("s3cret") && !error.contains("BEGIN"), "{error}");
    }
    set(&site, "shop-git", &with(&key, "s3cret", &hosts));
    site.cli(&["check"]).expect_code(0);
}

#[test]
fn credentials_in_files_are_read_for_each_poll() {
    let (site, server) = (site(), Sshd::start());
    let key = server.new_key("one", "ed25519", "");
    server.authorize(&["one"]);
    let files = site.scratch("credentials");
    std::fs::create_dir_all(&files).unwrap();
    site.configure(&[sync(&site, &server, &json!({"files": files}))]);
    let agent = Agent::start(&site);
    agent.eventually_logs(&["cannot read the git repository", "ssh needs identity", "it is empty"]);
    std::fs::write(files.join("known_hosts"), server.known_hosts(&ALL)).unwrap();
    std::fs::write(files.join("ssh-privatekey"), key).unwrap();
    agent.eventually_synced("shop", &site.repo.head());
}
