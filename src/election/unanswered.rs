//! Writes that the API server may still carry out: those under way, and those that were given up before they had an answer.

use std::time::Duration;

/// What is known of them. Times are monotonic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unanswered {
    under_way: usize,
    /// Until when the server gives up the last one that has no answer and is awaited no more.
    until: Option<Duration>,
}

impl Unanswered {
    /// A write is sent.
    pub fn sent(&mut self) {
        self.under_way += 1;
    }

    /// It has an answer.
    pub fn answered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// It is awaited no more, and the server gives it up by then, as its `timeout` says.
    pub fn given_up(&mut self, until: Duration) {
        self.answered();
        self.until = Some(self.until.map_or(until, |known| known.max(until)));
    }

    /// Whether one of them may be carried out from `now` on. As long as it may, nobody else may lead.
    #[must_use]
    pub fn may_be_carried_out(&self, now: Duration) -> bool {
        self.under_way > 0 || self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_may_be_carried_out_until_it_is_answered_or_the_server_has_given_it_up() {
        let at = Duration::from_secs;
        let mut writes = Unanswered::default();
        assert!(!writes.may_be_carried_out(at(0)));
        writes.sent();
        writes.sent();
        writes.answered();
        assert!(writes.may_be_carried_out(at(1000)), "one is under way");
        writes.given_up(at(13));
        assert!(writes.may_be_carried_out(at(12)) && !writes.may_be_carried_out(at(13)));
        writes.sent();
        writes.given_up(at(5));
        assert!(writes.may_be_carried_out(at(12)), "the later end counts");
    }
}
