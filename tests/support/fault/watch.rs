//! The body of a watch: passed on as it comes, held back, cut or ended when a test asks for it.

use futures::Stream;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Bytes;
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::watch::Receiver;

use super::answer::{Answer, Broken, status};
use super::state::Watches;

struct Passing {
    from: Answer,
    orders: Receiver<Watches>,
    before: Watches,
    /// What comes next begins a line.
    at_line: bool,
    over: bool,
}

/// `orders` as it was when the watch was asked for.
pub fn watched(from: Answer, orders: Receiver<Watches>) -> Answer {
    let before = orders.borrow().clone();
    let passing = Passing { from, orders, before, at_line: true, over: false };
    StreamBody::new(frames(passing)).boxed_unsync()
}

fn frames(passing: Passing) -> impl Stream<Item = Result<Frame<Bytes>, Broken>> + Send {
    stream::unfold(passing, |mut passing| async move {
        if passing.over {
            return None;
        }
        let frame = passing.next().await?;
        Some((frame, passing))
    })
}

impl Passing {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Broken>> {
        loop {
            let now = self.orders.borrow_and_update().clone();
            if now.cuts != self.before.cuts || (now.expiries != self.before.expiries && !self.at_line) {
                self.over = true;
                return Some(Err(Broken("the watch is cut".into())));
            }
            if now.expiries != self.before.expiries {
                self.over = true;
                let event = json!({"type": "ERROR", "object": status(410)});
                return Some(Ok(Frame::data(format!("{event}\n").into())));
            }
            tokio::select! {
                biased;
                changed = self.orders.changed() => {
                    // The proxy has ended, and its connections with it.
                    if changed.is_err() {
                        return None;
                    }
                }
                frame = self.from.frame(), if !now.stalled => {
                    if let Some(Ok(frame)) = &frame {
                        self.at_line = frame.data_ref().is_none_or(|data| data.ends_with(b"\n"));
                    }
                    return frame;
                }
            }
        }
    }
}
