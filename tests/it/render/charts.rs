//! Helm charts, rendered as the official helm renders them, and kept in the cluster like anything else.

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::deploy::{documents, helm};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

const CHART: &str = "apiVersion: v2\nname: shop\nversion: 1.2.3\n";
const VALUES: &str = "replicas: 1\nmessage: hello\n";
const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-config'}\ndata:\n  message: \
                      {{ .Values.message | quote }}\n  version: {{ .Capabilities.KubeVersion.Version | quote }}\n  \
                      crds: {{ .Capabilities.APIVersions.Has \"apiextensions.k8s.io/v1/CustomResourceDefinition\" | quote }}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: '{{ .Release.Name }}-web'}\nspec:\n  \
                          replicas: {{ .Values.replicas }}\n  selector: {matchLabels: {app: web}}\n  template:\n    \
                          metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'web:1'}]}\n";

/// A chart with these templates beside the two above.
fn chart<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut files = vec![
        ("chart/Chart.yaml", CHART),
        ("chart/values.yaml", VALUES),
        ("chart/templates/config.yaml", CONFIG),
        ("chart/templates/web.yaml", DEPLOYMENT),
    ];
    files.extend(more);
    files
}

fn site(files: &[(&str, &str)], render: &Value) -> Site {
    let site = Site::with(files);
    site.configure(&[sync(&site, render)]);
    site
}

fn sync(site: &Site, render: &Value) -> Value {
    let mut sync = site.sync("shop");
    sync["path"] = json!("chart");
    sync["render"] = render.clone();
    sync
}

/// How often the chart was rendered.
fn renders(agent: &Agent) -> String {
    let counted = agent.metric("driftless_render_total", &["sync=\"shop\"", "result=\"success\""]);
    counted.unwrap_or_default().to_string()
}

