//! Bodies that take time and memory to write. A body lives until its last reader has taken it, so a few
//! bodies may be alive at once, whoever does not read; further readers share the newest one.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::serve::ANSWER;

/// Bodies of one page that are alive at once.
const AT_ONCE: usize = 8;
/// When there are as many, one that is younger than this is given once more. No reader takes as long for its body.
const FRESH: Duration = ANSWER.saturating_add(Duration::from_secs(5));
/// How long a reader waits for one of them to be taken by its readers.
const WAIT: Duration = Duration::from_secs(1);

/// One page. Clones share its bodies.
#[derive(Clone)]
pub(super) struct Page {
    places: Arc<Semaphore>,
    newest: Arc<Mutex<Weak<Body>>>,
    write: Arc<dyn Fn() -> String + Send + Sync>,
    fresh: Duration,
}

struct Body {
    text: String,
    written: Instant,
    _place: OwnedSemaphorePermit,
}

/// What a reader holds of a body.
struct Held(Arc<Body>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_bytes()
    }
}

impl Page {
    pub fn new(write: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), newest: Arc::default(), write: Arc::new(write), fresh: FRESH }
    }

    /// The page as it is now, or, while too many readers do not read theirs, as it was a few seconds ago;
    /// `None` when there is none such.
    pub async fn body(&self) -> Option<Bytes> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return self.write(place).await;
        }
        if let Some(newest) = self.newest() {
            return Some(newest);
        }
        match timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => self.write(place).await,
            _ => self.newest(),
        }
    }

    async fn write(&self, place: OwnedSemaphorePermit) -> Option<Bytes> {
        let write = Arc::clone(&self.write);
        // On a thread of its own: probes are answered meanwhile.
        let text = spawn_blocking(move || write()).await.ok()?;
        let body = Arc::new(Body { text, written: Instant::now(), _place: place });
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&body);
        Some(Bytes::from_owner(Held(body)))
    }

    fn newest(&self) -> Option<Bytes> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        newest.filter(|body| body.written.elapsed() < self.fresh).map(|body| Bytes::from_owner(Held(body)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A page that says how often it was written.
    fn counting(fresh: Duration) -> (Page, Arc<AtomicUsize>) {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let write = move || (count.fetch_add(1, Ordering::SeqCst) + 1).to_string();
        (Page { fresh, ..Page::new(write) }, written)
    }

    #[tokio::test]
    async fn readers_that_hold_on_to_their_bodies_have_the_others_share_the_newest() {
        let (page, written) = counting(Duration::from_hours(1));
        // Each taken at once: always as of now.
        for number in 1..=20 {
            assert_eq!(page.body().await.as_deref(), Some(number.to_string().as_bytes()));
        }
        let mut held = Vec::new();
        for _ in 0..AT_ONCE + 400 {
            held.push(page.body().await);
        }
        assert!(held.iter().all(Option::is_some));
        assert_eq!(written.load(Ordering::SeqCst), 20 + AT_ONCE, "no further body is alive");
        held.clear();
        assert_eq!(page.body().await.as_deref(), Some((21 + AT_ONCE).to_string().as_bytes()));
    }

    #[tokio::test]
    async fn a_body_that_is_too_old_is_given_to_nobody() {
        let (page, _) = counting(Duration::ZERO);
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(page.body().await);
        }
        assert_eq!(page.body().await, None);
        held.pop();
        assert!(page.body().await.is_some());
    }
}
