//! What quiet costs: nothing, with many objects and while controllers write their status.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};

const MAPS: usize = 200;
const DEPLOYMENTS: usize = 100;
const UPDATES: usize = 10;

/// Deployments of no replicas, so that no pods fill the node.
fn many() -> String {
    let mut all = String::new();
    for number in 0..MAPS {
        write!(all, "---\n{}", config_map(&format!("c-{number}"), "1")).expect("text");
    }
    for number in 0..DEPLOYMENTS {
        let deployment = deployment(&format!("d-{number}"), "nginx").replace("replicas: 1", "replicas: 0");
        write!(all, "---\n{deployment}").expect("text");
    }
    all
}

#[test]
fn ten_cycles_of_hundreds_of_objects_and_a_thousand_status_updates_cost_no_request() {
    let site = Site::of_shop(&[("many.yaml", &many())]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.cycles("shop", 2);
    let Some(mark) = audit::mark() else { return };
    agent.cycles("shop", 10);
    let asked = |mark: audit::Mark| -> Vec<_> {
        let requests = site.requests(mark).into_iter();
        requests.filter(|asked| asked.verb != "watch").map(|asked| format!("{} {}", asked.verb, asked.what)).collect()
    };
    assert_eq!(asked(mark), [] as [String; 0]);

    let mark = audit::mark().expect("an audit log");
    for round in 0..UPDATES {
        for number in 0..DEPLOYMENTS {
            let status = path("deployments.apps", Some(&site.namespace), &format!("d-{number}")) + "/status";
            cluster().merge(&status, "status-writer", &json!({"status": {"terminatingReplicas": round}}));
        }
    }
    agent.cycles("shop", 3);
    assert_eq!(asked(mark), [] as [String; 0]);
    assert_eq!(agent.metric("driftless_drift_detected_total", &[]), None);
}
