//! What happens in a random run, and how a seed becomes a sequence of it.

use std::time::Duration;

use fastrand::Rng;

use super::declared::{State, THINGS, Thing};
use crate::support::fault::{Fault, Side};

/// What a commit does to the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Thing, u32),
    Remove(Thing),
    /// All is removed but one thing, or everything.
    RemoveAllBut(Option<Thing>),
    /// A file that cannot be parsed comes, or goes.
    Break(bool),
}

/// What somebody else does to an object of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    Edit,
    /// As somebody whose fields the agent takes over.
    EditWithKubectl,
    Delete,
    Unlabel,
    Unannotate,
    WipeManagers,
    /// Deleted and made again, with other content.
    Recreate,
    /// The same with the agent's label and annotation, as out of a backup.
    Restore,
    /// Another object gets its labels and annotations.
    Copy,
    Status,
}

/// What happens to requests from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// So many requests of these verbs meet a fault; of all verbs where none is named.
    Some {
        fault: Fault,
        verbs: &'static [&'static str],
        times: usize,
    },
    /// Of a hundred requests, so many meet a fault, each another one.
    Storm {
        seed: u64,
        percent: u8,
    },
    Refuse,
    Stall,
    Cut,
    Expire,
    /// LISTs come in pages of two, whose continuation has expired.
    Pages,
    /// An API group is down.
    Down(&'static str),
    /// LISTs and watches tell how it was so many commits ago, as of a server whose cache lags.
    Past(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Commit(Vec<Change>),
    /// The state before the newest commit, as a new one.
    Revert,
    Hand(Hand, Thing),
    Spoil(Spoil),
    /// All faults end.
    Calm,
    Kill,
    /// Killed at the n-th request from now, if it comes soon.
    Crash(usize, Side),
    /// SIGTERM, and SIGKILL for who does not end in time.
    Stop,
    Suspend,
    Resume,
    Approve,
    /// A look at git now.
    Hurry,
    Wait(Duration),
    /// Until so many more requests have come, if they come soon.
    Requests(usize),
    /// Until the sync is done with the newest commit, if that is soon.
    Settle,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plot {
    pub first: State,
    pub actions: Vec<Action>,
}

const SHORTEST: usize = 10;
const LONGEST: usize = 20;

impl Plot {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice { rng: Rng::with_seed(seed), number: 0 };
        let mut first = State::default();
        for thing in THINGS {
            if dice.rng.u8(..3) > 0 {
                first.things.insert(thing, dice.number());
            }
        }
        let length = dice.rng.usize(SHORTEST..=LONGEST);
        // Some begin in an empty cluster.
        let mut actions = if dice.rng.u8(..4) > 0 { vec![Action::Settle, Action::Settle] } else { Vec::new() };
        while actions.len() < length {
            let action = dice.action();
            let hurried = matches!(action, Action::Commit(_) | Action::Revert | Action::Approve) && dice.rng.bool();
            let held = matches!(&action, Action::Commit(changes) if matches!(changes[..], [Change::RemoveAllBut(_)]));
            actions.push(action);
            if hurried || held {
                // Else the next look may be later than the next action.
                actions.push(Action::Hurry);
            }
            if held && dice.rng.bool() {
                // A restart must not forget what the guard holds.
                actions.extend([Action::Settle, Action::Kill, Action::Requests(20)]);
            }
            actions.extend(dice.pause());
        }
        Self { first, actions }
    }
}

struct Dice {
    rng: Rng,
    number: u32,
}

impl Dice {
    /// One that was not before, so that content tells its commit.
    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    /// Most fall into the middle of something.
    fn pause(&mut self) -> Option<Action> {
        match self.rng.u8(..10) {
            0..2 => Some(Action::Wait(Duration::from_millis(self.one(&[5, 20, 50, 100, 200, 400, 800])))),
            2..6 => Some(Action::Requests(self.rng.usize(1..30))),
            6 => Some(Action::Settle),
            _ => None,
        }
    }

    fn action(&mut self) -> Action {
        match self.rng.u8(..100) {
            0..28 => Action::Commit(self.changes()),
            28..32 => Action::Revert,
            32..54 => {
                let hand = self.hand();
                Action::Hand(hand, if hand == Hand::Status { Thing::Web } else { self.one(&THINGS) })
            }
            54..71 => Action::Spoil(self.spoil()),
            71..76 => Action::Calm,
            76..80 => Action::Kill,
            80..85 => Action::Crash(self.rng.usize(1..40), self.one(&[Side::Before, Side::After])),
            85..88 => Action::Stop,
            88..91 => Action::Suspend,
            91..94 => Action::Resume,
            94..96 => Action::Approve,
            _ => Action::Hurry,
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        match self.rng.u8(..20) {
            0 => return vec![Change::RemoveAllBut(None)],
            1 => return vec![Change::RemoveAllBut(Some(self.one(&THINGS)))],
            2 => return vec![Change::Break(true), self.change()],
            3 => return vec![Change::Put(Thing::Refused, self.number()), self.change()],
            4..6 => return vec![Change::Break(false), Change::Remove(Thing::Refused), self.change()],
            _ => {}
        }
        (0..self.rng.usize(1..=4)).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        let thing = self.one(&THINGS);
        if self.rng.u8(..5) < 2 { Change::Remove(thing) } else { Change::Put(thing, self.number()) }
    }

    fn hand(&mut self) -> Hand {
        self.one(&[
            Hand::Edit,
            Hand::Edit,
            Hand::EditWithKubectl,
            Hand::Delete,
            Hand::Delete,
            Hand::Unlabel,
            Hand::Unannotate,
            Hand::WipeManagers,
            Hand::Recreate,
            Hand::Restore,
            Hand::Copy,
            Hand::Status,
        ])
    }

    fn spoil(&mut self) -> Spoil {
        match self.rng.u8(..20) {
            0 => Spoil::Refuse,
            1 => Spoil::Stall,
            2 | 3 => Spoil::Cut,
            4 => Spoil::Expire,
            5 => Spoil::Pages,
            6 => Spoil::Down(self.one(&["apps", "batch"])),
            7 => Spoil::Past(self.rng.usize(..3)),
            8..12 => Spoil::Storm { seed: self.rng.u64(..), percent: self.one(&[5, 20, 50]) },
            _ => {
                let verbs: [&'static [&'static str]; 7] =
                    [&["apply"], &["apply"], &["delete"], &["get", "list"], &["watch"], &["apply", "delete"], &[]];
                Spoil::Some { fault: fault(&mut self.rng), verbs: self.one(&verbs), times: self.rng.usize(1..=6) }
            }
        }
    }
}

/// Any of the faults that a request may meet.
pub fn fault(rng: &mut Rng) -> Fault {
    let while_long = Duration::from_millis(rng.u64(20..700));
    match rng.u8(..14) {
        0 => Fault::Break,
        1 | 2 => Fault::BreakAfter,
        3 => Fault::SilenceAfter(while_long),
        4 => Fault::Delay(while_long),
        5 => Fault::DelayAnswer(while_long),
        6 => Fault::Twice,
        7 => Fault::Answer(409, None),
        8 => Fault::Answer(410, None),
        9 => Fault::Answer(422, None),
        10 => Fault::Answer(429, Some(1)),
        11 => Fault::Answer(500, None),
        12 => Fault::Answer(503, None),
        _ => Fault::Truncate(rng.usize(0..200)),
    }
}