fn secret(site: &Site, name: &str, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let home = path("secrets", Some(&site.home), "");
    cluster().create(home.trim_end_matches('/'), &object);
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
fn values_in_a_secret_are_applied_when_they_change_and_are_shown_nowhere() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: leaky}\ndata: {url: 'postgres://shop:{{ .Values.password }}@db'}\n";
    let site = site(
        &chart(&[("chart/templates/leaky.yaml", template)]),
        &json!({"helm": {"valuesFrom": [{"kind": "Secret", "name": "shop-values"}]}}),
    );
    site.make_namespace(&site.home);
    secret(&site, "shop-values", &json!({"values.yaml": "password: canary-one\nreplicas: 3\n"}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let url = || site.get("configmaps", "leaky").unwrap()["data"]["url"].as_str().unwrap().to_owned();
    assert_eq!(url(), "postgres://shop:canary-one@db");
    assert_eq!(site.get("deployments.apps", "shop-web").unwrap()["spec"]["replicas"], 3);

    let values = path("secrets", Some(&site.home), "shop-values");
    cluster().merge(
        &values,
        "somebody",
        &json!({"stringData": {"values.yaml": "password: canary-two\nreplicas: 4\n"}}),
    );
    eventually("the new values are applied without a commit", || check(url().contains("canary-two"), url()));
    eventually("all of it", || {
        let replicas = site.get("deployments.apps", "shop-web").unwrap()["spec"]["replicas"].clone();
        check(replicas == 4, replicas)
    });

    site.edit("configmaps", "leaky", "kubectl-edit", &json!({"data": {"url": "canary-three"}}));
    eventually("it is healed", || check(url().contains("canary-two"), url()));
    let explained = site.cli(&["explain", "configmap/leaky"]).expect_code(0).all();
    agent.eventually_logs(&["drift in ConfigMap", "leaky", "kubectl-edit changed data.url"]);
    site.edit(
        "configmaps",
        "leaky",
        "kubectl-edit",
        &json!({"metadata": {"annotations": {"driftless.dev/digest": "x"}}}),
    );
    let all = [
        agent.log().join("\n"),
        agent.http("/status").1,
        agent.metrics(),
        explained,
        site.cli(&["plan"]).all(),
        site.cli(&["render"]).all(),
        site.cli(&["status"]).all(),
        cluster().get(&path("events", Some(&site.home), "")).unwrap_or_default().to_string(),
        cluster().get(&path("configmaps", Some(&site.home), "")).unwrap_or_default().to_string(),
    ];
    for text in &all {
        assert!(!text.contains("canary"), "{text}");
    }

    // Without the Secret the last rendering stays, and the error names what is missing.
    cluster().delete(&values);
    let sync = agent.eventually_is("shop", "Failing");
    assert!(sync.to_string().contains("shop-values, which render.helm.valuesFrom names, is not there"), "{sync}");
    assert_eq!(url(), "postgres://shop:canary-two@db");
}

#[test]
fn what_a_chart_sets_at_random_is_set_once_and_named() {
    let template = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {user: shop, password: '{{ randAlphaNum 12 }}'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: built, annotations: {at: '{{ now | date \"2006-01-02T15:04:05\" }}'}}\ndata: {a: '{{ .Values.message }}'}\n";
    let site = site(&chart(&[("chart/templates/login.yaml", template)]), &json!({}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let state = || {
        let login = site.get("secrets", "login").unwrap();
        let built = site.get("configmaps", "built").unwrap();
        (login["data"]["password"].clone(), built["metadata"]["annotations"]["at"].clone(), built["data"]["a"].clone())
    };
    let (password, at, _) = state();
    let plan = site.cli(&["plan"]).expect_code(0).all();
    assert!(plan.contains("data.password") && plan.contains("another value at each render"), "{plan}");

    let commit = site.repo.commit(&[("chart/values.yaml", "replicas: 1\nmessage: bye\n")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(state(), (password.clone(), at, json!("bye")), "rendered again, and not set again");
    let quiet = audit::mark();
    agent.passes("shop", 3);
    if let Some(mark) = quiet {
        let written: Vec<_> = site
            .writes(mark)
            .into_iter()
            .filter(|asked| asked.what.contains("login") || asked.what.contains("built"))
            .collect();
        assert!(written.is_empty(), "{written:?}");
    }
    // Made anew it has a password again.
    site.delete("secrets", "login");
    eventually("it is made again", || {
        let found = site.get("secrets", "login").map(|login| login["data"]["password"].clone());
        check(found.as_ref().is_some_and(|found| found.is_string() && *found != Value::Null), format!("{found:?}"))
    });

    let commit = site.repo.commit(&[(
        "chart/templates/job.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'c-{{ randAlpha 5 | lower }}'}\n",
    )]);
    let sync = agent.eventually_is("shop", "Failing");
    assert!(sync.to_string().contains("job.yaml renders ConfigMap"), "{commit} {sync}");
}

#[test]
fn a_template_that_looks_something_up_is_answered_by_the_cluster() {
    let template = "{{- $known := lookup \"v1\" \"Secret\" .Release.Namespace \"given\" }}\n{{- $maps := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"\" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: found}\ndata:\n  given: {{ if $known }}{{ $known.data.a | b64dec }}{{ else }}nothing{{ end }}\n  none: {{ len (lookup \"v1\" \"Secret\" .Release.Namespace \"nobody\") | quote }}\n  ca: {{ range ($maps.items | default list) }}{{ if eq .metadata.name \"kube-root-ca.crt\" }}there{{ end }}{{ end }}\n";
    let site = site(&chart(&[("chart/templates/found.yaml", template)]), &json!({}));
    let secrets = path("secrets", Some(&site.namespace), "");
    let given =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given"}, "stringData": {"a": "one"}});
    cluster().create(secrets.trim_end_matches('/'), &given);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let data = || site.get("configmaps", "found").unwrap()["data"].clone();
    assert_eq!(data(), json!({"given": "one", "none": "0", "ca": "there"}));
    cluster().merge(&path("secrets", Some(&site.namespace), "given"), "x", &json!({"stringData": {"a": "two"}}));
    let commit = site.repo.commit(&[("README.md", "the answer is an input of the render")]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(data()["given"], "two");
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
fn errors_of_charts_keep_their_place() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("chart/templates/bad.yaml", "a: {{ .Values.x.y.z }}\n", &["chart/templates/bad.yaml:1"]),
        ("chart/templates/bad.yaml", "\n{{ fail \"no luck\" }}\n", &["chart/templates/bad.yaml:2", "no luck"]),
        ("chart/templates/bad.yaml", "{{ if }}\n", &["chart/templates/bad.yaml:1"]),
        (
            "chart/values.schema.json",
            "{\"properties\": {\"replicas\": {\"type\": \"string\"}}}",
            &["replicas", "chart/values"],
        ),
        (
            "chart/Chart.yaml",
            "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.x, repository: 'https://example.com'}]\n",
            &["chart/Chart.yaml", "db", "helm dependency"],
        ),
        (
            "chart/templates/bad.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: {{ .Values.replicas }}}\n",
            &["chart/templates/bad.yaml", "data.a"],
        ),
    ];
    for (file, text, parts) in cases {
        let site = site(&chart(&[(file, text)]), &json!({}));
        let done = site.once().expect_code(1);
        for part in parts {
            assert!(done.all().contains(part), "{file}: {part} in {}", done.all());
        }
        assert!(
            !site.has("configmaps", "shop-config") || file == "chart/templates/bad.yaml" && text.contains("data: {a")
        );
    }
}

#[test]
fn a_chart_that_never_ends_stops_itself_alone() {
    let endless = "{{ define \"x\" }}{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}{{ end }}{{ include \"x\" . }}\n";
    let site = Site::with(&chart(&[("bad/Chart.yaml", CHART), ("bad/templates/x.yaml", endless)]));
    let mut bad = sync(&site, &json!({"timeout": "3s"}));
    (bad["name"], bad["path"]) = (json!("bad"), json!("bad"));
    site.configure(&[sync(&site, &json!({})), bad]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let failing = agent.eventually_is("bad", "Failing");
    assert!(failing.to_string().contains("did not end within 3 s"), "{failing}");
    let commit = site.repo.commit(&[("chart/values.yaml", "replicas: 2\nmessage: hello\n")]);
    agent.eventually_synced("shop", &commit);
}

/// What a template sees of the cluster is what its sync may see.
#[test]
fn a_lookup_has_the_rights_of_the_sync() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: spy}\ndata: {key: '{{ (lookup \"v1\" \"Secret\" \"kube-system\" \"key\").data.key }}'}\n";
    let site = Site::with(&chart(&[]));
    site.repo.commit(&[("chart/templates/spy.yaml", template)]);
    let accounts = path("serviceaccounts", Some(&site.namespace), "");
    cluster().create(
        accounts.trim_end_matches('/'),
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}}),
    );
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": site.namespace}]});
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", site.namespace);
    cluster().ask(&Method::POST, &bindings, "application/json", Some(&role)).unwrap();
    let mut sync = sync(&site, &json!({}));
    sync["serviceAccount"] = json!(format!("{}/deployer", site.namespace));
    site.configure(&[sync]);
    let done = site.once().expect_code(1);
    assert!(done.all().contains("lookup of Secret") && done.all().contains("no permission"), "{}", done.all());
    assert!(!site.has("configmaps", "spy"));

    // With the agent's own rights, which reach further, what is the agent's stays closed.
    let home = template.replace("kube-system", &site.home);
    site.repo.commit(&[("chart/templates/spy.yaml", &home)]);
    site.configure(&[self::sync(&site, &json!({}))]);
    let done = site.once().expect_code(1);
    assert!(done.all().contains("no template may read Secrets"), "{}", done.all());
}

/// A chart that makes a Secret only where there is none leaves it out from then on.
#[test]
fn what_a_chart_makes_only_where_it_is_missing_is_not_pruned() {
    let template = "{{- if not (lookup \"v1\" \"Secret\" .Release.Namespace \"made\") }}\napiVersion: v1\nkind: Secret\nmetadata: {name: made}\nstringData: {password: '{{ randAlphaNum 9 }}'}\n{{- end }}\n";
    let site = site(&chart(&[("chart/templates/made.yaml", template)]), &json!({}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let uid = || site.get("secrets", "made").map(|made| made["metadata"]["uid"].clone());
    let first = uid();
    assert!(first.is_some());
    let commit = site.repo.commit(&[("README.md", "a")]);
    agent.eventually_synced("shop", &commit);
    agent.passes("shop", 2);
    assert_eq!(uid(), first);
    let plan = site.cli(&["plan"]).expect_code(0).all();
    assert!(plan.contains("the chart looks it up"), "{plan}");
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

#[test]
fn secret_values_are_in_no_error_of_a_chart() {
    let schema = "{\"properties\": {\"password\": {\"type\": \"string\", \"pattern\": \"^[a-z]*$\"}}}";
    let fails = "{{ fail (printf \"cannot use %s\" .Values.password) }}\n";
    for (file, text) in [("chart/values.schema.json", schema), ("chart/templates/fails.yaml", fails)] {
        let site = site(
            &chart(&[(file, text)]),
            &json!({"helm": {"valuesFrom": [{"kind": "Secret", "name": "shop-values"}]}}),
        );
        site.make_namespace(&site.home);
        secret(&site, "shop-values", &json!({"values.yaml": "password: Canary-one\n"}));
        let done = site.once().expect_code(1);
        assert!(done.all().contains(if file.ends_with("json") { "password" } else { "cannot use" }), "{}", done.all());
        assert!(!done.all().contains("Canary"), "{}", done.all());
        assert!(!site.cli(&["status"]).all().contains("Canary"));
    }
}
