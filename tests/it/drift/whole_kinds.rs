//! Whole kinds and namespaces that go: they come back in order, at a bounded rate, with few requests.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::audit::{self, Asked};
use crate::support::cluster::{cluster, path};
use crate::support::site::{config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually, within};
use crate::support::watched::{watched, watched_with};

fn group() -> String {
    format!("g{}.example.com", fastrand::u32(..))
}

fn definition(group: &str) -> String {
    path("customresourcedefinitions.apiextensions.k8s.io", None, &format!("things.{group}"))
}

/// Requests for the objects of this kind.
fn of_things(requests: &[Asked]) -> Vec<&Asked> {
    requests.iter().filter(|asked| asked.what.starts_with("things")).collect()
}

/// Scenario 26
#[test]
fn a_definition_that_is_deleted_comes_back_with_its_objects_and_their_watch_does_not_spin() {
    let group = group();
    let things = ["one", "two", "three"].map(|name| (format!("{name}.yaml"), thing(&group, name)));
    let definition_file = crd(&group);
    let mut files: Vec<(&str, &str)> = things.iter().map(|(name, text)| (&**name, &**text)).collect();
    files.push(("crd.yaml", &definition_file));
    let (site, agent) = watched(&files);
    let plural = format!("things.{group}");
    let uid = |object: Option<Value>| object.map(|object| object["metadata"]["uid"].clone());
    let before = uid(cluster().get(&definition(&group)));
    let mark = audit::mark();
    cluster().delete(&definition(&group));
    eventually("it is another one, with its objects", || {
        let now = uid(cluster().get(&definition(&group)));
        let all = now.is_some() && now != before && ["one", "two", "three"].iter().all(|name| site.has(&plural, name));
        check(all, format!("{now:?} after {before:?}"))
    });
    agent.eventually_synced("shop", &site.repo.head());
    // The watch of the kind stands again, too.
    site.edit(&plural, "one", "tuner", &json!({"spec": {"size": 8}}));
    agent.eventually_logs(&["drift in Thing", "/one", "tuner changed spec.size from 1 to 8"]);
    eventually("it is healed", || {
        let live = site.get(&plural, "one").expect("it exists");
        check(live["spec"]["size"] == 1, live["spec"].clone())
    });
    let Some(mark) = mark else { return };
    let requests = site.requests(mark);
    let of_things = of_things(&requests);
    assert!(of_things.len() <= 30, "{} requests for three objects: {of_things:#?}", of_things.len());
}

/// Scenario 26, where nobody brings it back
#[test]
fn a_kind_that_stays_away_is_reported_once_and_asked_for_rarely() {
    let group = group();
    let (site, agent) = watched_with(&[("crd.yaml", &crd(&group)), ("one.yaml", &thing(&group, "one"))], |sync| {
        sync["drift"] = json!("report");
    });
    cluster().delete(&definition(&group));
    agent.eventually_logs(&["drift in CustomResourceDefinition", &group, "deleted"]);
    agent.eventually_logs(&["drift in Thing", "/one", "deleted"]);
    let Some(mark) = audit::mark() else { return };
    // A watch that spins would ask hundreds of times.
    std::thread::sleep(Duration::from_secs(5));
    let requests = site.requests(mark);
    assert!(of_things(&requests).len() <= 10, "{requests:#?}");
    assert!(requests.len() <= 30, "{} requests: {requests:#?}", requests.len());
    let lines = agent.log().iter().filter(|line| line.contains("drift in")).count();
    assert_eq!(lines, 2, "each is reported once");
}

const MAPS: usize = 110;

fn many(namespace: &str) -> String {
    let mut all = String::new();
    let mut add = |object: &str| {
        let placed = object.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1);
        write!(all, "---\n{placed}").expect("text");
    };
    for number in 0..MAPS {
        add(&config_map(&format!("c-{number:03}"), "1"));
    }
    for number in 0..10 {
        add(&deployment(&format!("d-{number}"), "nginx").replace("replicas: 1", "replicas: 0"));
        add(&format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: s-{number}\nstringData: {{key: value}}\n"));
    }
    all
}

/// Requests that were under way at the same time, at most.
fn most_at_once(requests: &[&Asked]) -> i32 {
    let begun = requests.iter().map(|asked| (&asked.begun, 1));
    let ended = requests.iter().map(|asked| (&asked.ended, -1));
    let mut edges: Vec<(&String, i32)> = begun.chain(ended).collect();
    edges.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in edges {
        now += change;
        most = most.max(now);
    }
    most
}

#[test]
fn a_namespace_that_is_deleted_with_all_in_it_comes_back_first_and_the_rest_at_a_bounded_rate() {
    if !cluster().runs_workloads() {
        return;
    }
    let namespace = format!("many-{}", fastrand::u32(..));
    let file = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    let (site, agent) = watched(&[("namespace.yaml", &file), ("many.yaml", &many(&namespace))]);
    let itself = site.cluster_scoped("namespaces", &namespace);
    let before = cluster().get(&itself).expect("it exists")["metadata"]["uid"].clone();
    let mark = audit::mark();
    cluster().delete(&itself);
    within(Duration::from_mins(2), "all of it is back", || {
        let now = cluster().get(&itself).unwrap_or_default()["metadata"]["uid"].clone();
        let count = |plural: &str, name: &str| {
            let list = cluster().get(&path(plural, Some(&namespace), "")).unwrap_or_default();
            let items = list["items"].as_array().cloned().unwrap_or_default();
            items
                .iter()
                .filter(|item| item["metadata"]["name"].as_str().is_some_and(|known| known.starts_with(name)))
                .count()
        };
        let counts = [count("configmaps", "c-"), count("secrets", "s-"), count("deployments.apps", "d-")];
        check(now.is_string() && now != before && counts == [MAPS, 10, 10], format!("{counts:?}"))
    });
    agent.eventually_synced("shop", &site.repo.head());
    let healed = || agent.metric("driftless_drift_healed_total", &[]).unwrap_or_default();
    eventually("every object was healed once", || check((healed() - 131.0).abs() < 0.5, healed()));
    let Some(mark) = mark else { return };
    let requests = site.requests(mark);
    let is_namespace = |asked: &&Asked| asked.what.starts_with("namespaces ");
    let (of_namespaces, others): (Vec<&Asked>, Vec<&Asked>) = requests.iter().partition(is_namespace);
    let inside = format!(" {namespace}/");
    // A Kubernetes Event is written beside all that.
    let heals = |asked: &&Asked| !matches!(&*asked.verb, "watch" | "list") && !asked.what.starts_with("events ");
    let is_of_one = |asked: &&Asked| asked.what.contains(&inside) && heals(asked);
    let of_objects: Vec<&Asked> = others.into_iter().filter(is_of_one).collect();
    let first = of_namespaces.iter().find(|asked| asked.writes() && asked.code == 201);
    let first = first.expect("the namespace was created");
    let too_early = of_objects.iter().filter(|asked| asked.writes() && asked.begun < first.ended).count();
    assert_eq!(too_early, 0, "{of_objects:#?}");
    assert!(of_objects.len() <= 3 * 130, "{} requests for 130 objects", of_objects.len());
    assert!(most_at_once(&of_objects) <= 16, "{} at once", most_at_once(&of_objects));
    let refused = of_objects.iter().filter(|asked| asked.writes() && asked.code >= 400).count();
    assert_eq!(refused, 0, "nothing was sent in vain");
}
