//! An API server whose caches lag: LISTs and watches answer from the past.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Exchange, Proxy};
use crate::support::site::{Site, config_map};
use crate::support::story::{End, Kept, SYNC, State, Story};
use crate::support::wait::{check, eventually};

fn version_now(site: &Site) -> String {
    let list = cluster().get(&path("configmaps", Some(&site.namespace), "")).expect("a list");
    list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

/// Scenario 34
#[test]
fn restarted_against_caches_that_lag_nothing_made_since_is_deleted_made_twice_or_put_back() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let past = version_now(&story.site);
    let second = End::synced(story.go_to(State::Second));
    agent.converges(&second);
    agent.kill();
    let before = story.versions(State::Second);
    let deleted = story.deleted();

    story.proxy.answer_as_of(&past);
    let mut agent = Kept::launch(&story);
    agent.converges(&second);
    // Nobody can ask for a pass: the change would come late as well.
    agent.agent.cycles(SYNC, 2);
    assert_eq!(story.versions(State::Second), before, "nothing was written");
    assert_eq!(story.deleted(), deleted, "nothing was deleted");
    story.holds(State::Second);

    story.proxy.catch_up();
    agent.agent.passes(SYNC, 2);
    assert_eq!(story.versions(State::Second), before, "nothing was written when the caches caught up");
    agent.converges(&End::synced(story.go_to(State::First)));
    story.holds(State::First);
}

/// Scenario 34, with commits while the caches lag: one object is gone that they still show, one
/// has another UID by now, one they do not know.
#[test]
fn commits_that_come_while_caches_lag_are_carried_out_once_they_catch_up() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let past = version_now(&story.site);
    agent.converges(&End::synced(story.go_to(State::Second)));
    agent.converges(&End::synced(story.go_to(State::First)));
    agent.kill();

    story.proxy.answer_as_of(&past);
    let mut agent = Kept::launch(&story);
    let second = End::synced(story.go_to(State::Second));
    // It may have to wait for the caches.
    agent.serves();
    agent.agent.passes(SYNC, 2);
    story.proxy.catch_up();
    story.eventually_holds(State::Second);
    agent.converges(&second);
}

/// More orphans of one kind in one namespace than it would take to prefer a LIST, none of which a cache
/// that lags shows: each is asked for by its name before it counts as gone.
#[test]
fn orphans_that_a_list_from_the_past_does_not_show_are_pruned_and_not_forgotten() {
    let site = Site::with(&[("kept.yaml", &config_map("kept", "1"))]);
    let mut sync = site.sync("shop");
    sync["prune"] = json!({"maxPercent": 100});
    site.configure(&[sync]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let past = version_now(&site);
    let names: Vec<String> = (0..7).map(|number| format!("orphan{number}")).collect();
    for name in &names {
        site.repo.write(&format!("{name}.yaml"), config_map(name, "1"));
    }
    agent.eventually_synced("shop", &site.repo.commit_all("seven more"));
    agent.kill();

    proxy.answer_as_of(&past);
    for name in &names {
        site.repo.remove(&format!("{name}.yaml"));
    }
    let commit = site.repo.commit_all("seven less");
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["kept"]);
    assert!(site.inventory("shop").contains(": kept\n"), "{}", site.inventory("shop"));
}

/// A suspension is read off the parent itself at a start, and a LIST of the parents that is older than that
/// neither ends it nor says that there is no parent.
#[test]
fn a_suspension_that_caches_do_not_show_yet_holds() {
    let site = Site::with(&[("shop/a.yaml", &config_map("a", "1")), ("other/x.yaml", &config_map("x", "1"))]);
    let sync = |name: &str| {
        let mut sync = site.sync(name);
        sync["path"] = name.into();
        sync
    };
    site.configure(&[sync("shop"), sync("other")]);
    let proxy = Proxy::before(&site);
    let before_the_parent = version_now(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.eventually_synced("other", &site.repo.head());
    let before_the_suspension = version_now(&site);
    let parent = path("configmaps", Some(&site.home), "driftless-shop");
    let suspend = json!({"metadata": {"annotations": {"driftless.dev/suspend": "true"}}});
    cluster().merge(&parent, "driftless-cli", &suspend);
    agent.eventually_is("shop", "Suspended");
    agent.kill();
    site.edit("configmaps", "a", "somebody", &json!({"data": {"value": "by hand"}}));
    site.repo.commit(&[("shop/b.yaml", &config_map("b", "1"))]);
    let parent = site.parent("shop");

    for past in [before_the_suspension, before_the_parent] {
        let asked = proxy.seen().len();
        proxy.answer_as_of(&past);
        let agent = Agent::start(&site);
        eventually("the parents are listed, and watched from there", || {
            let seen = proxy.seen();
            let of_parents = |one: &&Exchange| one.ask.namespace == site.home && one.ask.resource == "configmaps";
            let verbs: Vec<_> = seen[asked..].iter().filter(of_parents).map(|one| one.ask.verb).collect();
            check(verbs.contains(&"watch"), format!("{verbs:?}"))
        });
        // A sync that was resumed wrongly would have polled git by then.
        agent.cycles("other", 2);
        assert_eq!(agent.sync("shop")["phase"], "Suspended");
        proxy.catch_up();
        agent.kill();
        assert_eq!((site.value_of("a").as_deref(), site.has("configmaps", "b")), (Some("by hand"), false));
        assert_eq!(site.parent("shop"), parent, "not even the parent was written");
    }
}
