//! Watches that break, end or report nothing.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::fault::{Fault, Proxy, Rule};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

#[track_caller]
fn eventually_healed(site: &Site, when: &str) {
    eventually(&format!("healed {when}"), || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
}

/// Part of scenario 32
#[test]
fn drift_is_healed_however_watches_break_and_begin_again() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let edit = |value: &str| site.edit("configmaps", "a", "somebody", &json!({"data": {"value": value}}));
    let breaks: [(&str, &dyn Fn()); 3] = [
        ("after they were cut", &|| proxy.cut_watches()),
        ("after they were ended as too old", &|| proxy.expire_watches()),
        ("after all connections were closed", &|| {
            proxy.refuse(true);
            proxy.refuse(false);
        }),
    ];
    for (when, spoil) in breaks {
        spoil();
        edit(when);
        eventually_healed(&site, when);
    }
    for fault in [Fault::Break, Fault::Answer(410, None), Fault::Answer(429, Some(1)), Fault::Answer(503, None)] {
        let hits = proxy.add(Rule::on(fault.clone(), &["watch"]).times(3));
        proxy.cut_watches();
        edit(&format!("{fault:?}"));
        eventually_healed(&site, &format!("after watches met {fault:?}"));
        eventually("all watches are tried again", || check(hits.count() == 3, hits.count()));
        eventually_healed(&site, "afterwards");
    }
    proxy.stall_watches(true);
    edit("while they are held back");
    site.delete("configmaps", "b");
    proxy.stall_watches(false);
    eventually_healed(&site, "once watches report again");
    eventually("the deleted one is there again", || check(site.has("configmaps", "b"), "not yet"));
    assert!(proxy.seen().iter().all(|exchange| exchange.ask.verb != "delete"), "nothing is pruned");
}
