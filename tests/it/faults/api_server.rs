//! An API server that misbehaves between a sync and what it wants: the agent recovers by itself,
//! loses nothing, makes nothing twice and prunes nothing that it should not.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::fault::{Ask, Fault, Moment, Proxy, Rule};
use crate::support::site::{Site, config_map};
use crate::support::story::{End, Kept, SYNC, State, Story};
use crate::support::wait::{check, eventually};

/// Stories that go on at the same time.
const AT_ONCE: usize = 6;
/// After faults, the agent is as patient as it was made to be by them.
const RECOVERY: Duration = Duration::from_mins(3);
/// So many requests of every verb are spoiled in each phase of a story.
const SPOILED: usize = 1;

const VERBS: [&str; 8] = ["discover", "get", "list", "watch", "create", "apply", "patch", "delete"];

fn faults() -> Vec<Fault> {
    vec![
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
    ]
}

/// A first sync, a commit that changes, adds and removes, and back again, with one fault at the
/// first requests of every verb, each time.
fn survives(fault: &Fault) {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    for (state, needed) in [(State::First, "apply"), (State::Second, "delete"), (State::First, "delete")] {
        let spoil = |verb| (verb, story.proxy.add(Rule::on(fault.clone(), &[verb]).times(SPOILED)));
        let hits = VERBS.map(spoil);
        let end = End::synced(story.go_to(state));
        agent.converges_within(RECOVERY, &end);
        story.proxy.clear();
        agent.converges_within(RECOVERY, &end);
        story.holds(state);
        let hit = hits.iter().find(|(verb, _)| *verb == needed).map(|(_, hits)| hits.count());
        assert!(hit > Some(0), "{needed} was not spoiled");
    }
}

/// Part of scenario 32
#[test]
fn whatever_the_first_requests_of_every_kind_meet_the_sync_converges() {
    let left = Mutex::new(faults());
    let next = || left.lock().expect("the faults").pop();
    let work = || {
        while let Some(fault) = next() {
            println!("{fault:?}");
            survives(&fault);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
}

/// What a commit adds is in the inventory before it is in the cluster, whatever happens in between.
#[test]
fn nothing_is_written_before_the_inventory_lists_it() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let writes = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&writes);
    story.proxy.listen(move |moment| match moment {
        Moment::Before(ask) if ask.is_write() => into.lock().expect("a list").push(described(ask, None)),
        Moment::After(ask, code) if ask.is_write() => into.lock().expect("a list").push(described(ask, Some(code))),
        _ => {}
    });
    let refused = Rule::on(Fault::Answer(500, None), &["apply"]).resource("configmaps").named("driftless-shop");
    let hits = story.proxy.add(refused);
    let commit = story.go_to(State::Second);
    eventually("it is tried again", || check(hits.count() >= 2, hits.count()));
    let asked = writes.lock().expect("a list").clone();
    assert!(
        asked.iter().all(|write| write.starts_with("apply configmaps") && write.contains("/driftless-shop")),
        "{asked:?}"
    );
    story.proxy.clear();
    agent.converges_within(RECOVERY, &End::synced(commit));
    story.holds(State::Second);
    let changed = |write: &&String| write.contains("/changed") && write.ends_with("200");
    let writes = writes.lock().expect("a list");
    assert_eq!(writes.iter().filter(changed).count(), 1, "{writes:?}");
    assert!(writes.iter().all(|write| !write.contains("/changed") || write.contains("value 2")), "{writes:?}");
}

fn described(ask: &Ask, code: Option<u16>) -> String {
    let value = ask.object()["data"]["value"].as_str().unwrap_or_default().to_owned();
    format!("{ask}: value {value}, {}", code.map(|code| code.to_string()).unwrap_or_default())
}

#[test]
fn a_list_whose_pages_expire_or_come_late_is_read_whole_and_prunes_what_it_should_only() {
    let files: Vec<(String, String)> =
        (0..7).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect();
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::of_shop(&borrowed);
    let proxy = Proxy::before(&site);
    proxy.pages_of(2);
    let mut agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let mut expected: Vec<String> = (0..7).map(|number| format!("c{number}")).collect();
    let late = Fault::DelayAnswer(Duration::from_secs(2));
    for (number, fault) in [Fault::Answer(410, None), late].into_iter().enumerate() {
        agent.kill();
        proxy.clear();
        let hits = proxy.add(Rule::by(move |ask| (ask.verb == "list" && ask.later_page).then(|| fault.clone())));
        site.repo.remove(&format!("{number}.yaml"));
        expected.retain(|name| *name != format!("c{number}"));
        let commit = site.repo.commit_all("one less");
        agent = Agent::start(&site);
        agent.eventually_synced("shop", &commit);
        assert_eq!(site.config_maps(), expected);
        assert!(hits.count() > 0, "there was a second page");
    }
}

#[test]
fn an_api_group_that_does_not_answer_stops_no_other_kind_and_nothing_is_pruned() {
    for group in ["apps", ""] {
        let story = Story::new();
        let group = if group.is_empty() { story.group() } else { group.to_owned() };
        let mut agent = Kept::launch(&story);
        agent.converges(&End::synced(story.site.repo.head()));
        story.proxy.take_down(Some(&group));
        agent.kill();
        let mut agent = Kept::launch(&story);
        agent.serves();
        let commit = story.go_to(State::Second);
        eventually("the rest of the commit is applied", || {
            check(story.site.value_of("changed").as_deref() == Some("2"), "not yet")
        });
        agent.agent.passes(SYNC, 1);
        assert_eq!(story.deleted(), [] as [String; 0]);
        assert!(story.site.has("configmaps", "gone") && story.site.has("deployments.apps", "web"));
        story.proxy.take_down(None);
        agent.converges_within(RECOVERY, &End::synced(commit));
        story.holds(State::Second);
    }
}

#[test]
fn a_server_that_refuses_connections_for_a_while_is_found_again_by_old_and_new_agents() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    story.proxy.refuse(true);
    let commit = story.go_to(State::Second);
    agent.agent.eventually_logs(&["cannot"]);
    story.site.edit("configmaps", "kept", "somebody", &json!({"data": {"value": "by hand"}}));
    story.proxy.refuse(false);
    agent.converges_within(RECOVERY, &End::synced(commit));
    eventually("drift of the meantime is healed", || {
        check(story.site.value_of("kept").as_deref() == Some("1"), "not yet")
    });
    story.holds(State::Second);

    agent.kill();
    story.proxy.refuse(true);
    let mut agent = Kept::launch(&story);
    let commit = story.go_to(State::First);
    eventually("it has tried", || {
        let seen = agent.seen(&End::synced(commit.clone())).unwrap_err();
        check(!agent.agent.log().is_empty(), seen)
    });
    story.proxy.refuse(false);
    agent.converges_within(RECOVERY, &End::synced(commit));
    story.holds(State::First);
}
