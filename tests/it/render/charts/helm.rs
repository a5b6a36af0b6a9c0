//! What the official helm makes of a chart, driftless makes as well: output, hooks, releases, values, and when it is
//! rendered again.

use serde_json::{Value, json};

use super::fixture::{DEPLOYMENT, chart, site};
use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::deploy::{documents, helm};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

/// How often the chart was rendered.
fn renders(agent: &Agent) -> String {
    let counted = agent.metric("driftless_render_total", &["sync=\"shop\"", "result=\"success\""]);
    counted.unwrap_or_default().to_string()
}

#[test]
fn a_chart_renders_to_what_helm_template_prints() {
    let definition = crate::support::site::crd("charts.example.com");
    let files = chart(&[
        ("chart/templates/_helpers.tpl", "{{ define \"names\" }}{{ .Release.Name }}/{{ .Chart.Name }}{{ end }}\n"),
        (
            "chart/templates/more.yaml",
            "{{ range $index := until 3 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-{{ $index }}}\ndata: {names: '{{ include \"names\" $ }}', file: {{ $.Files.Get \"a.txt\" | quote }}}\n{{ end }}\n",
        ),
        ("chart/templates/NOTES.txt", "Installed {{ .Release.Name }}.\n"),
        ("chart/a.txt", "text: {{ not a template }}\n"),
        ("chart/crds/thing.yaml", &definition),
        ("prod.yaml", "replicas: 4\n"),
    ]);
    let site = site(
        &files,
        &json!({"helm": {
        "releaseName": "web", "valuesFiles": ["prod.yaml"], "values": {"message": "from the sync"}}}),
    );
    let objects: Vec<Value> = serde_json::from_str(&site.cli(&["render", "-o", "json"]).expect_code(0).stdout).unwrap();
    let chart = site.repo.work().join("chart").display().to_string();
    let values = site.repo.work().join("prod.yaml").display().to_string();
    let version = objects.iter().find_map(|object| object["data"]["version"].as_str()).unwrap().to_owned();
    let expected = helm(&[
        "template",
        "web",
        &chart,
        "--namespace",
        &site.namespace,
        "--values",
        &values,
        "--set",
        "message=from the sync",
        "--include-crds",
        "--api-versions",
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
        "--kube-version",
        &version,
    ])
    .expect_code(0);
    let mut expected = documents(&expected.stdout);
    assert_eq!(objects.len(), 6);
    let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    let mut found = objects.clone();
    found.sort_by_key(key);
    expected.sort_by_key(key);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["data"], expected["data"]);
        assert_eq!(found["spec"], expected["spec"]);
    }
    // The version is that of the cluster, which was named by --kubeconfig.
    assert_eq!(
        Some(version),
        cluster().get("/version").map(|version| version["gitVersion"].as_str().unwrap().to_owned())
    );
}

