//! Reading without writing: the role that the documentation gives to people and to CI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cluster::{cluster, path};
use crate::support::process::{Finished, run};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::eventually;

const ROLE: &str = "driftless-reader";

/// One object of each kind that the role names, and some that `view` covers.
fn everything(site: &Site) -> String {
    let id = &site.id;
    let rbac = "apiVersion: rbac.authorization.k8s.io/v1";
    let reference = "roleRef: {apiGroup: rbac.authorization.k8s.io, kind:";
    [
        config_map("a", "1"),
        deployment("web", "nginx"),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n".into(),
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n".into(),
        format!("{rbac}\nkind: Role\nmetadata: {{name: r}}\nrules: []\n"),
        format!("{rbac}\nkind: RoleBinding\nmetadata: {{name: r}}\n{reference} Role, name: r}}\n"),
        format!("{rbac}\nkind: ClusterRole\nmetadata: {{name: it-{id}}}\nrules: []\n"),
        format!("{rbac}\nkind: ClusterRoleBinding\nmetadata: {{name: it-{id}}}\n{reference} ClusterRole, name: it-{id}}}\n"),
        format!("apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: it-{id}}}\nprovisioner: example.com/none\n"),
        format!("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: it-{id}}}\nspec: {{controller: example.com/none}}\n"),
        format!("apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: it-{id}}}\nvalue: 1\n"),
        crate::support::site::crd(&format!("{id}.example.com")),
    ]
    .join("---\n")
}

/// A kubeconfig of somebody in the group.
fn kubeconfig(site: &Site) -> PathBuf {
    let text = std::fs::read_to_string(&cluster().kubeconfig).expect("a kubeconfig");
    let mut config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
    for user in config["users"].as_array_mut().expect("users") {
        user["user"]["as"] = json!("ci");
        user["user"]["as-groups"] = json!(["driftless-readers", "system:authenticated"]);
    }
    let file = site.scratch("reader.kubeconfig");
    std::fs::write(&file, config.to_string()).expect("a file");
    file
}

#[test]
fn the_reader_of_the_documentation_can_plan_see_the_status_and_explain_and_needs_each_of_its_rules() {
    let site = Site::with(&[]);
    site.repo.commit(&[("all.yaml", &everything(&site))]);
    site.configure(&[site.sync("shop")]);
    for plural in [
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "storageclasses.storage.k8s.io",
        "ingressclasses.networking.k8s.io",
        "priorityclasses.scheduling.k8s.io",
    ] {
        site.cluster_scoped(plural, &format!("it-{}", site.id));
    }
    site.once().expect_code(0);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/eks/reader.yaml");
    cluster().kubectl(&["apply", "--server-side", "-f", manifest.to_str().expect("a path")]);
    let kubeconfig = kubeconfig(&site);
    let reader = |arguments: &[&str]| -> Finished {
        run(&mut site.command_as(&kubeconfig, &site.config_file(), arguments), None, Duration::from_mins(1))
    };
    let not_compared = |finished: &Finished| -> Vec<String> {
        let lines = finished.stdout.lines().filter(|line| line.contains("was not compared"));
        lines.map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
    };

    eventually("a plan shows nothing to change, and says what it did not see", || {
        let plan = reader(&["plan"]);
        if plan.code == Some(2) && plan.stdout.contains("1 could not be read") && not_compared(&plan) == ["Secret"] {
            Ok(())
        } else {
            Err(plan.all())
        }
    });
    let status = reader(&["status"]).expect_code(0).stdout;
    assert!(status.contains("Synced") && status.contains("may not list secrets"), "{status}");
    let explained = reader(&["explain", "deployment/web", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(explained.contains("all.yaml:"), "{explained}");
    let changed = site.repo.commit(&[("all.yaml", &everything(&site).replace("value: \"1\"", "value: \"2\""))]);
    let plan = reader(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains(&changed[..12]) && plan.contains("configure ConfigMap"), "{plan}");
    let approved = reader(&["approve", "shop"]);
    assert_eq!(approved.code, Some(1), "it cannot act: {}", approved.all());

    let role = path("clusterroles.rbac.authorization.k8s.io", None, ROLE);
    let rules = cluster().get(&role).expect("a role")["rules"].as_array().expect("rules").clone();
    assert!(rules.len() >= 5);
    for without in 0..rules.len() {
        let mut fewer = rules.clone();
        fewer.remove(without);
        cluster().merge(&role, "it", &json!({"rules": fewer}));
        eventually(&format!("without {} a plan sees less", rules[without]), || {
            let missing = not_compared(&reader(&["plan"]));
            if missing.len() > 1 { Ok(()) } else { Err(missing.join(", ")) }
        });
        cluster().merge(&role, "it", &json!({"rules": rules}));
        eventually("with all of them it sees all", || {
            let missing = not_compared(&reader(&["plan"]));
            if missing == ["Secret"] { Ok(()) } else { Err(missing.join(", ")) }
        });
    }
}
