//! The connections of the HTTP server, bounded in number and in time. A peer that sends nothing, or does not
//! read its answer, costs itself: when all places are taken, the connection on which nothing has moved for
//! the longest time gives way to the new one. So a probe is always accepted.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a peer may take for its answer.
#[derive(Clone, Copy)]
struct Limits {
    /// Without taking anything of it.
    stalled: Duration,
    /// For all of it, however steadily it is read.
    answer: Duration,
}

const LIMITS: Limits = Limits { stalled: Duration::from_secs(10), answer: ANSWER };
/// For all of an answer: Prometheus gives up sooner.
pub const ANSWER: Duration = Duration::from_secs(15);
/// A connection keeps its place for this long without a sign of its peer: time to send what it came for, also
/// while many come at once.
const REST: Duration = Duration::from_millis(50);

/// The connections that are open.
pub(super) struct Connections {
    most: usize,
    began: Instant,
    /// When the last one came.
    admitted: Instant,
    open: Vec<Weak<Connection>>,
}

/// One of them. It counts as open until this is dropped.
pub(super) struct Connection {
    began: Instant,
    /// When it came, or a byte went to its peer last, in milliseconds since the start of the server. What a peer
    /// sends does not count: it may send for ever.
    moved: AtomicU64,
    /// Cancelled when it has to give way.
    pub ends: CancellationToken,
}

impl Connections {
    pub fn new(most: usize) -> Self {
        let now = Instant::now();
        Self { most: most.max(1), began: now, admitted: now, open: Vec::new() }
    }

    /// How long it takes until there is a place for one more.
    pub fn full_for(&mut self) -> Duration {
        self.open.retain(|open| open.strong_count() > 0);
        if self.open.len() < self.most {
            return Duration::ZERO;
        }
        let moved = |open: &Weak<Connection>| open.upgrade().map(|open| open.moved.load(Ordering::Relaxed));
        let oldest = self.open.iter().filter_map(moved).min().unwrap_or_default();
        let rests = self.began.elapsed().saturating_sub(Duration::from_millis(oldest));
        // However busy all of them are, one more comes in after a while.
        REST.saturating_sub(rests.max(self.admitted.elapsed()))
    }

    /// Gives one more a place; where there is none, that of the one that rests longest.
    pub fn admit(&mut self) -> Arc<Connection> {
        self.open.retain(|open| open.strong_count() > 0);
        while self.open.len() >= self.most && self.make_room() {}
        self.admitted = Instant::now();
        let ends = CancellationToken::new();
        let connection = Arc::new(Connection { began: self.began, moved: AtomicU64::new(0), ends });
        connection.moves();
        self.open.push(Arc::downgrade(&connection));
        connection
    }

    /// Ends the connection on which nothing has moved for the longest time; false when there is none.
    pub fn make_room(&mut self) -> bool {
        let moved = |open: &Weak<Connection>| open.upgrade().map(|open| open.moved.load(Ordering::Relaxed));
        let oldest = self.open.iter().enumerate().min_by_key(|(_, open)| moved(open)).map(|(at, _)| at);
        let Some(at) = oldest else { return false };
        if let Some(oldest) = self.open.remove(at).upgrade() {
            oldest.ends.cancel();
        }
        true
    }
}

impl Connection {
    fn moves(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }
}

/// The stream of a connection, which fails once its peer has not read for too long.
pub(super) struct Bounded<S> {
    stream: S,
    connection: Arc<Connection>,
    /// Since when an answer is written.
    answering: Option<Instant>,
    /// The peer takes nothing at the moment, and how long that is endured.
    patience: Option<Pin<Box<Sleep>>>,
    limits: Limits,
}

impl<S> Bounded<S> {
    pub fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, answering: None, patience: None, limits: LIMITS }
    }

    /// Passes on what became of a write, or that it takes too long.
    fn written(&mut self, context: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let too_slow = || Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        let (limits, now) = (self.limits, Instant::now());
        let began = *self.answering.get_or_insert(now);
        if write.is_ready() {
            self.patience = None;
            self.connection.moves();
            return if now - began > limits.answer { too_slow() } else { write };
        }
        let until = || Box::pin(sleep_until((now + limits.stalled).min(began + limits.answer)));
        let patience = self.patience.get_or_insert_with(until);
        if patience.as_mut().poll(context).is_ready() { too_slow() } else { Poll::Pending }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if into.filled().len() > before {
            self.answering = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(context, write)
    }

    /// So that a body is written from where it is, and not copied for each reader.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream as Peer;

    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn the_connection_on_which_nothing_has_moved_for_longest_gives_way() {
        let mut all = Connections::new(3);
        let mut open: Vec<Arc<Connection>> = (0..3).map(|_| all.admit()).collect();
        for (open, moved) in open.iter().zip([30, 10, 20]) {
            open.moved.store(moved, Ordering::Relaxed);
        }
        let ended = |open: &[Arc<Connection>]| open.iter().map(|open| open.ends.is_cancelled()).collect::<Vec<_>>();
        open.push(all.admit());
        assert_eq!(ended(&open), [false, true, false, false]);
        // A place that was left is taken, and nobody has to go.
        open.remove(3);
        open.push(all.admit());
        assert_eq!(ended(&open), [false, true, false, false]);
        assert!(all.make_room() && all.make_room() && all.make_room() && !all.make_room());
    }

    #[test]
    fn one_that_has_just_come_keeps_its_place_for_a_moment() {
        let mut all = Connections::new(2);
        let mut open = vec![all.admit()];
        assert_eq!(all.full_for(), Duration::ZERO);
        open.push(all.admit());
        let full_for = all.full_for();
        assert!(full_for <= REST && full_for + all.began.elapsed() >= REST, "{full_for:?}");
        open.pop();
        assert_eq!(all.full_for(), Duration::ZERO);
    }

    /// A connection, and its other end.
    fn pair(limits: Limits) -> (Bounded<UnixStream>, Peer) {
        let (near, far) = Peer::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = UnixStream::from_std(near).unwrap();
        (Bounded { limits, ..Bounded::new(near, Connections::new(1).admit()) }, far)
    }

    async fn write(to: &mut Bounded<UnixStream>) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *to).poll_write(context, &[b'x'; 4096])).await
    }

    /// Writes until that fails.
    async fn write_on(mut to: Bounded<UnixStream>) -> io::Error {
        loop {
            if let Err(error) = write(&mut to).await {
                return error;
            }
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (near, _far) = pair(Limits { stalled: Duration::from_millis(50), answer: LONG });
        assert_eq!(write_on(near).await.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_for_ever_is_given_up_a_little_later() {
        let (near, mut far) = pair(Limits { stalled: LONG, answer: Duration::from_millis(50) });
        let reader = std::thread::spawn(move || while far.read(&mut [0; 512]).is_ok_and(|read| read > 0) {});
        assert_eq!(write_on(near).await.kind(), io::ErrorKind::TimedOut);
        reader.join().unwrap();
    }

    #[tokio::test]
    async fn the_time_for_an_answer_begins_with_each_request() {
        let (mut near, mut far) = pair(Limits { stalled: LONG, answer: Duration::ZERO });
        for _ in 0..3 {
            far.write_all(b"ask").unwrap();
            let mut asked = [0; 8];
            let mut asked = ReadBuf::new(&mut asked);
            poll_fn(|context| Pin::new(&mut near).poll_read(context, &mut asked)).await.unwrap();
            assert_eq!(near.answering, None);
            // The first write begins the time, and is in it.
            let _ = write(&mut near).await;
            assert!(near.answering.is_some());
        }
    }
}
