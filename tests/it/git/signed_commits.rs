//! Signed commits and tags: what is not signed by a known key is reported, and the last good commit stays enforced.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// One who signs.
struct Person {
    name: &'static str,
    key: PathBuf,
}

impl Person {
    fn new(site: &Site, name: &'static str) -> Self {
        let key = site.scratch(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&key);
        assert!(command.status().unwrap().success());
        Self { name, key }
    }

    /// Their line of `allowed_signers`.
    fn line(&self, options: &str) -> String {
        let public = std::fs::read_to_string(self.key.with_extension("pub")).unwrap();
        format!("{}@example.com {options} {public}", self.name)
    }
}

/// Whoever commits from now on.
fn signs(site: &Site, person: Option<&Person>) {
    site.repo.git(&["config", "gpg.format", "ssh"]);
    site.repo.git(&["config", "commit.gpgsign", if person.is_some() { "true" } else { "false" }]);
    if let Some(person) = person {
        site.repo.git(&["config", "user.signingkey", person.key.to_str().unwrap()]);
    }
}

fn commit(site: &Site, person: Option<&Person>, value: &str) -> String {
    signs(site, person);
    site.repo.commit(&[("a.yaml", &config_map("a", value))])
}

/// A signed tag of the newest commit.
fn signed_tag(site: &Site, name: &str) {
    site.repo.git(&["tag", "--force", "--sign", "-m", name, name]);
    site.repo.git(&["push", "--quiet", "--force", "origin", &format!("refs/tags/{name}")]);
}

/// Has the keys of those who may sign be these.
fn set(site: &Site, kind: &str, lines: &[String]) {
    let (plural, field) = if kind == "Secret" { ("secrets", "stringData") } else { ("configmaps", "data") };
    let at = path(plural, Some(&site.home), "signers");
    let data = json!({"allowed_signers": lines.concat()});
    if cluster().get(&at).is_some() {
        cluster().merge(&at, "it", &json!({field: data}));
    } else {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "signers"}, field: data});
        cluster().create(path(plural, Some(&site.home), "").trim_end_matches('/'), &object);
    }
}

fn sync(site: &Site, verify: &Value) -> Value {
    let mut sync = site.sync("shop");
    sync["source"]["verify"] = verify.clone();
    sync
}

fn site() -> Site {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    site.make_namespace(&site.home);
    site
}

fn eventually_says(agent: &Agent, parts: &[&str]) {
    eventually("the status says it", || {
        let status = agent.sync("shop").to_string();
        check(parts.iter().all(|part| status.contains(part)), status)
    });
}

