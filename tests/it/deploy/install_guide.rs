//! What `docs/install.md` promises: from an empty control plane to a synced shop by its commands and
//! its file of values alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::agent::Agent;
use crate::support::cluster::start;
use crate::support::deploy::{Deployed, document, documents, helm_program, rendered};
use crate::support::process::run;
use crate::support::site::Site;
use crate::support::wait::{check, within};

/// A shop of more than 40 objects, on a busy machine.
const SYNCED: Duration = Duration::from_mins(2);

/// The code blocks of a language under a heading.
fn blocks<'a>(text: &'a str, heading: &str, language: &str) -> Vec<&'a str> {
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|block| block.split("```").next().expect("an end")).collect()
}

#[test]
fn the_commands_of_the_documentation_lead_from_an_empty_cluster_to_a_synced_shop_and_back() {
    if std::env::var_os("KUBEBUILDER_ASSETS").is_some() || std::env::var_os("DRIFTLESS_TEST_KUBECONFIG").is_some() {
        println!("this needs a devcluster of its own, with nodes");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/install.md")).expect("the documentation");
    let cluster = Box::leak(Box::new(start("docs")));
    let mut site = Site::on(cluster, &[("README.md", "a shop")]);
    site.home = "driftless".into();
    let copied = Command::new("cp")
        .arg("-R")
        .arg(format!("{}/manifests-example/.", root.display()))
        .arg(site.repo.work())
        .status();
    assert!(copied.expect("cp runs").success());
    site.repo.commit_all("The shop");

    // The only difference: where git is.
    let [values] = blocks(&text, "From an empty cluster", "yaml").try_into().expect("one file of values");
    let url = "https://git.example.com/shop/manifests.git";
    assert_eq!(values.matches(url).count(), 3);
    let work = site.scratch("work");
    fs::create_dir(&work).expect("a directory");
    fs::write(work.join("values.yaml"), values.replace(url, &site.repo.url())).expect("a file");
    for name in ["deploy", "docs"] {
        std::os::unix::fs::symlink(root.join(name), work.join(name)).expect("a link");
    }
    let bin = site.scratch("bin");
    fs::create_dir(&bin).expect("a directory");
    std::os::unix::fs::symlink(helm_program(), bin.join("helm")).expect("a link");
    std::os::unix::fs::symlink(cluster.directory().expect("a devcluster").join("kubectl"), bin.join("kubectl"))
        .expect("a link");
    let shell = |script: &str| {
        let mut bash = Command::new("bash");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        bash.env_clear().env("PATH", path).env("HOME", &work).env("KUBECONFIG", &cluster.kubeconfig);
        run(bash.current_dir(&work).args(["-euxc", script]), None, Duration::from_secs(90)).expect_code(0)
    };

    // The second block executes in the pods, which are simulated here.
    let commands = blocks(&text, "From an empty cluster", "sh");
    assert!(commands.len() == 2 && commands[0].contains("helm install"), "{commands:?}");
    shell(commands[0]);
    let deployed = Deployed::found(&site, "driftless");
    assert_eq!(deployed.ready_pods().len(), 2);

    let agent = Agent::spawn(&site, deployed.command("pod"));
    for sync in ["shop-cluster", "shop-dev", "shop-prod"] {
        within(SYNCED, &format!("{sync} is synced"), || {
            let status = agent.sync(sync);
            check(status["phase"] == "Synced", status)
        });
    }
    // What `kubectl exec` would run in the pod.
    let inside = |arguments: &[&str]| {
        let mut command = site.command_for(&site.scratch("pod/etc/driftless.yaml"), arguments);
        run(&mut command, None, Duration::from_mins(1))
    };
    inside(&["status"]).expect_code(0);
    inside(&["check"]).expect_code(0);
    let backend =
        cluster.kubectl(&["-n", "shop-prod", "get", "deployment", "backend", "-o", "jsonpath={.metadata.uid}"]);

    for section in ["Upgrading", "Uninstalling"] {
        let [commands] = blocks(&text, section, "sh").try_into().expect("one block");
        shell(commands);
    }
    let after = cluster.kubectl(&["-n", "shop-prod", "get", "deployment", "backend", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(after, backend);
}

#[test]
fn the_plain_manifests_are_adjusted_by_the_commands_of_the_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/install.md")).expect("the documentation");
    let [commands] = blocks(&text, "With plain manifests", "sh").try_into().expect("one block");
    let work = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(root.join("deploy"), work.path().join("deploy")).expect("a link");
    // Whether the API server takes them is seen elsewhere.
    let script = format!("kubectl() {{ echo \"kubectl $*\"; }}\n{commands}");
    let mut bash = Command::new("bash");
    let done = run(bash.current_dir(work.path()).args(["-euc", &script]), None, Duration::from_secs(30)).expect_code(0);
    assert_eq!(done.stdout.trim(), "kubectl apply --server-side -f driftless.yaml");
    let made = fs::read_to_string(work.path().join("driftless.yaml")).expect("a file");
    assert!(!made.contains("example.com/driftless") && !made.contains("example.com/shop"), "both were replaced");
}

#[test]
fn the_values_of_the_documentation_for_one_namespace_are_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/install.md")).expect("the documentation");
    let [values] = blocks(&text, "What the agent may do", "yaml").try_into().expect("one file of values");
    let made = documents(&rendered(&serde_saphyr::from_str(values).expect("YAML")).expect_code(0).stdout);
    assert_eq!(document(&made, "Role", "driftless-objects")["metadata"]["namespace"], "shop");
    assert!(!made.iter().any(|object| object["kind"] == "ClusterRole"), "nothing outside of namespaces");
}
