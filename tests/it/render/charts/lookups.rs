//! What differs at each render: what a template asks of the cluster, and what it sets at random.

use http::Method;
use serde_json::{Value, json};

use super::fixture::{chart, site, sync};
use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

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