/// What somebody changes by hand is put back to this.
fn is_enforced(site: &Site, value: &str) {
    site.eventually_has("a", value);
    site.edit("configmaps", "a", "somebody", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("a", value);
}

#[test]
fn only_signed_commits_are_applied_and_a_changed_secret_counts_without_a_restart() {
    let site = site();
    let (ada, bob) = (Person::new(&site, "ada"), Person::new(&site, "bob"));
    set(&site, "Secret", &[ada.line("")]);
    site.configure(&[sync(&site, &json!({"secret": "signers"}))]);
    let agent = Agent::start(&site);
    agent.eventually_logs(&[
        "cannot use commit",
        "it is not signed",
        "a key of the Secret",
        "/signers",
        "git commit -S",
    ]);
    assert!(!site.has("configmaps", "a"), "nothing was good so far");

    let good = commit(&site, Some(&ada), "2");
    agent.eventually_synced("shop", &good);
    commit(&site, None, "3");
    eventually_says(&agent, &["it is not signed", &format!("{} stays enforced", &good[..12])]);
    is_enforced(&site, "2");

    let by_bob = commit(&site, Some(&bob), "4");
    eventually_says(&agent, &["it is signed by the unknown key SHA256:", "add the key there"]);
    is_enforced(&site, "2");
    set(&site, "Secret", &[ada.line(""), bob.line("")]);
    agent.eventually_synced("shop", &by_bob);
    is_enforced(&site, "4");

    // What an agent has verified it enforces, and another one verifies again.
    set(&site, "Secret", &[ada.line(""), bob.line("valid-before=\"20250101\"")]);
    eventually_says(&agent, &["was signed at 2025-01-02T03:04:05Z by bob@example.com (SHA256:", "until 2025-01-01"]);
    is_enforced(&site, "4");
    agent.stop();
    let agent = Agent::start(&site);
    eventually_says(&agent, &["was signed at 2025-01-02T03:04:05Z by bob@example.com"]);
    assert_eq!(agent.sync("shop")["phase"], "Failing");
    assert_eq!(site.value_of("a").as_deref(), Some("4"), "nothing is deleted");
    set(&site, "Secret", &[bob.line("")]);
    agent.eventually_synced("shop", &by_bob);
}

#[test]
fn commands_verify_like_the_agent_and_check_says_who_signed() {
    let site = site();
    let (ada, bob) = (Person::new(&site, "ada"), Person::new(&site, "bob"));
    let files = site.scratch("signers");
    std::fs::create_dir_all(&files).unwrap();
    site.configure(&[sync(&site, &json!({"files": files}))]);
    let allow = |text: String| std::fs::write(files.join("allowed_signers"), text).unwrap();
    let error = site.cli(&["check"]).expect_code(1).all();
    assert!(error.contains("it has neither allowed_signers (SSH) nor an OpenPGP key"), "{error}");
    allow(ada.line("cert-authority"));
    let error = site.cli(&["check"]).expect_code(1).all();
    assert!(error.contains("line 1 the option cert-authority, which is not supported"), "{error}");

    allow(ada.line(""));
    for (person, says) in [(None, "it is not signed"), (Some(&bob), "it is signed by the unknown key SHA256:")] {
        let commit = commit(&site, person, "2");
        for arguments in [&["check"][..], &["plan"], &["render"], &["run", "--once"]] {
            let finished = site.cli(arguments);
            assert_ne!(finished.code, Some(0), "{arguments:?}");
            let error = finished.all();
            let expected = format!("cannot use commit {}: {says}", &commit[..12]);
            assert!(error.contains(&expected), "{arguments:?}: {error}");
        }
    }
    assert!(!site.has("configmaps", "a"));
    commit(&site, Some(&ada), "3");
    let said = site.cli(&["check"]).expect_code(0).all();
    assert!(said.contains("has 1 object, signed by ada@example.com (SHA256:"), "{said}");
    site.once().expect_code(0);
    assert_eq!(site.value_of("a").as_deref(), Some("3"));
}

#[test]
fn a_version_range_follows_tags_that_are_signed_under_their_names() {
    let site = site();
    let ada = Person::new(&site, "ada");
    set(&site, "ConfigMap", &[ada.line("namespaces=\"git\"")]);
    let mut sync = sync(&site, &json!({"configMap": "signers", "mode": "tag"}));
    sync["source"].as_object_mut().unwrap().remove("branch");
    sync["source"]["semver"] = ">=1".into();
    signs(&site, Some(&ada));
    let first = commit(&site, None, "1.0");
    signed_tag(&site, "v1.0.0");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &first);

    commit(&site, Some(&ada), "1.1");
    site.repo.tag("v1.1.0");
    eventually_says(&agent, &["the tag v1.1.0 is not an annotated tag", "git tag -s"]);
    is_enforced(&site, "1.0");
    let second = commit(&site, None, "1.2");
    site.repo.annotated_tag("v1.2.0");
    eventually_says(&agent, &["the tag v1.2.0 is not signed", "a key of the ConfigMap"]);
    // Signed later, for the commit that is in the clone already.
    signed_tag(&site, "v1.2.0");
    agent.eventually_synced("shop", &second);

    let old = site.repo.git(&["rev-parse", "v1.0.0"]);
    site.repo.git(&["push", "--quiet", "origin", &format!("{old}:refs/tags/v1.3.0")]);
    eventually_says(&agent, &["the tag v1.3.0 is the signed tag v1.0.0 under another name"]);
    is_enforced(&site, "1.2");
}
