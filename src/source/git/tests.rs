use futures::FutureExt as _;

use super::*;
use crate::config::parse;
use crate::object::Commit;

/// A repository whose server answers at once, or does not answer until the call is cancelled.
#[derive(Default)]
struct Fake {
    hangs: bool,
    cancelled: AtomicBool,
    /// It does not answer until this is set, cancelled or not.
    released: Option<Arc<AtomicBool>>,
}

impl Remote for Fake {
    fn poll(&self) -> Result<Revision, SourceError> {
        while self.hangs && !self.cancelled.swap(false, Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        while self.released.as_ref().is_some_and(|released| !released.load(Ordering::SeqCst)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Revision { commit: "1".repeat(40), name: "refs/heads/main".into(), tag: None })
    }

    fn fetch(&self, _: &Revision) -> Result<Commit, SourceError> {
        Err(SourceError::Busy { url: String::new() })
    }

    fn snapshot(&self, _: &str, _: &RepoPath) -> Result<Snapshot, SourceError> {
        Err(SourceError::Busy { url: String::new() })
    }

    fn snapshot_up_to(&self, _: &str, _: &RepoPath, _: usize) -> Result<Option<Snapshot>, SourceError> {
        Ok(None)
    }

    fn tree(&self, _: &str, _: &RepoPath) -> Result<String, SourceError> {
        Err(SourceError::Busy { url: String::new() })
    }

    fn bundle_up_to(&self, _: &str, _: &RepoPath, _: usize) -> Result<Option<Bundle>, SourceError> {
        Ok(None)
    }

    fn bundle(&self, _: &str, _: &RepoPath) -> Result<Bundle, SourceError> {
        Err(SourceError::Busy { url: String::new() })
    }

    fn layout(&self, _: &str, _: &RepoPath) -> Result<Layout, SourceError> {
        Ok(Layout::Plain)
    }

    fn fingerprint(&self, _: &str, _: &Dependencies) -> Result<String, SourceError> {
        Ok(String::new())
    }

    fn commit_object(&self, _: &str) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Busy { url: String::new() })
    }

    fn tag_object(&self, _: &Revision) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(None)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }
}

fn of_one_server(hangs: bool, turns: &Turns, poll: Duration) -> Git {
    answered_by(Fake { hangs, ..Fake::default() }, turns, poll)
}

fn answered_by(fake: Fake, turns: &Turns, poll: Duration) -> Git {
    let text = "syncs: [{name: a, source: {url: https://git.example.com/a.git, branch: main}}]";
    let config = parse(text, "driftless.yaml").unwrap();
    let timeouts = Timeouts { poll, ..Timeouts::default() };
    Git::new(&config.syncs[0], fake, timeouts, turns.clone())
}

async fn hang(git: &Git) {
    while !matches!(git.poll().await, Err(SourceError::Timeout { .. })) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_waits_for_a_place_among_all_syncs_can_be_polled_meanwhile() {
    let git = of_one_server(false, &Turns::default(), Duration::from_millis(200));
    let (place, given) = tokio::sync::watch::channel(false);
    let path = RepoPath::default();
    let read = git.snapshot_up_to("1", &path, 1, || {
        let mut given = given.clone();
        async move { given.wait_for(|given| *given).await.map(|_| ()) }
    });
    let polls = async {
        for _ in 0..3 {
            assert!(git.poll().await.is_ok());
        }
        place.send(true).unwrap();
    };
    let (read, ()) = futures::join!(read, polls);
    assert!(matches!(read, Ok((None, Ok(())))));
}

#[tokio::test]
async fn repositories_that_hang_delay_the_others_of_their_server_by_one_call_each() {
    let turns = Turns::default();
    let short = Duration::from_millis(20);
    let hanging: Vec<Git> = (0..20).map(|_| of_one_server(true, &turns, short)).collect();
    futures::future::join_all(hanging.iter().map(hang)).await;
    // Now that this is known of them, they wait among themselves.
    let on_and_on = |git| async move {
        loop {
            hang(git).await;
        }
    };
    let again = futures::future::join_all(hanging.iter().map(on_and_on));
    let good = of_one_server(false, &turns, Duration::from_mins(1));
    let polls = async {
        for _ in 0..10 {
            assert!(good.poll().await.is_ok());
        }
    };
    let done = tokio::select! {
        done = timeout(Duration::from_secs(30), polls) => done.is_ok(),
        _ = again => false,
    };
    assert!(done, "the good one waits for those that hang");
}

/// As many calls as one server gets, each by a repository of its own, to a server that answers nobody before it is released.
async fn hang_each_once(turns: &Turns, released: &Arc<AtomicBool>) -> Vec<SourceError> {
    let mut errors = Vec::new();
    for _ in 0..4 {
        let fake = Fake { released: Some(Arc::clone(released)), ..Fake::default() };
        let git = answered_by(fake, turns, Duration::from_millis(20));
        errors.extend(git.poll().await.err());
    }
    errors
}

#[tokio::test]
async fn calls_for_bases_keep_their_turns_until_their_threads_have_ended() {
    let server = "git.example.com:443";
    for (turns, kept) in [(Turns::of_bases(), true), (Turns::default(), false)] {
        let released = Arc::new(AtomicBool::new(false));
        let errors = hang_each_once(&turns, &released).await;
        assert!(errors.len() == 4 && errors.iter().all(|error| matches!(error, SourceError::Timeout { .. })));
        assert_eq!(turns.turn(server, false).now_or_never().is_none(), kept);
        assert!(turns.turn("other.example.com:443", false).now_or_never().is_some(), "another server");
        released.store(true, Ordering::SeqCst);
        assert!(timeout(Duration::from_secs(30), turns.turn(server, false)).await.is_ok());
    }
}
