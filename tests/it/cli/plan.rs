//! `driftless plan` and `driftless render`: what would change, shown and not done.

use serde_json::{Value, json};

use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::process::Finished;
use crate::support::site::{Site, config_map, deployment};

fn secret(value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: {value}\n")
}

/// A site that is synced to a `ConfigMap` `a`, a Secret `login` and `old`, and then gets a commit
/// that changes the first two, adds `new` and removes `old`.
fn with_changes() -> Site {
    let site = Site::of_shop(&[
        ("a.yaml", &config_map("a", "before")),
        ("login.yaml", &secret("first-value")),
        ("old.yaml", &config_map("old", "1")),
        ("same.yaml", &config_map("same", "1")),
    ]);
    site.once().expect_code(0);
    site.repo.remove("old.yaml");
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "after")),
        ("login.yaml", &secret("other-value")),
        ("new.yaml", &config_map("new", "1")),
    ]);
    site
}

fn assert_shows_the_changes(plan: &Finished) {
    let text = &plan.stdout;
    for part in ["create", "configure", "prune", "/a", "/new", "/old", "before", "after", "a.yaml:1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_plan_shows_what_would_change_and_changes_nothing() {
    let site = with_changes();
    let mark = audit::mark();
    let plan = site.cli(&["plan"]).expect_code(2);
    assert_shows_the_changes(&plan);
    assert!(plan.stdout.contains("1 to create, 2 to configure, 1 to prune, 1 unchanged"), "{}", plan.stdout);
    if let Some(mark) = mark {
        assert_eq!(site.writes(mark), []);
    }
    assert_eq!(site.config_maps(), ["a", "old", "same"]);
    assert_eq!(site.value_of("a").as_deref(), Some("before"));

    site.once().expect_code(0);
    let after = site.cli(&["plan"]).expect_code(0);
    assert!(after.stdout.contains("nothing is to change"), "{}", after.stdout);
    assert_eq!(site.config_maps(), ["a", "new", "same"]);
}

#[test]
fn a_plan_shows_what_somebody_changed_by_hand() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    site.once().expect_code(0);
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    site.delete("configmaps", "b");
    let plan = site.cli(&["plan"]).expect_code(2);
    for part in ["changed by somebody", "deleted by somebody", "by hand"] {
        assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
    }
}

#[test]
fn a_plan_says_that_the_guard_would_hold() {
    let files: Vec<(String, String)> =
        (0..8).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::of_shop(&files);
    site.once().expect_code(0);
    for number in 0..7 {
        site.repo.remove(&format!("{number}.yaml"));
    }
    site.repo.commit_all("seven less");
    let plan = site.cli(&["plan"]).expect_code(4);
    assert!(plan.stdout.contains("7 of 8") && plan.stdout.contains("driftless approve shop"), "{}", plan.stdout);
}

#[test]
fn an_object_that_would_be_refused_fails_the_plan() {
    let site = Site::of_shop(&[(
        "bad.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n",
    )]);
    let plan = site.cli(&["plan"]).expect_code(1);
    assert!(plan.all().contains("bad.yaml:1") && plan.all().contains("99999"), "{}", plan.all());
    assert!(!site.has("services", "bad"));
}

/// The two values differ in length, and one pair is equal: nothing of that may show.
#[test]
fn a_plan_hides_the_values_of_secrets_and_even_whether_they_are_alike() {
    let pair = |first: &str, second: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: pair}}\nstringData: {{first: {first}, second: {second}}}\n"
        )
    };
    let outputs =
        [("hunter2-hunter2", "hunter2-hunter2"), ("hunter2", "hunter2-other-and-longer")].map(|(one, two)| {
            let site = Site::of_shop(&[("pair.yaml", &pair("old", "old"))]);
            site.once().expect_code(0);
            site.repo.commit(&[("pair.yaml", &pair(one, two))]);
            let forms = ["text", "json", "yaml", "markdown"];
            let printed = forms.map(|form| site.cli(&["plan", "--output", form]).expect_code(2).all()).concat();
            let rendered = site.cli(&["render"]).expect_code(0).all();
            let all = printed + &rendered;
            // In clear text and in base64, which two of three alignments of "hunter2" share.
            for needle in ["hunter2", "aHVudGVyM", "b2xk"] {
                assert!(!all.contains(needle), "{all}");
            }
            // Names and commits differ between the two sites, and nothing else may.
            let commit = site.repo.head();
            let digests = all.lines().filter(|line| !line.contains("driftless.dev/digest"));
            let text = digests.collect::<Vec<_>>().join("\n");
            text.replace(&commit, "COMMIT").replace(&commit[..12], "COMMIT").replace(&site.id, "ID")
        });
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn a_plan_of_a_checkout_shows_what_pushing_it_would_change() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "before"))]);
    site.once().expect_code(0);
    site.repo.write("a.yaml", config_map("a", "not committed"));
    let checkout = site.repo.work();
    let checkout = checkout.to_str().expect("a path");
    let plan = site.cli(&["plan", "--sync", "shop", "--local", checkout]).expect_code(2);
    assert!(plan.stdout.contains("not committed"), "{}", plan.stdout);
    site.cli(&["plan"]).expect_code(0);
    let unknown = site.cli(&["plan", "--sync", "nothing"]).expect_code(1);
    assert!(unknown.stderr.contains("shop"), "it names those that there are: {}", unknown.stderr);
}

