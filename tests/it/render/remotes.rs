//! Charts and bases that lie on other hosts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::charts::{Registry, pack, publish, publish_index_of};
use crate::support::cluster::{cluster, path};
use crate::support::files::{Content, FileServer};
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::site::Site;
use crate::support::tls::{Authority, in_front_of};
use crate::support::wait::{check, eventually};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {version: '{{ .Chart.Version }}', from: '{{ .Values.from }}'}\n";

fn web(site: &Site, version: &str) -> PathBuf {
    pack(site.directory(), "web", version, &[("templates/config.yaml", CONFIG), ("values.yaml", "from: chart\n")])
}

/// A sync with a chart out of a repository, compared with it as often as that can be said.
fn sync(site: &Site, repository: &str, version: &str, more: &Value) -> Value {
    let mut sync = site.sync("shop");
    let mut helm =
        json!({"repository": repository, "chart": "web", "version": version, "valuesFiles": ["values.yaml"]});
    helm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sync["render"] = json!({"refresh": "1s", "helm": helm});
    sync
}

fn site() -> Site {
    let site = Site::with(&[("values.yaml", "from: git\n")]);
    site.make_namespace(&site.home);
    site
}

fn version(site: &Site) -> Option<String> {
    site.get("configmaps", "web").and_then(|map| map["data"]["version"].as_str().map(str::to_owned))
}

fn eventually_is(site: &Site, wanted: &str) {
    eventually("the version of the chart", || {
        check(version(site).as_deref() == Some(wanted), format_args!("{:?}", version(site)))
    });
}

fn secret(site: &Site, name: &str, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    cluster().create(path("secrets", Some(&site.home), "").trim_end_matches('/'), &object);
}

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

    // A replica that takes over while the repository is away has what it fetched at some time before.
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

#[test]
fn a_repository_names_only_hosts_that_the_configuration_does() {
    let server = FileServer::start();
    let base = server.url("base.yaml");
    let chart = format!(
        "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies:\n- {{name: web, version: 1.0.0, repository: '{}'}}\n",
        server.url("")
    );
    let files = [
        ("overlay/kustomization.yaml", format!("resources:\n- {base}\n")),
        ("chart/Chart.yaml", chart),
        ("chart/templates/own.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let site = Site::with(&files);
    let archive = web(&site, "1.0.0");
    publish(&server, "", &[("web", "1.0.0", &archive)]);
    server.put("base.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base}\n");
    let host = format!("http://{}", server.address);
    for (at, object) in [("overlay", "name: base"), ("chart", "name: web")] {
        let with = |render: Value| {
            let mut sync = site.sync("shop");
            (sync["path"], sync["render"]) = (json!(at), render);
            site.configure(&[sync]);
            site.cli(&["render"])
        };
        let refused = with(json!({})).expect_code(1).stderr;
        assert!(
            refused.contains(&format!("{at}/")) && refused.contains(&format!("add {host} to render.remoteHosts")),
            "{refused}"
        );
        assert_eq!(server.requests("base.yaml") + server.requests("index.yaml"), usize::from(at == "chart"));
        let rendered = with(json!({"remoteHosts": [host]})).expect_code(0).stdout;
        assert!(rendered.contains(object), "{rendered}");
    }
}

#[test]
fn a_remote_base_follows_its_branch_and_a_commit_stays() {
    let base = TestRepo::with(&[
        ("base/kustomization.yaml", "resources: [map.yaml, ../shared]\n"),
        ("base/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {version: one}\n"),
        ("shared/kustomization.yaml", "resources: [map.yaml]\n"),
        ("shared/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\n"),
    ]);
    let server = GitHttp::start(base.root());
    // As the large hosts do: what no branch and no tag is at is sent by its id.
    base.git_bare(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let one = base.head();
    let overlay = |reference: &str| format!("resources:\n- {}//base?ref={reference}\nnamePrefix: p-\n", server.url());
    let site = Site::with(&[("overlay/kustomization.yaml", &overlay("main"))]);
    let mut sync = site.sync("shop");
    let host = server.url().rsplit_once('/').unwrap().0.to_owned();
    (sync["path"], sync["render"]) = (json!("overlay"), json!({"refresh": "1s", "remoteHosts": [host]}));
    site.configure(&[sync]);
    let version = |site: &Site| site.get("configmaps", "p-web").map(|map| map["data"]["version"].clone());
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(version(&site), Some(json!("one")));
    assert!(site.has("configmaps", "p-shared"));
    let rendered = site.cli(&["render"]).expect_code(0).stdout;
    assert!(rendered.contains("name: p-web"), "{rendered}");

    let two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {version: two}\n";
    base.commit(&[("base/map.yaml", two)]);
    eventually("what the branch has now", || check(version(&site) == Some(json!("two")), "not yet"));
    agent.eventually_synced("shop", &site.repo.head());

    // With its id, and without the server once it was fetched.
    let commit = site.repo.commit(&[("overlay/kustomization.yaml", &overlay(&one))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(version(&site), Some(json!("one")));
    server.behave(Behaviour::Unavailable);
    let changed = overlay(&one).replace("p-", "q-");
    let commit = site.repo.commit(&[("overlay/kustomization.yaml", &changed)]);
    agent.eventually_synced("shop", &commit);
    assert!(site.has("configmaps", "q-web"));
    // No clone of it is left.
    let clones = std::fs::read_dir(site.data_dir().join("git")).unwrap();
    let names: Vec<String> = clones.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with("base-")), "{names:?}");
}

#[test]
fn charts_of_a_kustomization_are_rendered_where_that_is_allowed() {
    let server = FileServer::start();
    let overlay = format!(
        "helmCharts:\n- {{name: web, repo: '{}', version: 1.0.0, releaseName: web}}\nnamePrefix: p-\n",
        server.url("").trim_end_matches('/')
    );
    let site = Site::with(&[("overlay/kustomization.yaml", &overlay)]);
    publish(&server, "", &[("web", "1.0.0", &web(&site, "1.0.0"))]);
    let with = |render: Value| {
        let mut sync = site.sync("shop");
        (sync["path"], sync["render"]) = (json!("overlay"), render);
        site.configure(&[sync]);
        site.cli(&["render"])
    };
    let host = format!("http://{}", server.address);
    let refused = with(json!({"remoteHosts": [host]})).expect_code(1).stderr;
    assert!(
        refused.contains("overlay/kustomization.yaml:2: helmCharts[0]")
            && refused.contains("render.kustomize.helmCharts"),
        "{refused}"
    );
    let refused = with(json!({"kustomize": {"helmCharts": true}})).expect_code(1).stderr;
    assert!(refused.contains(&format!("add {host} to render.remoteHosts")), "{refused}");
    let rendered = with(json!({"kustomize": {"helmCharts": true}, "remoteHosts": [host]})).expect_code(0).stdout;
    assert!(rendered.contains("name: p-web") && rendered.contains("from: chart"), "{rendered}");
}
