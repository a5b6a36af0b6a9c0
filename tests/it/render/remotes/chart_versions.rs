//! Charts out of a repository: a pinned version, a range, and where archives are.

use std::path::Path;

use serde_json::json;

use super::fixture::{eventually_is, site, sync, version, web};
use crate::support::agent::Agent;
use crate::support::charts::{publish, publish_index_of};
use crate::support::files::{Content, FileServer};
use crate::support::wait::{check, eventually};

#[test]
fn a_chart_out_of_a_repository_is_applied_with_values_out_of_git() {
    let (site, server) = (site(), FileServer::start());
    let (one, two) = (web(&site, "1.0.0"), web(&site, "1.1.0"));
    publish(&server, "", &[("web", "1.0.0", &one)]);
    site.configure(&[sync(&site, &server.url(""), "1.0.0", &json!({}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(version(&site).as_deref(), Some("1.0.0"));
    assert_eq!(site.get("configmaps", "web").unwrap()["data"]["from"], "git");

    // What is pinned is fetched once, whatever is committed.
    let commit = site.repo.commit(&[("values.yaml", "from: elsewhere\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!((server.requests("index.yaml"), server.requests("web-1.0.0.tgz")), (1, 1));

    // It also goes on without the repository.
    server.set("index.yaml", Content::Refuse("503 Service Unavailable"));
    server.set("web-1.0.0.tgz", Content::Refuse("503 Service Unavailable"));
    let commit = site.repo.commit(&[("values.yaml", "from: the store\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.get("configmaps", "web").unwrap()["data"]["from"], "the store");

    // A version that the known index does not have is sought in a newer one.
    publish(&server, "", &[("web", "1.1.0", &two), ("web", "1.0.0", &one)]);
    site.configure(&[sync(&site, &server.url(""), "1.1.0", &json!({}))]);
    eventually_is(&site, "1.1.0");
    let explained = site.cli(&["explain", "configmap/web", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(explained.contains(&server.url("web-1.1.0.tgz")), "{explained}");
}

#[test]
fn an_index_that_was_fetched_long_ago_does_not_hide_where_an_archive_is_now() {
    let (site, server) = (site(), FileServer::start());
    let (one, two) = (web(&site, "1.0.0"), web(&site, "1.1.0"));
    let both: [(&str, &str, &Path); 2] = [("web", "1.0.0", &one), ("web", "1.1.0", &two)];
    publish(&server, "", &both);
    site.configure(&[sync(&site, &server.url(""), "1.0.0", &json!({}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    // The repository moves its archives. The stored index, good for 1.0.0, names the old place of 1.1.0.
    publish(&server, "", &both);
    for archive in ["web-1.0.0.tgz", "web-1.1.0.tgz"] {
        server.set(archive, Content::Refuse("404 Not Found"));
    }
    let moved = std::fs::read(&two).unwrap();
    server.put("archives/web-1.1.0.tgz", moved);
    publish_index_of(&server, "archives/", &both);
    let asked = server.requests("index.yaml");
    site.configure(&[sync(&site, &server.url(""), "1.1.0", &json!({}))]);
    eventually_is(&site, "1.1.0");
    assert_eq!(server.requests("index.yaml"), asked + 1);
}

#[test]
fn a_range_follows_what_is_published() {
    let (site, server) = (site(), FileServer::start());
    let (one, two) = (web(&site, "1.0.0"), web(&site, "1.5.0"));
    publish(&server, "", &[("web", "1.0.0", &one)]);
    site.configure(&[sync(&site, &server.url(""), "1.x", &json!({}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let rendered = || agent.metric("driftless_render_total", &["sync=\"shop\"", "result=\"success\""]);
    let (before, renders) = (server.unchanged("index.yaml"), rendered());
    eventually("the index was compared twice", || check(server.unchanged("index.yaml") >= before + 2, "not yet"));
    assert_eq!(rendered(), renders, "nothing has changed");

    publish(&server, "", &[("web", "1.0.0", &one), ("web", "1.5.0", &two)]);
    eventually_is(&site, "1.5.0");

    // What cannot be compared stays, and is said.
    server.set("index.yaml", Content::Refuse("503 Service Unavailable"));
    agent.eventually_logs(&["index.yaml", "answers with status 503", "what was fetched before stays in use"]);
    let commit = site.repo.commit(&[("values.yaml", "from: git again\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.get("configmaps", "web").unwrap()["data"]["from"], "git again");

    // A file that was cut off on disk is fetched again.
    drop(agent);
    publish(&server, "", &[("web", "1.0.0", &one), ("web", "1.5.0", &two)]);
    for entry in std::fs::read_dir(site.data_dir().join("fetched")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    }
    let before = server.requests("web-1.5.0.tgz");
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!((server.requests("web-1.5.0.tgz"), version(&site).as_deref()), (before + 1, Some("1.5.0")));
}
