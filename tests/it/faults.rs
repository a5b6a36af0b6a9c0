//! An API server that misbehaves between a sync and what it wants: every kind of fault at every
//! kind of request, and the agent recovers by itself.

use std::time::Duration;

use crate::support::agent::Agent;
use crate::support::fault::{Fault, Proxy, Rule};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

#[test]
fn an_object_is_applied_once_the_server_takes_it() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let faults = [
        Fault::Break,
        Fault::BreakAfter,
        Fault::SilenceAfter(Duration::from_secs(1)),
        Fault::Delay(Duration::from_secs(1)),
        Fault::DelayAnswer(Duration::from_secs(1)),
        Fault::Twice,
        Fault::Answer(409, None),
        Fault::Answer(410, None),
        Fault::Answer(422, None),
        Fault::Answer(429, Some(1)),
        Fault::Answer(500, None),
        Fault::Answer(503, None),
        Fault::Truncate(40),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let hits = proxy.add(Rule::on(fault.clone(), &["apply"]).named("a").times(1));
        let value = format!("{number} {fault:?}");
        let commit = site.repo.commit(&[("a.yaml", &config_map("a", &value))]);
        agent.eventually_synced("shop", &commit);
        assert_eq!(site.value_of("a"), Some(value));
        assert_eq!(hits.count(), 1);
    }
}

#[test]
fn a_drift_is_healed_after_watches_were_cut_ended_or_held_back() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let breaks: [(&str, &dyn Fn()); 3] = [
        ("cut", &|| proxy.cut_watches()),
        ("ended", &|| proxy.expire_watches()),
        ("refused", &|| {
            proxy.refuse(true);
            proxy.refuse(false);
        }),
    ];
    for (what, spoil) in breaks {
        spoil();
        site.edit("configmaps", "a", "somebody", &serde_json::json!({"data": {"value": what}}));
        eventually(&format!("healed after watches were {what}"), || {
            check(site.value_of("a").as_deref() == Some("1"), format!("{:?}", site.value_of("a")))
        });
    }
    proxy.stall_watches(true);
    site.edit("configmaps", "a", "somebody", &serde_json::json!({"data": {"value": "stalled"}}));
    agent.passes("shop", 1);
    proxy.stall_watches(false);
    eventually("healed once watches tell again", || {
        check(site.value_of("a").as_deref() == Some("1"), format!("{:?}", site.value_of("a")))
    });
}