#[test]
fn only_what_a_chart_has_read_has_it_rendered_again() {
    let site = site(&chart(&[("README.md", "a"), ("chart/README.md", "a")]), &json!({}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(
        (renders(&agent), site.get("configmaps", "shop-config").unwrap()["data"]["crds"].clone()),
        ("1".to_owned(), json!("true"))
    );

    let commit = site.repo.commit(&[("README.md", "b"), ("other/values.yaml", "x: 1\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(renders(&agent), "1", "nothing of it was read");

    let commit = site.repo.commit(&[("chart/values.yaml", "replicas: 2\nmessage: hello\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(renders(&agent), "2");
    assert_eq!(site.get("deployments.apps", "shop-web").unwrap()["spec"]["replicas"], 2);

    // Back to plain drift: a chart's objects are healed as all are.
    site.edit("configmaps", "shop-config", "kubectl-edit", &json!({"data": {"message": "by hand"}}));
    eventually("it is healed", || {
        let message = site.get("configmaps", "shop-config").unwrap()["data"]["message"].clone();
        check(message == "hello", message)
    });
    assert_eq!(renders(&agent), "2");
}

#[test]
fn hooks_are_applied_in_their_order_and_tests_are_left_out() {
    let job = |name: &str, events: &str, weight: i32| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{events}', helm.sh/hook-weight: \
             '{weight}', helm.sh/hook-delete-policy: 'before-hook-creation,hook-succeeded'}}}}\nspec: {{template: {{spec: \
             {{restartPolicy: Never, containers: [{{name: a, image: 'a:{{{{ .Values.message }}}}'}}]}}}}}}\n"
        )
    };
    let (migrate, first) = (job("migrate", "pre-install,pre-upgrade", 5), job("first", "pre-install", -1));
    // Gone as soon as it has run, as the certificates of ingress-nginx make theirs.
    let brief =
        job("brief", "pre-install", 7).replace("spec: {template:", "spec: {ttlSecondsAfterFinished: 0, template:");
    let (notify, check_it, cleanup) =
        (job("notify", "post-install,post-upgrade", 0), job("check", "test", 0), job("cleanup", "pre-delete", 0));
    let files = chart(&[
        ("chart/templates/migrate.yaml", &migrate),
        ("chart/templates/first.yaml", &first),
        ("chart/templates/brief.yaml", &brief),
        ("chart/templates/notify.yaml", &notify),
        ("chart/templates/check.yaml", &check_it),
        ("chart/templates/cleanup.yaml", &cleanup),
    ]);
    let site = site(&files, &json!({}));
    if !cluster().runs_workloads() {
        return;
    }
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let created = |plural: &str, name: &str| {
        site.get(plural, name).unwrap()["metadata"]["creationTimestamp"].as_str().unwrap().to_owned()
    };
    let uid = |name: &str| site.get("jobs.batch", name).unwrap()["metadata"]["uid"].clone();
    let order = [
        ("jobs.batch", "first"),
        ("jobs.batch", "migrate"),
        ("deployments.apps", "shop-web"),
        ("jobs.batch", "notify"),
    ];
    let times: Vec<String> = order.iter().map(|(plural, name)| created(plural, name)).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(!site.has("jobs.batch", "check") && !site.has("jobs.batch", "cleanup"));
    eventually("the brief one is gone", || check(!site.has("jobs.batch", "brief"), "it is there"));
    agent.passes("shop", 1);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(!site.has("jobs.batch", "brief"), "it is not run again");
    let warned = agent.eventually_logs(&["cleanup", "pre-delete"]);
    assert!(warned.contains("not applied"), "{warned}");

    let (migrated, once) = (uid("migrate"), uid("first"));
    let commit = site.repo.commit(&[("chart/values.yaml", "replicas: 1\nmessage: v2\n")]);
    agent.eventually_synced("shop", &commit);
    assert_ne!(uid("migrate"), migrated, "it runs again, since it is another one");
    assert_eq!(uid("first"), once, "it is for the install alone");
    let migrated = uid("migrate");
    let commit = site.repo.commit(&[("chart/templates/web.yaml", &DEPLOYMENT.replace("web:1", "web:2"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(uid("migrate"), migrated, "nothing of it has changed");
}

#[test]
fn a_release_of_helm_install_is_adopted_without_a_restart() {
    let site = site(&chart(&[]), &json!({"helm": {"releaseName": "shop"}}));
    let chart = site.repo.work().join("chart").display().to_string();
    let kubeconfig = site.kubeconfig().display().to_string();
    helm(&["install", "shop", &chart, "--namespace", &site.namespace, "--kubeconfig", &kubeconfig]).expect_code(0);
    let before = site.get("deployments.apps", "shop-web").unwrap();
    site.once().expect_code(0);
    let after = site.get("deployments.apps", "shop-web").unwrap();
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["spec"], before["spec"]);
    // (Of a Deployment, a new annotation counts as a generation of its own.)
    let sets = cluster().get(&path("replicasets.apps", Some(&site.namespace), "")).unwrap();
    assert!(sets["items"].as_array().unwrap().len() <= 1, "no second ReplicaSet: nothing is rolled out");
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn another_renderer_prunes_nothing_unasked() {
    let site = Site::of_shop(&[
        ("a.yaml", &crate::support::site::config_map("a", "1")),
        ("b.yaml", &crate::support::site::config_map("b", "1")),
        ("kustomization.yaml", "resources: [a.yaml]\nnamePrefix: dev-\n"),
        (".driftlessignore", "kustomization.yaml\n"),
    ]);
    // Whoever was advised to name it there, when nothing built kustomizations, still has plain manifests.
    site.once().expect_code(0);
    assert_eq!(site.config_maps(), ["a", "b"]);
    site.repo.remove(".driftlessignore");
    site.repo.commit_all("the kustomization is meant now");
    let done = site.once().expect_code(4);
    assert!(done.all().contains("the renderer was plain and is kustomize"), "{}", done.all());
    assert_eq!(site.config_maps(), ["a", "b", "dev-a"]);
}