#[test]
fn every_form_of_a_plan_says_the_same() {
    let site = with_changes();
    let json: Value =
        serde_json::from_str(&site.cli(&["plan", "--output", "json"]).expect_code(2).stdout).expect("JSON");
    let yaml: Value =
        serde_saphyr::from_str(&site.cli(&["plan", "--output", "yaml"]).expect_code(2).stdout).expect("YAML");
    assert_eq!(json, yaml);
    let plan = &json[0];
    assert_eq!(
        (&plan["sync"], &plan["create"], &plan["configure"], &plan["prune"]),
        (&json!("shop"), &json!(1), &json!(2), &json!(1))
    );
    let verbs: Vec<&str> =
        plan["steps"].as_array().expect("steps").iter().filter_map(|step| step["verb"].as_str()).collect();
    assert_eq!(verbs.iter().filter(|verb| **verb == "configure").count(), 2, "{verbs:?}");
    let markdown = site.cli(&["plan", "--output", "markdown"]).expect_code(2).stdout;
    let commit = &site.repo.head()[..12];
    assert!(markdown.contains(&format!("| shop | `{commit}` | 1 | 2 | 1 | 1 |")), "{markdown}");
    assert!(markdown.contains("```diff\n") && !markdown.contains('\u{1b}'), "{markdown}");
}

#[test]
fn rendering_prints_the_manifests_with_secrets_hidden() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("login.yaml", &secret("hunter2"))]);
    let text = site.cli(&["render"]).expect_code(0).stdout;
    assert!(text.contains("# shop a.yaml:1") && !text.contains("hunter2"), "{text}");
    let objects: Value =
        serde_json::from_str(&site.cli(&["render", "-o", "json"]).expect_code(0).stdout).expect("JSON");
    assert_eq!(objects.as_array().map(Vec::len), Some(2));
    // What is printed can be applied.
    let dry = ["apply", "--server-side", "--dry-run=server", "--namespace", &site.namespace, "--filename", "-"];
    cluster().kubectl_with(&dry, Some(&text.replace("<hidden>", "aGk=")), &[]).expect_code(0);
    let shown = site.cli(&["render", "--show-secrets"]).expect_code(0).stdout;
    assert!(shown.contains("aHVudGVyMg=="), "{shown}");
    site.repo.commit(&[("bad.yaml", "kind: [\n")]);
    assert!(site.cli(&["render"]).expect_code(1).stderr.contains("bad.yaml:"));
}

/// Binds the user `reader` of a site to `get` and `list` of some resources in its namespaces.
fn let_read(site: &Site, core: &[&str]) {
    for namespace in [&site.namespace, &site.home] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "viewer"},
        "rules": [
            {"apiGroups": [""], "resources": core, "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
        ]});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "viewer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
            "subjects": [{"kind": "User", "name": site.reader(), "apiGroup": "rbac.authorization.k8s.io"}]});
        cluster().create(&path("roles.rbac.authorization.k8s.io", Some(namespace), ""), &role);
        cluster().create(&path("rolebindings.rbac.authorization.k8s.io", Some(namespace), ""), &binding);
    }
}

/// Scenario 31
#[test]
fn a_plan_works_with_the_permission_to_read_alone() {
    if cluster().is_foreign() {
        return;
    }
    let site = with_changes();
    site.repo.commit(&[("web.yaml", &deployment("web", "nginx"))]);
    let_read(&site, &["configmaps", "secrets"]);
    let plan = site.cli(&["plan", "--context", "reader"]).expect_code(2);
    assert_shows_the_changes(&plan);
    assert!(plan.stdout.contains("compared by what git declares"), "it says how it compared: {}", plan.stdout);
    for value in ["first-value", "other-value", "Zmlyc3QtdmFsdWU", "b3RoZXItdmFsdWU"] {
        assert!(!plan.all().contains(value), "{}", plan.all());
    }

    site.cli(&["run", "--once"]).code.expect("it ends");
    let quiet = site.cli(&["plan", "--context", "reader"]);
    assert!(!quiet.stdout.contains("configure ConfigMap"), "{}", quiet.stdout);
}

/// Scenario 31
#[test]
fn a_plan_without_the_permission_to_read_secrets_compares_the_rest_and_says_so() {
    if cluster().is_foreign() {
        return;
    }
    let site = with_changes();
    let_read(&site, &["configmaps"]);
    let plan = site.cli(&["plan", "--context", "reader"]).expect_code(2);
    assert_shows_the_changes(&plan);
    let says_so = plan.stdout.lines().any(|line| line.contains("Secret") && line.contains("not compared"));
    assert!(says_so, "{}", plan.stdout);
}
