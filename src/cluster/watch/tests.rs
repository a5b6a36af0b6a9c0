//! The watches of a sync against a scripted API server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{
    Fixture, SOON, is_version_now, is_watch, kind, limits, list, object, refusal, refused, version_now, watching,
};
use super::script::{Feed, Piece, Reply, stream};
use super::{Followed, WatchLimits};
use crate::cluster::{Live, Resource};
use crate::object::{Managers, ObjectId};

#[tokio::test]
async fn a_list_and_then_a_watch_from_there() {
    let (fixture, feed) = watching(limits(), []).await;
    assert_eq!(fixture.members().as_deref(), Some("a"));
    let selector = "labelSelector=applyset.kubernetes.io%2Fpart-of%3Dapplyset-of-this-test-v1";
    assert_eq!(fixture.server.request(1).await, format!("/api/v1/configmaps?limit=500&{selector}"));
    let watch = "/api/v1/configmaps?watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=300";
    assert_eq!(fixture.server.request(2).await, format!("{watch}&{selector}"));

    feed.event("ADDED", &object("b", "11"));
    // Not the `a` of the first LIST: whoever followed has read that.
    assert_eq!(fixture.changes().await, "+b");
    feed.event("MODIFIED", &object("a", "12"));
    assert_eq!(fixture.changes().await, "+a");
    let mut unchanged = object("a", "12");
    unchanged["metadata"]["resourceVersion"] = json!("13");
    feed.event("MODIFIED", &unchanged);
    feed.event("DELETED", &object("b", "14"));
    assert_eq!(fixture.changes().await, "-b");
    assert_eq!(fixture.members().as_deref(), Some("a"));
    assert_eq!(fixture.reported(), [""; 0]);
}

#[tokio::test]
async fn changes_of_one_object_are_reported_as_one() {
    let (fixture, feed) = watching(limits(), []).await;
    feed.event("DELETED", &object("a", "11"));
    feed.event("ADDED", &object("a", "12"));
    feed.event("ADDED", &object("b", "13"));
    fixture.eventually("b is a member", |fixture| fixture.members().as_deref() == Some("a b")).await;
    assert_eq!(fixture.changes().await, "+a +b");
}

#[tokio::test]
async fn our_own_writes_are_not_reported() {
    let (fixture, feed) = watching(limits(), []).await;
    let known = fixture.live.members(&kind()).unwrap().remove(0);
    let ours = |version: &str| {
        crate::cluster::observe::reduce(
            &kind(),
            true,
            &object("a", version),
            &Managers::default(),
            jiff::Timestamp::now(),
        )
    };
    fixture.live.note(&ours("11").unwrap());
    feed.event("MODIFIED", &object("a", "11"));
    feed.event("MODIFIED", &object("a", "12"));
    feed.event("ADDED", &object("b", "13"));
    fixture.eventually("b is a member", |fixture| fixture.members().as_deref() == Some("a b")).await;
    // The answer comes after the event, and before anybody took that.
    fixture.live.note(&ours("12").unwrap());
    assert_eq!(fixture.changes().await, "+b");
    fixture.live.removed(&known.id, &known.uid);
    feed.event("DELETED", &object("a", "14"));
    feed.event("ADDED", &object("c", "15"));
    assert_eq!(fixture.changes().await, "+c");
    let elsewhere = ObjectId::new("", "Secret", Some("shop"), "s");
    let mut unwatched = known;
    unwatched.id = elsewhere;
    fixture.live.note(&unwatched);
    assert_eq!(fixture.live.members(&unwatched.id.gk), None);
}

#[tokio::test]
async fn a_bookmark_moves_the_version_to_go_on_from() {
    let (feed2, watch) = stream();
    let (fixture, feed) = watching(limits(), [version_now("40"), watch]).await;
    feed.bookmark("40");
    drop(feed);
    assert!(is_version_now(&fixture.server.request(3).await));
    assert!(fixture.server.request(4).await.contains("resourceVersion=40&"));
    feed2.event("ADDED", &object("b", "41"));
    assert_eq!(fixture.changes().await, "+b");
}

