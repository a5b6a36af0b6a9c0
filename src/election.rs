//! Who may write, and until when: the election of one of several agents by a Lease (`coordination.k8s.io/v1`), after the rules
//! of client-go's `leaderelection`. Values in, values out: both clocks are handed in, `cluster` sends the requests, `agent`
//! sleeps between them, and the fence of `cluster` asks a [`Hold`] before it sends a write.
//!
//! ```text
//!  Round ──> Request ──> API server ──> Answer ──> Round ──> Held ──> Hold ──> may a write be sent, and until when
//!    └─> Candidate: what the Lease says, and since when
//! ```
//!
//! It is a room of its own since it is about the whole agent and no sync, since the fence may know neither `plan` nor
//! `reconcile`, and since the table in `src/lib.rs` then says that it is pure, and the test of the rooms checks that.

mod candidate;
mod hold;
mod round;
#[cfg(test)]
mod tests;
mod unanswered;

pub use candidate::{Candidate, LeaseStep, Record};
pub use hold::{Clocks, HEAD_NEEDS, Hold, LEASE, Lasts, RENEW_WITHIN, RETRY, limit_of_write};
pub use round::{Answer, Next, Request, Round};
pub use unanswered::Unanswered;
