//! What a webhook says: from the headers and the body of a request to the repositories that have changed, or to why the request is
//! refused. Pure: secrets and time are passed in.
//!
//! A webhook is a hint to poll now, and nothing else: whoever could forge one, or send one again, would cause a poll.

mod location;
mod pace;
mod payload;
mod receive;
mod sender;
mod verify;

pub use location::{Location, Of, locations};
pub use pace::{Deliveries, PAUSE, Pace, Rate};
pub use receive::{Received, Refused, Request, receive};
pub use sender::Sender;
pub use verify::Secrets;
