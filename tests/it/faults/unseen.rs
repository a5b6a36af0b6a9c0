//! What happens to an orphan after it was seen last and before it is deleted.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::Proxy;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// The watches report nothing, and so the plan that deletes them knows nothing of what was done to four of
/// five orphans: only what is read just before a deletion does.
#[test]
fn an_orphan_whose_marks_changed_unseen_is_not_deleted() {
    let names = ["control", "detached", "unlabelled", "undigested", "controlled"];
    let files: Vec<_> = names.iter().map(|name| (format!("{name}.yaml"), config_map(name, "1"))).collect();
    let mut files: Vec<_> = files.iter().map(|(file, text)| (&**file, &**text)).collect();
    let kept = config_map("kept", "1");
    files.push(("kept.yaml", &kept));
    let site = Site::of_shop(&files);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    proxy.stall_watches(true);
    let detach = json!({"annotations": {"client.lifecycle.config.k8s.io/deletion": "detach"}});
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "kept", "controller": true,
        "uid": site.get("configmaps", "kept").expect("it exists")["metadata"]["uid"]});
    let changes = [
        ("detached", detach),
        ("unlabelled", json!({"labels": {"applyset.kubernetes.io/part-of": null}})),
        ("undigested", json!({"annotations": {"driftless.dev/digest": null}})),
        ("controlled", json!({"ownerReferences": [owner]})),
    ];
    for (name, metadata) in &changes {
        site.edit("configmaps", name, "somebody", &json!({"metadata": metadata}));
    }
    for name in names {
        site.repo.remove(&format!("{name}.yaml"));
    }
    let commit = site.repo.commit_all("five less");
    eventually("the prune has begun", || check(!site.has("configmaps", "control"), "not yet"));
    // Decided anew, by the same old state, and again not done.
    eventually("all are tried twice", || {
        let kept = agent.metric("driftless_prune_total", &["result=\"kept\""]).unwrap_or_default();
        check(kept >= 8.0, kept)
    });
    proxy.stall_watches(false);
    agent.eventually_synced("shop", &commit);
    for (name, _) in &changes {
        let live = site.get("configmaps", name).unwrap_or_else(|| panic!("{name} was deleted"));
        let released = live["metadata"]["labels"]["applyset.kubernetes.io/part-of"].is_null();
        assert_eq!(released, ["detached", "unlabelled"].contains(name), "{name}");
    }
    let asked = |name: &str| proxy.seen().iter().any(|one| one.ask.verb == "delete" && one.ask.name == name);
    assert_eq!(names.map(asked), [true, false, false, false, false]);
    cluster().delete(&path("configmaps", Some(&site.namespace), "controlled"));
}
