//! Hosts that refuse, hang or answer with nothing: what was fetched before stays in use.

use serde_json::json;

use super::fixture::{CONFIG, site, sync, version, web};
use crate::support::agent::Agent;
use crate::support::charts::{pack, publish};
use crate::support::files::{Content, FileServer};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

#[test]
fn what_cannot_be_compared_with_its_source_is_a_warning_of_every_command_that_renders() {
    let (site, server) = (site(), FileServer::start());
    publish(&server, "", &[("web", "1.0.0", &web(&site, "1.0.0"))]);
    site.configure(&[sync(&site, &server.url(""), "1.x", &json!({}))]);
    let before = site.cli(&["render"]).expect_code(0).stderr;
    assert!(!before.contains("stays in use"), "{before}");
    server.set("index.yaml", Content::Refuse("503 Service Unavailable"));
    for (command, code) in [("render", 0), ("plan", 2)] {
        let said = site.cli(&[command]).expect_code(code).stderr;
        assert!(said.contains("warning: sync shop: ") && said.contains("fetched before stays in use"), "{said}");
    }
    let logged = site.once().expect_code(0).all();
    assert!(logged.contains("answers with status 503") && logged.contains("fetched before stays in use"), "{logged}");
}

#[test]
fn what_cannot_be_had_is_named_with_the_reason_and_the_last_good_version_stays() {
    let (site, server) = (site(), FileServer::start());
    let chart = web(&site, "1.0.0");
    publish(&server, "", &[("web", "1.0.0", &chart)]);
    site.configure(&[sync(&site, &server.url(""), "1.0.0", &json!({}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    site.configure(&[sync(&site, &server.url(""), "3.0.0", &json!({}))]);
    agent.eventually_logs(&["3.0.0", "not found in", "repository", "1.0.0"]);
    assert_eq!(version(&site).as_deref(), Some("1.0.0"));

    let error = |repository: &str| {
        site.configure(&[sync(&site, repository, "1.x", &json!({}))]);
        site.cli(&["render"]).expect_code(1).stderr
    };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (repository, says) in [
        (server.url("missing"), "was not found (404); correct the URL"),
        (server.url("refused"), "refuses access (403); check the credentials"),
        (server.url("busy"), "allows no more requests for now (429)"),
        (server.url("loop"), "which is not followed: too many redirects"),
        (server.url("text"), "it is no index of charts"),
        (format!("http://{nobody}"), "cannot reach http://"),
        (format!("oci://{nobody}/charts"), "cannot reach http://127.0.0.1"),
        ("https://nobody.invalid/charts".to_owned(), "cannot reach https://nobody.invalid"),
    ] {
        server.set("refused/index.yaml", Content::Refuse("403 Forbidden"));
        server.set("busy/index.yaml", Content::Refuse("429 Too Many Requests"));
        server.set("loop/index.yaml", Content::Redirect(server.url("loop/index.yaml")));
        server.put("text/index.yaml", "a page, and no index");
        let error = error(&repository);
        assert!(error.contains(says), "{repository}: {error}");
    }
}

#[test]
fn an_answer_without_content_is_no_empty_file() {
    let server = FileServer::start();
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    server.put("install.yaml", [map("one"), map("two")].join("---\n"));
    let kustomization = format!("resources:\n- {}\n", server.url("install.yaml"));
    let site = Site::with(&[("kustomization.yaml", &kustomization)]);
    let mut sync = site.sync("shop");
    let host = server.url("").trim_end_matches('/').to_owned();
    sync["render"] = json!({"refresh": "1s", "remoteHosts": [host]});
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    for content in [
        Content::Refuse("202 Accepted"),
        Content::Refuse("204 No Content"),
        Content::File(Vec::new()),
        Content::File(b"# maintenance\n---\n".to_vec()),
    ] {
        let asked = server.requests("install.yaml");
        server.set("install.yaml", content);
        eventually("the agent has compared it", || check(server.requests("install.yaml") > asked, "not asked"));
        agent.eventually_logs(&["install.yaml", "what was fetched before stays in use"]);
        let asked = server.requests("install.yaml");
        let error = site.cli(&["render"]).expect_code(0).stderr;
        assert!(server.requests("install.yaml") > asked, "{error}");
        assert!(error.contains("what was fetched before stays in use"), "{error}");
        assert!(site.has("configmaps", "one") && site.has("configmaps", "two"));
    }
}

#[test]
fn what_may_be_outdated_is_applied_and_prunes_nothing() {
    let (site, server) = (site(), FileServer::start());
    let extra = "{{ if .Values.extra }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n{{ end }}\n";
    let files = [("templates/config.yaml", CONFIG), ("templates/extra.yaml", extra), ("values.yaml", "from: chart\n")];
    let chart = pack(site.directory(), "web", "1.0.0", &files);
    publish(&server, "", &[("web", "1.0.0", &chart)]);
    site.repo.commit(&[("values.yaml", "from: git\nextra: true\n")]);
    site.configure(&[sync(&site, &server.url(""), "1.x", &json!({}))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(site.has("configmaps", "extra"));

    // A replica that takes over while the repository does not answer has what it fetched at some time before.
    agent.stop();
    server.set("index.yaml", Content::Refuse("503 Service Unavailable"));
    let commit = site.repo.commit(&[("values.yaml", "from: another commit\n")]);
    let agent = Agent::start(&site);
    agent.eventually_logs(&["what was fetched before stays in use"]);
    eventually("the values of the commit", || {
        let from = site.get("configmaps", "web").map(|map| map["data"]["from"].clone());
        check(from == Some(json!("another commit")), format_args!("{from:?}"))
    });
    let notes = agent.eventually_is("shop", "Synced")["notes"].to_string();
    assert!(notes.contains("ConfigMap") && notes.contains("may be outdated"), "{notes}");
    assert!(site.has("configmaps", "extra"));
    publish(&server, "", &[("web", "1.0.0", &chart)]);
    agent.eventually_synced("shop", &commit);
    eventually("it is pruned", || check(!site.has("configmaps", "extra"), "it is there"));
}

#[test]
fn a_host_that_hangs_keeps_no_other_sync_from_rendering() {
    let (site, server) = (site(), FileServer::start());
    site.repo.commit(&[
        ("chart/Chart.yaml", "apiVersion: v2\nname: own\nversion: 1.0.0\n"),
        ("chart/templates/own.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n"),
    ]);
    server.set("index.yaml", Content::Hang);
    let mut syncs = Vec::new();
    for number in 0..6 {
        let mut sync = sync(&site, &server.url(""), "1.x", &json!({}));
        sync["name"] = json!(format!("hangs-{number}"));
        syncs.push(sync);
    }
    let healthy = FileServer::start();
    publish(&healthy, "", &[("web", "1.0.0", &web(&site, "1.0.0"))]);
    let mut other = sync(&site, &healthy.url(""), "1.x", &json!({}));
    other["name"] = json!("other");
    syncs.push(other);
    let mut own = site.sync("own");
    own["path"] = json!("chart");
    syncs.push(own);
    site.configure(&syncs);
    let agent = Agent::start(&site);
    eventually("one of them hangs", || check(server.requests("index.yaml") > 0, "nothing asked"));
    agent.eventually_synced("own", &site.repo.head());
    agent.eventually_synced("other", &site.repo.head());
    let commit = site.repo.commit(&[("chart/values.yaml", "a: b\n")]);
    agent.eventually_synced("own", &commit);
}
