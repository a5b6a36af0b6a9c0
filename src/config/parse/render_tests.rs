use std::time::Duration;

use super::super::parse;
use crate::config::{RenderConfig, Renderer, SandboxMode};

/// A sync with these keys under `render`, the first of them on line 5.
fn with(keys: &str) -> String {
    let indented: Vec<String> = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("syncs:\n- name: shop\n  source: {{url: 'https://h/x', branch: main}}\n  render:\n{}", indented.concat())
}

fn render(keys: &str) -> RenderConfig {
    RenderConfig::clone(&parse(&with(keys), "c.yaml").unwrap().syncs[0].render)
}

fn error(keys: &str) -> String {
    parse(&with(keys), "c.yaml").unwrap_err().to_string()
}

#[test]
fn what_is_left_out_has_its_default() {
    let nothing = render("renderer: auto");
    assert_eq!(nothing, RenderConfig::default());
    assert_eq!((nothing.timeout, nothing.sandbox), (Duration::from_mins(1), SandboxMode::Required));
    assert!(nothing.helm.include_crds && nothing.substitution.is_none() && nothing.post.is_empty());
    assert!(nothing.read_in_cluster().is_empty());
}

#[test]
fn everything_that_is_written_is_read() {
    let read = render(
        "root: deploy\nsandbox: best-effort\ntimeout: 5s\nhelm:\n  chart: charts/shop\n  releaseName: web\n  values: {a: {b: [1, 'x']}}\n  \
         valuesFiles: [a.yaml, b.yaml]\n  valuesFrom: [{kind: Secret, name: s}, {kind: ConfigMap, name: c, key: k, optional: true}]\n  \
         includeCRDs: false\n  kubeVersion: v1.33.1\n  apiVersions: [a/v1]\nsubstitute: {A: '1', B: x}\nsubstituteFrom: [{kind: ConfigMap, name: v}]\n\
         commonLabels: {l: m}\ncommonAnnotations: {n: o}\nnamePrefix: p-\npatches: [{patch: 'a: b', target: {kind: Deployment}}]\nrestartOnChange: true\n\
         decrypt: {secret: keys, kms: true}",
    );
    // A chart that is named is meant.
    assert_eq!((read.renderer, read.root.as_str()), (Renderer::Helm, "deploy"));
    assert_eq!(read.helm.values["a"]["b"], serde_json::json!([1, "x"]));
    assert_eq!(read.helm.values_from[0].key.as_ref(), "values.yaml");
    assert!(read.helm.values_from[1].source.optional && !read.helm.include_crds && read.restart_on_change);
    assert_eq!(read.substitution.as_ref().unwrap().variables.len(), 2);
    assert_eq!((read.post.labels["l"].as_str(), read.post.name_prefix.as_deref()), ("m", Some("p-")));
    let names: Vec<String> = read.read_in_cluster().into_iter().map(|source| source.name.to_string()).collect();
    assert_eq!(names, ["c", "v", "keys", "s"]);
}

#[test]
fn a_chart_out_of_a_repository_is_read_with_what_it_may_fetch_from() {
    let read = render(
        "helm: {repository: 'oci://r.example.com/charts/', chart: web, version: ^1.2, auth: {secret: registry}}\n\
         kustomize: {helmCharts: true}\nremoteHosts: [github.com, 'http://10.0.0.1:8080']\nrefresh: 5m",
    );
    let remote = read.helm.remote.clone().unwrap();
    assert_eq!((&*remote.repository, &*remote.chart, &*remote.version), ("oci://r.example.com/charts", "web", "^1.2"));
    assert_eq!((read.renderer, read.refresh), (Renderer::Helm, Duration::from_mins(5)));
    assert!(read.kustomize_helm_charts && read.helm.chart.is_none());
    assert_eq!(
        read.remote_hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["github.com", "http://10.0.0.1:8080"]
    );
    let names: Vec<String> = read.read_in_cluster().into_iter().map(|source| source.name.to_string()).collect();
    assert_eq!(names, ["registry"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_to_do() {
    for (keys, expected) in [
        ("renderer: jsonnet", "5:15: `jsonnet` is no renderer; write auto, plain, kustomize or helm"),
        ("sandbox: off", "5:14: `off` is no mode of the sandbox; write required or best-effort"),
        (
            "renderer: kustomize\nhelm: {chart: a}",
            "5:15: helm is set, and the renderer is kustomize; leave one of them out",
        ),
        (
            "helm: {chart: 'oci://r/a/x'}",
            "5:19: without repository, a chart is a directory or a .tgz file in the git repository; write `x` as chart, what \
             is before it as repository, and a version",
        ),
        ("helm: {version: '1'}", "5:21: version is for a chart out of repository"),
        ("helm: {chart: a, auth: {secret: s}}", "auth is for a chart out of repository"),
        ("helm: {repository: 'https://h', chart: a}", "5:24: repository is set, and version is not"),
        ("helm: {repository: 'https://h', version: '1'}", "5:24: repository is set, and chart is not"),
        ("helm: {repository: 'https://u:p@h', chart: a, version: '1'}", "into a Secret that auth names"),
        ("helm: {repository: 'https://h', chart: a/b, version: '1'}", "`a/b` is no name of a chart"),
        ("remoteHosts: ['https://github.com']", "is no host; write its name alone"),
        ("refresh: 1d", "is no duration"),
        ("kustomize: {enableHelm: true}", "unknown key `enableHelm`"),
        ("helm: {chart: ../x}", "is no path inside a repository"),
        ("helm: {skipTests: false}", "5:23: test hooks are never applied"),
        ("helm: {releaseName: Web_1}", "is no name of a release"),
        ("helm: {kubeVersion: new}", "`new` is no version of Kubernetes"),
        ("helm: {valuesFrom: [{kind: Pod, name: a}]}", "`Pod` is neither ConfigMap nor Secret"),
        ("substitute: {1A: x}", "`1A` is no name of a variable"),
        ("namePrefix: Prod", "`Prod` cannot begin a name"),
        ("patches: [{patch: ' '}]", "the patch is empty"),
        ("decrypt: {secret: A_b}", "`A_b` is no name of an object"),
        ("helm: {value: {}}", "unknown key `value`"),
    ] {
        let found = error(keys);
        assert!(found.contains(expected), "{keys}: {found}");
    }
}

#[test]
fn the_release_and_the_sync_have_one_namespace() {
    let text = with("helm: {namespace: web}");
    assert_eq!(parse(&text, "c.yaml").unwrap().syncs[0].target_namespace.as_deref(), Some("web"));
    let text = text.replace("  render:", "  targetNamespace: shop\n  render:");
    let error = parse(&text, "c.yaml").unwrap_err().to_string();
    assert!(error.contains("targetNamespace is shop, and the release is in `web`"), "{error}");
}
