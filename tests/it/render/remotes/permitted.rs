//! What a repository itself names of other hosts: bases and charts, where the configuration permits them.

use serde_json::{Value, json};

use super::fixture::web;
use crate::support::agent::Agent;
use crate::support::charts::publish;
use crate::support::files::FileServer;
use crate::support::git::TestRepo;
use crate::support::githttp::{Behaviour, GitHttp};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

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
