//! git over HTTP, by the real `git http-backend`.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// A site whose sync reads its repository over HTTP.
fn over_http() -> (Site, GitHttp) {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let server = GitHttp::start(site.repo.root());
    server.require_login("ada", "correct-horse");
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(server.url_with_login("ada", "correct-horse"));
    site.configure(&[sync]);
    (site, server)
}

#[test]
fn a_repository_behind_a_login_is_followed_and_the_password_shown_nowhere() {
    let (site, server) = over_http();
    let agent = Agent::start_with(&site, |command| {
        command.env("DRIFTLESS_LOG", "trace");
    });
    agent.eventually_synced("shop", &site.repo.head());
    let packs = server.packs();
    agent.passes("shop", 2);
    assert_eq!(server.packs(), packs, "a poll that finds nothing new fetches nothing");
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    agent.eventually_synced("shop", &commit);

    server.require_login("ada", "another");
    let status = agent.eventually_is("shop", "Failing");
    let parent = site.parent("shop").expect("a parent").to_string();
    let cli = site.cli(&["check"]).all() + &site.cli(&["status"]).all();
    for text in [agent.log().join("\n"), status.to_string(), agent.metrics(), parent, cli] {
        assert!(!text.contains("correct-horse"), "{text}");
    }
}

#[test]
fn a_server_that_is_down_is_reported_and_drift_is_healed_meanwhile() {
    let (site, server) = over_http();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    server.behave(Behaviour::Unavailable);
    agent.eventually_logs(&["WARN", "cannot read the git repository", "503", "; next try in "]);
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("the last commit stays enforced", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    server.behave(Behaviour::Serve);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("two"));
}

/// Scenario 6
#[test]
fn a_branch_that_is_deleted_is_an_error_and_its_last_commit_stays_enforced() {
    let (site, _server) = over_http();
    site.repo.commit(&[("b.yaml", &config_map("b", "1"))]);
    let agent = Agent::start(&site);
    let last = site.repo.head();
    agent.eventually_synced("shop", &last);
    site.repo.delete_branch("main");
    let status = agent.eventually_is("shop", "Failing");
    assert!(status["message"].as_str().is_some_and(|message| message.contains("main")), "{status}");
    site.delete("configmaps", "b");
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("drift is healed", || {
        let values = [site.value_of("a"), site.value_of("b")];
        check(values == [Some("1".into()), Some("1".into())], format!("{values:?}"))
    });
    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a", "b"], "nothing is pruned");
    site.repo.push();
    agent.eventually_synced("shop", &last);
}

#[test]
fn a_damaged_clone_is_made_anew() {
    let (site, _server) = over_http();
    site.once().expect_code(0);
    let mut damaged = 0;
    let mut directories = vec![site.data_dir()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.components().any(|part| part.as_os_str() == "objects") {
                // git makes its objects read-only.
                std::fs::remove_file(&path).expect("it can be removed");
                std::fs::write(&path, b"damaged").expect("it can be written");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "a clone lies in {}", site.data_dir().display());
    site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    site.once().expect_code(0);
    assert_eq!(site.value_of("a").as_deref(), Some("two"));
}
