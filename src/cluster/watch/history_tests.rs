//! Watches of an API server whose caches lag, and of one whose history went back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::WatchLimits;
use super::fixture::{
    Fixture, SOON, is_version_now, is_watch, limits, list, not_found, object, refused, version_now, watching,
};
use super::script::{Feed, Reply, stream};

fn is_list(path: &str) -> bool {
    path.contains("limit=500")
}

/// A fixture that lists `a` and `b` as of version 500, watches until the server says that this has
/// expired, and lists as reported then. Of single objects there are these.
async fn listed_again(lists: Vec<Reply>, now: Vec<Value>) -> (Fixture, Feed) {
    let (feed, watch) = stream();
    let mut lists: VecDeque<Reply> = lists.into();
    lists.push_front(list("500", &[object("a", "450"), object("b", "80")]));
    let mut watches = VecDeque::from([refused(410, "Expired"), watch]);
    let fixture = Fixture::new(limits(), move |path| match path {
        path if is_watch(path) => watches.pop_front().unwrap_or(Reply::Nothing),
        path if is_list(path) => lists.pop_front().unwrap_or(Reply::Nothing),
        path => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let found = now.iter().find(|object| object["metadata"]["name"] == *name);
            found.map_or_else(|| Reply::Json(404, not_found(name)), |object| Reply::Json(200, object.clone()))
        }
    })
    .await;
    fixture.follow(&["shop"]).await;
    (fixture, feed)
}

#[tokio::test]
async fn a_list_of_a_history_that_went_back_counts_and_events_go_on_from_there() {
    let restored = list("100", &[object("a", "60"), object("b", "80"), object("c", "90")]);
    let (fixture, feed) = listed_again(vec![restored], vec![object("a", "60"), object("c", "90")]).await;
    let mut suspicions = fixture.suspicions();
    assert_eq!(fixture.changes().await, "+a +c");
    assert!(suspicions.has_changed().unwrap() || tokio::time::timeout(SOON, suspicions.changed()).await.is_ok());
    feed.event("MODIFIED", &object("a", "101"));
    assert_eq!(fixture.changes().await, "+a");
    feed.event("DELETED", &object("c", "102"));
    assert_eq!(fixture.changes().await, "-c");
    assert_eq!(fixture.reported(), [""; 0]);
}

#[tokio::test]
async fn what_a_restored_cluster_does_not_have_is_gone() {
    let restored = list("100", &[object("b", "80")]);
    let (fixture, _feed) = listed_again(vec![restored], Vec::new()).await;
    assert_eq!(fixture.changes().await, "?a");
    assert_eq!(fixture.members().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_list_of_a_cache_that_lags_is_not_used_and_listed_again_with_pauses() {
    let past = || list("100", &[object("a", "60"), object("b", "80"), object("c", "90")]);
    let lists = vec![past(), past(), list("510", &[object("a", "450"), object("b", "505")])];
    let (fixture, _feed) = listed_again(lists, vec![object("a", "450")]).await;
    let suspicions = fixture.suspicions();
    // Neither the old `a` nor `c`, which was deleted since.
    assert_eq!(fixture.changes().await, "+b");
    fixture.eventually("it is watched", |fixture| fixture.members().as_deref() == Some("a b")).await;
    assert!(!suspicions.has_changed().unwrap());
}

#[tokio::test]
async fn a_cache_that_lags_for_long_is_reported_and_what_is_known_does_not_count_meanwhile() {
    let short = WatchLimits { grace: Duration::from_millis(50), ..limits() };
    let now = Arc::new(Mutex::new(None));
    let lists = Arc::clone(&now);
    let mut first = Some(list("500", &[object("a", "450")]));
    let fixture = Fixture::new(short, move |path| match path {
        path if is_watch(path) => refused(410, "Expired"),
        path if is_list(path) => {
            first.take().or_else(|| lists.lock().unwrap().take()).unwrap_or_else(|| list("100", &[object("a", "60")]))
        }
        _ => Reply::Json(200, object("a", "450")),
    })
    .await;
    fixture.follow(&["shop"]).await;
    fixture.eventually("it is reported", |fixture| !fixture.reported().is_empty()).await;
    let reported = fixture.reported();
    assert!(
        reported.len() == 1 && reported[0].contains("as of resource version 100, and 500 was seen before"),
        "{reported:?}"
    );
    assert_eq!(fixture.members(), None);
    *now.lock().unwrap() = Some(list("501", &[object("a", "501")]));
    assert_eq!(fixture.changes().await, "+a");
}

#[tokio::test]
async fn a_watch_that_says_nothing_to_its_end_although_there_were_bookmarks_may_have_been_one_of_the_future() {
    let (mute, watch) = stream();
    let (_feed3, watch3) = stream();
    let restored = list("30", &[object("a", "5")]);
    let short = WatchLimits { timeout_seconds: 0..=0, ..limits() };
    let (fixture, feed) = watching(short, [watch, version_now("30"), restored, watch3]).await;
    feed.bookmark("40");
    tokio::time::sleep(limits().lived).await;
    drop(feed);
    assert!(fixture.server.request(3).await.contains("resourceVersion=40&"), "bookmarks went on to the end");
    tokio::time::sleep(limits().lived).await;
    drop(mute);
    assert!(is_version_now(&fixture.server.request(4).await), "the version may be one of the future");
    assert!(is_list(&fixture.server.request(5).await), "it is");
    assert!(fixture.server.request(6).await.contains("resourceVersion=30&"), "there was nothing to doubt");
    assert!(fixture.members().is_some());
    assert_eq!(fixture.reported(), [""; 0]);
}