#[tokio::test]
async fn a_cut_in_mid_line_loses_nothing_and_lists_nothing() {
    let (feed2, watch) = stream();
    let (fixture, feed) = watching(limits(), [version_now("12"), watch]).await;
    let event = format!("{}\n", json!({"type": "ADDED", "object": object("b", "11")}));
    feed.event("MODIFIED", &object("a", "11"));
    feed.text(&event[..40]);
    assert_eq!(fixture.changes().await, "+a");
    feed.cut();
    assert!(is_version_now(&fixture.server.request(3).await));
    assert!(fixture.server.request(4).await.contains("watch=1&allowWatchBookmarks=true&resourceVersion=11&"));
    assert!(fixture.members().is_some(), "it was away for a moment only");
    feed2.text(&event[..40]);
    feed2.text(&event[40..]);
    assert_eq!(fixture.changes().await, "+b");
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_anew() {
    let (_feed2, watch) = stream();
    let (fixture, feed) = watching(limits(), [list("20", &[object("b", "15")]), watch]).await;
    feed.text("{\"type\": \"ADDED\", \"object\": {\"data\": \"secret\" oops\n");
    assert_eq!(fixture.changes().await, "?a +b");
    assert!(fixture.server.request(4).await.contains("resourceVersion=20&"));
}

#[tokio::test]
async fn a_version_that_expired_is_listed_anew() {
    for as_an_event in [true, false] {
        let (feed, mut first) = stream();
        if as_an_event {
            feed.event("ERROR", &refusal(410, "Expired"));
        } else {
            first = refused(410, "Expired");
        }
        let (_feed2, watch) = stream();
        let replies = [list("10", &[object("a", "5")]), first, list("20", &[object("b", "15")]), watch];
        let fixture = Fixture::in_order(limits(), replies).await;
        fixture.follow(&["shop"]).await;
        assert_eq!(fixture.changes().await, "?a +b", "{as_an_event}");
        assert!(!is_watch(&fixture.server.request(3).await));
        assert!(fixture.server.request(4).await.contains("resourceVersion=20&"));
    }
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_wishes() {
    let (feed, watch) = stream();
    let replies = [list("10", &[]), Reply::Headed(429, "Retry-After: 1"), watch];
    let fixture = Fixture::in_order(limits(), replies).await;
    fixture.follow(&["shop"]).await;
    feed.event("ADDED", &object("a", "11"));
    assert_eq!(fixture.changes().await, "+a");
    let asked = fixture.server.asked();
    assert!(asked[2].1.contains("watch=1"), "{asked:?}");
    assert!(asked[2].0 - asked[1].0 >= Duration::from_secs(1), "{asked:?}");
}

#[tokio::test]
async fn another_error_of_a_watch_does_not_list() {
    let (feed2, watch) = stream();
    let (fixture, feed) = watching(limits(), [refused(500, "InternalError"), watch]).await;
    feed.event("ERROR", &refusal(500, "InternalError"));
    assert!(is_watch(&fixture.server.request(3).await) && is_watch(&fixture.server.request(4).await));
    feed2.event("ADDED", &object("b", "11"));
    assert_eq!(fixture.changes().await, "+b");
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_gone_and_asked_for_with_pauses_or_when_poked() {
    let served = Arc::new(Mutex::new(true));
    let now = Arc::clone(&served);
    let (feed, watch) = stream();
    let (_feed2, watch2) = stream();
    let mut watches = VecDeque::from([watch, watch2]);
    let limits =
        WatchLimits { unserved: Duration::from_millis(200), pauses: (Duration::from_millis(5), SOON), ..limits() };
    let fixture = Fixture::new(limits, move |path| match (*now.lock().unwrap(), is_watch(path)) {
        (false, _) => refused(404, "NotFound"),
        (true, true) => watches.pop_front().unwrap_or(Reply::Nothing),
        (true, false) => list("10", &[object("a", "5")]),
    })
    .await;
    fixture.follow(&["shop"]).await;
    *served.lock().unwrap() = false;
    drop(feed);
    assert_eq!(fixture.changes().await, "?a");
    assert_eq!(fixture.members(), None);
    let requests = fixture.requests_within(Duration::from_secs(1)).await;
    assert!((1..=3).contains(&requests), "{requests} requests after 0.2, 0.4, 0.8 s and up to half as much more");
    *served.lock().unwrap() = true;
    // By itself it would ask after another second at least.
    let retried_now = Instant::now();
    fixture.live.retry_now();
    assert_eq!(fixture.changes().await, "+a");
    assert!(retried_now.elapsed() < Duration::from_millis(700), "{:?}", retried_now.elapsed());
    assert_eq!(fixture.members().as_deref(), Some("a"));
    assert_eq!(fixture.reported(), [""; 0], "the plan reports a kind that does not exist");
}

#[tokio::test]
async fn a_stuck_watch_is_noticed_reported_and_begun_anew() {
    let short = WatchLimits { silence: Duration::from_millis(400), ..limits() };
    let (_feed2, watch) = stream();
    let (fixture, feed) = watching(short, [version_now("50"), watch]).await;
    feed.bookmark("40");
    assert!(is_version_now(&fixture.server.request(3).await));
    assert!(fixture.server.request(4).await.contains("resourceVersion=40&"), "without a LIST of all");
    fixture.eventually("it works again", |fixture| fixture.reported().len() == 2).await;
    let reported = fixture.reported();
    assert!(reported[0].contains("ConfigMap is begun anew: nothing came for"), "{reported:?}");
    assert!(reported[1].contains("ConfigMap is watched again"), "{reported:?}");
    assert!(fixture.members().is_some());
}

#[tokio::test]
async fn without_bookmarks_the_end_that_the_server_was_asked_for_is_waited_for() {
    let short = WatchLimits {
        timeout_seconds: 1..=1,
        overdue: Duration::from_millis(100),
        silence: Duration::from_millis(1),
        ..limits()
    };
    let (_feed2, watch) = stream();
    let (fixture, _feed) = watching(short, [watch]).await;
    fixture.server.request(3).await;
    let asked = fixture.server.asked();
    assert!(asked[2].0 - asked[1].0 >= Duration::from_millis(1100), "{asked:?}");
    assert!(fixture.reported()[0].contains("nothing came"), "{:?}", fixture.reported());
}

#[tokio::test]
async fn where_all_namespaces_are_refused_each_is_watched_by_itself() {
    let feeds = Arc::<Mutex<BTreeMap<String, Feed>>>::default();
    let given = Arc::clone(&feeds);
    let fixture = Fixture::new(limits(), move |path| {
        let namespace = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split('/').next());
        match (namespace, is_watch(path)) {
            (None, _) => refused(403, "Forbidden"),
            (Some(_), false) => list("10", &[]),
            (Some(namespace), true) => {
                let (feed, watch) = stream();
                given.lock().unwrap().insert(namespace.to_owned(), feed);
                watch
            }
        }
    })
    .await;
    fixture.follow(&["shop", "till"]).await;
    assert_eq!(fixture.members().as_deref(), Some(""));
    fixture.eventually("both are watched", |_| feeds.lock().unwrap().len() == 2).await;
    feeds.lock().unwrap()["shop"].event("ADDED", &object("a", "11"));
    assert_eq!(fixture.changes().await, "+a");
    let mut other = object("a", "12");
    other["metadata"]["namespace"] = json!("till");
    feeds.lock().unwrap()["till"].event("ADDED", &other);
    assert_eq!(fixture.changes().await, "+a");
    assert_eq!(fixture.members().as_deref(), Some("a a"));
    // Another namespace is another watch, and nothing is received about the one that is left out.
    feeds.lock().unwrap().clear();
    fixture.follow(&["till", "yard"]).await;
    fixture.eventually("the other one is watched", |_| feeds.lock().unwrap().contains_key("yard")).await;
    assert_eq!(fixture.reported(), [""; 0]);
}

#[tokio::test]
async fn what_is_refused_everywhere_is_reported_and_tried_seldom() {
    let allowed = Arc::new(Mutex::new(false));
    let now = Arc::clone(&allowed);
    let (_feed, watch) = stream();
    let mut watch = Some(watch);
    let fixture = Fixture::new(limits(), move |path| match (*now.lock().unwrap(), is_watch(path)) {
        (false, _) => refused(403, "Forbidden"),
        (true, true) => watch.take().unwrap_or(Reply::Nothing),
        (true, false) => list("10", &[object("a", "5")]),
    })
    .await;
    fixture.follow(&["shop"]).await;
    assert_eq!(fixture.members(), None);
    let reported = fixture.reported();
    assert!(
        reported.len() == 1 && reported[0].contains("cannot watch ConfigMap") && reported[0].contains("Forbidden"),
        "{reported:?}"
    );
    // A pause of 0.3 s or more, then two requests: of all namespaces, and of one.
    let requests = fixture.requests_within(Duration::from_secs(1)).await;
    assert!((2..=6).contains(&requests), "{requests}");
    *allowed.lock().unwrap() = true;
    fixture.eventually("it is watched", |fixture| fixture.members().as_deref() == Some("a")).await;
    fixture.eventually("that is reported", |fixture| fixture.reported().len() == 2).await;
}

#[tokio::test]
async fn a_resource_without_the_verb_is_not_asked_for() {
    let fixture = Fixture::in_order(limits(), []).await;
    let resource = Resource { watchable: false, ..Resource::core("componentstatuses", false) };
    let followed = Followed { resource, namespaces: BTreeSet::new() };
    fixture.live.follow(BTreeMap::from([(kind(), followed)])).await;
    assert_eq!(fixture.live.members(&kind()), None);
    assert!(fixture.reported()[0].contains("offers no watch"), "{:?}", fixture.reported());
    assert!(fixture.server.asked().is_empty());
}

#[tokio::test]
async fn a_server_that_ends_every_watch_at_once_is_not_hammered() {
    let calm = WatchLimits { pauses: (Duration::from_millis(50), Duration::from_millis(400)), ..limits() };
    for expired in [false, true] {
        let fixture = Fixture::new(calm.clone(), move |path| match (is_watch(path), expired) {
            (false, _) => list("10", &[]),
            (true, false) => stream().1,
            (true, true) => refused(410, "Expired"),
        })
        .await;
        fixture.follow(&["shop"]).await;
        let requests = fixture.requests_within(Duration::from_millis(1500)).await;
        // Pauses of 50, 100, 200, 400, 400, 400 ms at least; before each a request, or two.
        assert!((2..=14).contains(&requests), "{requests} requests");
        fixture.eventually("it is reported", |fixture| !fixture.reported().is_empty()).await;
        assert_eq!(fixture.reported().len(), 1, "{:?}", fixture.reported());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_only_so_long() {
    let short = WatchLimits { settled: Duration::from_millis(100), ..limits() };
    let fixture = Fixture::in_order(short, []).await;
    fixture.follow(&["shop"]).await;
    assert_eq!(fixture.members(), None);
    // And a LIST that fails is an end of the waiting, too.
    let fixture = Fixture::new(limits(), |_| refused(500, "InternalError")).await;
    let began = Instant::now();
    fixture.follow(&["shop"]).await;
    assert!(began.elapsed() < limits().settled / 2);
    assert_eq!(fixture.members(), None);
}

#[tokio::test]
async fn a_watch_that_is_away_for_long_does_not_stand() {
    let short = WatchLimits { grace: Duration::from_millis(50), ..limits() };
    let (fixture, feed) = watching(short, [Reply::Nothing]).await;
    assert!(fixture.members().is_some());
    feed.cut();
    fixture.eventually("it does not stand", |fixture| fixture.members().is_none()).await;
}

#[tokio::test]
async fn what_is_followed_no_longer_ends_and_is_forgotten() {
    let (fixture, feed) = watching(limits(), []).await;
    fixture.live.follow(BTreeMap::new()).await;
    assert_eq!(fixture.members(), None);
    let ended = || feed.0.send(Piece::Text("\n".into())).is_err();
    fixture.eventually("the connection is closed", |_| ended()).await;
}

#[tokio::test]
async fn a_later_first_list_is_reported_when_nobody_waited_for_it() {
    let short = WatchLimits { settled: Duration::from_millis(50), list: Duration::from_millis(200), ..limits() };
    let (_feed, watch) = stream();
    let fixture = Fixture::in_order(short, [Reply::Nothing, list("10", &[object("a", "5")]), watch]).await;
    fixture.follow(&["shop"]).await;
    assert_eq!(fixture.changes().await, "+a");
}

#[tokio::test]
async fn a_watch_that_panics_is_begun_anew() {
    let (_feed, watch) = stream();
    let mut replies = VecDeque::from([refused(405, "MethodNotAllowed"), list("10", &[object("a", "5")]), watch]);
    let fixture = Fixture::new(limits(), move |_| replies.pop_front().unwrap_or(Reply::Nothing)).await;
    // Of what a watch does, reporting is what can be made to panic from here.
    let report = Arc::new(|_| panic!("a fault in reporting"));
    let live = Live::with_limits(fixture.server.client().await, "set", report, limits());
    let fixture = Fixture { live, ..fixture };
    fixture.follow(&["shop"]).await;
    fixture.eventually("it is watched", |fixture| fixture.members().is_some()).await;
}
