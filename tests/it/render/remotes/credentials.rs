//! Which server is given which credentials, and which authority is trusted.

use serde_json::{Value, json};

use super::fixture::{eventually_is, site, sync, web};
use crate::support::agent::Agent;
use crate::support::charts::{Registry, publish};
use crate::support::cluster::{cluster, path};
use crate::support::files::{Content, FileServer};
use crate::support::site::Site;
use crate::support::tls::{Authority, in_front_of};

fn secret(site: &Site, name: &str, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    cluster().create(path("secrets", Some(&site.home), "").trim_end_matches('/'), &object);
}

#[test]
fn a_private_registry_is_asked_with_the_credentials_of_the_sync_and_a_range() {
    let (site, registry) = (site(), Registry::start());
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        registry.push(&web(&site, version));
    }
    site.configure(&[sync(&site, &registry.url(), "^1", &json!({"auth": {"secret": "registry"}}))]);
    let agent = Agent::start(&site);
    agent.eventually_logs(&["the Secret", "registry", "is not there; create it"]);
    secret(&site, "registry", &json!({"username": "bob", "password": "canary-wrong"}));
    agent.eventually_logs(&[&registry.url(), "refuses access (401); check the credentials"]);
    let patch = json!({"stringData": {"password": "s3cret"}});
    site.cluster().merge(&path("secrets", Some(&site.home), "registry"), "tests", &patch);
    eventually_is(&site, "1.1.0");
    agent.eventually_synced("shop", &site.repo.head());
    let seen = [agent.log().join("\n"), agent.status().to_string(), agent.metrics()].concat();
    assert!(!seen.contains("canary-wrong") && !seen.contains("s3cret"), "{seen}");

    // The entry of another registry is no credential for this one.
    let rendered = site.cli(&["render"]).expect_code(0).stdout;
    assert!(rendered.contains("version: \"1.1.0\""), "{rendered}");
    let docker = json!({"auths": {"elsewhere.example.com": {"username": "bob", "password": "s3cret"}}}).to_string();
    secret(&site, "docker", &json!({".dockerconfigjson": docker}));
    site.configure(&[sync(&site, &registry.url(), "^1", &json!({"auth": {"secret": "docker"}}))]);
    let error = site.cli(&["render", "--cluster"]).expect_code(1).stderr;
    let expected = format!("has nothing for {}; it has entries for: elsewhere.example.com", registry.address);
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn credentials_go_to_their_own_server_alone() {
    let (site, server, elsewhere) = (site(), FileServer::start(), FileServer::start());
    let chart = web(&site, "1.0.0");
    // The index names an archive on another host, and a redirect leads there as well.
    publish(&elsewhere, "", &[("web", "1.0.0", &chart)]);
    publish(&server, &elsewhere.url(""), &[("web", "1.0.0", &chart)]);
    secret(&site, "login", &json!({"username": "bob", "password": "s3cret"}));
    let auth = json!({"auth": {"secret": "login"}});
    site.configure(&[sync(&site, &server.url(""), "1.0.0", &auth)]);
    site.cli(&["render", "--cluster"]).expect_code(0);
    let basic = "Basic Ym9iOnMzY3JldA==";
    assert_eq!(server.logins("index.yaml"), [basic]);
    assert_eq!(elsewhere.logins("web-1.0.0.tgz"), [""]);

    publish(&server, "", &[("web", "1.0.1", &web(&site, "1.0.1"))]);
    // By way of a second path over there, which is no reason to send them.
    server.set("web-1.0.1.tgz", Content::Redirect(elsewhere.url("hop")));
    elsewhere.set("hop", Content::Redirect(elsewhere.url("web-1.0.0.tgz?signature=canary")));
    site.configure(&[sync(&site, &server.url(""), "1.0.1", &auth)]);
    let error = site.cli(&["render", "--cluster"]).expect_code(1).stderr;
    assert_eq!(server.logins("web-1.0.1.tgz"), [basic]);
    assert_eq!(
        (elsewhere.logins("hop"), elsewhere.logins("web-1.0.0.tgz")),
        (vec![String::new()], vec![String::new(); 2])
    );
    // What came by it is not what the index was written for.
    assert!(error.contains("has the digest sha256:") && !error.contains("canary"), "{error}");
}

#[test]
fn what_was_fetched_with_credentials_is_not_there_for_a_sync_without() {
    let (site, registry) = (site(), Registry::start());
    registry.push(&web(&site, "1.0.0"));
    secret(&site, "registry", &json!({"username": "bob", "password": "s3cret"}));
    let auth = json!({"auth": {"secret": "registry"}});
    site.configure(&[sync(&site, &registry.url(), "1.0.0", &auth)]);
    site.cli(&["render"]).expect_code(0);
    site.configure(&[sync(&site, &registry.url(), "1.0.0", &json!({}))]);
    let error = site.cli(&["render"]).expect_code(1).stderr;
    assert!(error.contains("refuses access (401)"), "{error}");
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_the_secret_has_it() {
    let (site, server, authority) = (site(), FileServer::start(), Authority::new());
    let port = in_front_of(server.address, authority.server("localhost"));
    let url = format!("https://localhost:{port}");
    publish(&server, "", &[("web", "1.0.0", &web(&site, "1.0.0"))]);
    site.configure(&[sync(&site, &url, "1.0.0", &json!({}))]);
    let error = site.cli(&["render"]).expect_code(1).stderr;
    assert!(
        error.contains("The TLS certificate of") || error.contains("the TLS certificate of https://localhost"),
        "{error}"
    );
    secret(&site, "authority", &json!({"ca.crt": authority.pem()}));
    secret(&site, "broken", &json!({"ca.crt": "no certificate"}));
    let auth = |name: &str| json!({"auth": {"secret": name}});
    site.configure(&[sync(&site, &url, "1.0.0", &auth("authority"))]);
    site.cli(&["render"]).expect_code(0);
    site.configure(&[sync(&site, &url, "1.0.0", &auth("broken"))]);
    let error = site.cli(&["render"]).expect_code(1).stderr;
    assert!(error.contains("under ca.crt of the Secret that auth names, cannot be read"), "{error}");

    // Never from https to http.
    publish(&server, "", &[("web", "1.0.1", &web(&site, "1.0.1"))]);
    server.set("web-1.0.1.tgz", Content::Redirect(server.url("web-1.0.0.tgz")));
    site.configure(&[sync(&site, &url, "1.0.1", &auth("authority"))]);
    let error = site.cli(&["render"]).expect_code(1).stderr;
    assert!(error.contains("which is not followed: it is not encrypted"), "{error}");
}
