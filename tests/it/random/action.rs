//! What happens in a random run, and how a seed becomes a sequence of it.

use std::time::Duration;

use fastrand::Rng;

use super::declared::{Dir, SHARED, State, Sync, THINGS, Thing};
use crate::support::fault::{Fault, Side};

/// What a commit does to the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Dir, Thing, u32),
    Remove(Dir, Thing),
    /// All is removed but one thing, or everything.
    RemoveAllBut(Dir, Option<Thing>),
    /// A file that cannot be parsed comes, or goes.
    Break(Dir, bool),
    /// A directory gets what another one has.
    Copy(Dir, Dir),
}

/// What somebody else does to an object of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualEdit {
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
    /// A field that git does not declare is added.
    Add,
    /// The same by somebody whose fields the agent takes over.
    AddWithKubectl,
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
    /// LISTs and watches show how it was so many commits ago, as of a server whose cache lags.
    Past(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Commit(Vec<Change>),
    /// The state before the newest commit, as a new one.
    Revert,
    ManualEdit(ManualEdit, Thing),
    Spoil(Spoil),
    /// All faults end.
    Calm,
    Kill,
    /// Killed at the n-th request from now, if it comes soon.
    Crash(usize, Side),
    /// SIGTERM, and SIGKILL for who does not end in time.
    Stop,
    Suspend(Sync),
    /// Until the sync says that it is suspended and nothing more is written, if that is soon.
    Still(Sync),
    Resume(Sync),
    Approve(Sync),
    /// A poll of git now.
    Hurry(Sync),
    /// The configuration has the sync of the shop follow another directory.
    Follow(Dir),
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
    /// Only the first one, or all three.
    pub syncs: Vec<Sync>,
    pub actions: Vec<Action>,
}

const SHORTEST: usize = 10;
const LONGEST: usize = 20;

impl Plot {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice { rng: Rng::with_seed(seed), number: 0, syncs: vec![Sync::Shop], dir: Dir::Shop };
        if dice.rng.u8(..3) == 0 {
            dice.syncs.extend([Sync::Till, Sync::Yard]);
        }
        let mut first = State::default();
        for thing in THINGS {
            if dice.rng.u8(..3) > 0 {
                first.within(Dir::Shop).things.insert(thing, dice.number());
            }
        }
        if dice.syncs.len() > 1 {
            for (dir, thing) in [Dir::Till, Dir::Yard].into_iter().flat_map(|dir| SHARED.map(|thing| (dir, thing))) {
                if dice.rng.u8(..3) == 0 {
                    first.within(dir).things.insert(thing, dice.number());
                }
            }
        }
        let length = dice.rng.usize(SHORTEST..=LONGEST);
        // Some begin in an empty cluster.
        let mut actions = if dice.rng.u8(..4) > 0 { vec![Action::Settle, Action::Settle] } else { Vec::new() };
        while actions.len() < length {
            match dice.rng.u8(..100) {
                0..8 => actions.extend(dice.suspension()),
                8..12 => actions.extend(dice.other_directory()),
                _ => actions.extend(dice.one_thing()),
            }
            actions.extend(dice.pause());
        }
        Self { first, syncs: dice.syncs, actions }
    }
}

struct Dice {
    rng: Rng,
    number: u32,
    syncs: Vec<Sync>,
    /// What the sync of the shop follows by now.
    dir: Dir,
}

impl Dice {
    /// One that was not before, so that content shows its commit.
    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    fn sync(&mut self) -> Sync {
        let syncs = self.syncs.clone();
        self.one(&syncs)
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

    /// An action, and what has to follow it.
    fn one_thing(&mut self) -> Vec<Action> {
        let action = self.action();
        let mut actions = if action == Action::Stop { self.calm() } else { Vec::new() };
        let hurried = matches!(action, Action::Commit(_) | Action::Revert | Action::Approve(_)) && self.rng.bool();
        let held = matches!(&action, Action::Commit(changes) if matches!(changes[..], [Change::RemoveAllBut(..)]));
        actions.push(action);
        if hurried || held {
            // Else the next poll may be later than the next action.
            actions.push(Action::Hurry(Sync::Shop));
        }
        if held && self.rng.bool() {
            // A restart must not forget what the guard holds.
            actions.extend([Action::Settle, Action::Kill, Action::Requests(20)]);
        }
        actions
    }

    /// An end of all faults, one time out of two: what comes next is less lenient then.
    fn calm(&mut self) -> Vec<Action> {
        if self.rng.bool() { vec![Action::Calm] } else { Vec::new() }
    }

    /// A suspension around something, to the end of which nothing may be written.
    fn suspension(&mut self) -> Vec<Action> {
        let sync = self.sync();
        let mut actions = self.calm();
        actions.extend([Action::Suspend(sync), Action::Still(sync)]);
        for _ in 0..self.rng.usize(1..=3) {
            match self.rng.u8(..10) {
                0..2 => actions.push(Action::Commit(self.changes())),
                2..4 => actions.push(self.manual_edit()),
                4..8 => actions.extend(self.hotfix(sync)),
                8 => actions.push(Action::Stop),
                _ => actions.push(Action::Kill),
            }
            actions.extend(self.pause());
        }
        actions.push(Action::Resume(sync));
        actions
    }

    /// What is changed by hand first, and in git then.
    fn hotfix(&mut self, sync: Sync) -> [Action; 2] {
        let (dir, thing) = (self.dir_of(sync), self.one(&SHARED));
        let change = Change::Put(dir, thing, self.number());
        [Action::ManualEdit(ManualEdit::Edit, thing), Action::Commit(vec![change])]
    }

    /// The sync of the shop follows another directory, which has about the same.
    fn other_directory(&mut self) -> Vec<Action> {
        let (from, to) = if self.dir == Dir::Shop { (Dir::Shop, Dir::Aside) } else { (Dir::Aside, Dir::Shop) };
        let mut actions = Vec::new();
        if self.rng.u8(..4) > 0 {
            let mut changes = vec![Change::Copy(from, to)];
            self.dir = to;
            changes.extend((0..self.rng.usize(..3)).map(|_| self.change()));
            actions.push(Action::Commit(changes));
        }
        self.dir = to;
        actions.push(Action::Follow(to));
        actions
    }

    fn action(&mut self) -> Action {
        match self.rng.u8(..100) {
            0..28 => Action::Commit(self.changes()),
            28..32 => Action::Revert,
            32..54 => self.manual_edit(),
            54..71 => Action::Spoil(self.spoil()),
            71..76 => Action::Calm,
            76..80 => Action::Kill,
            80..85 => Action::Crash(self.rng.usize(1..40), self.one(&[Side::Before, Side::After])),
            85..89 => Action::Stop,
            89..90 => Action::Suspend(self.sync()),
            90..92 => Action::Resume(self.sync()),
            92..94 => Action::Approve(self.sync()),
            _ => Action::Hurry(self.sync()),
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        let dir = self.dir;
        match self.rng.u8(..20) {
            0 => return vec![Change::RemoveAllBut(dir, None)],
            1 => return vec![Change::RemoveAllBut(dir, Some(self.one(&THINGS)))],
            2 => return vec![Change::Break(self.followed(), true), self.change()],
            3 => return vec![Change::Put(dir, Thing::Refused, self.number()), self.change()],
            4..6 => {
                let mended = [Dir::Till, Dir::Yard, dir].map(|dir| Change::Break(dir, false));
                let mut changes = mended.to_vec();
                changes.extend([Change::Remove(dir, Thing::Refused), self.change()]);
                return changes;
            }
            // An object moves from one sync to another.
            6..11 if self.syncs.len() > 1 => {
                let (from, to, thing) = (self.followed(), self.followed(), self.one(&SHARED));
                return vec![Change::Remove(from, thing), Change::Put(to, thing, self.number()), self.change()];
            }
            _ => {}
        }
        (0..self.rng.usize(1..=4)).map(|_| self.change()).collect()
    }

    /// A directory that a sync follows.
    fn followed(&mut self) -> Dir {
        let sync = self.sync();
        self.dir_of(sync)
    }

    fn dir_of(&self, sync: Sync) -> Dir {
        match sync {
            Sync::Shop => self.dir,
            Sync::Till => Dir::Till,
            Sync::Yard => Dir::Yard,
        }
    }

    fn change(&mut self) -> Change {
        let dir = self.followed();
        let thing = if dir == self.dir { self.one(&THINGS) } else { self.one(&SHARED) };
        if self.rng.u8(..5) < 2 { Change::Remove(dir, thing) } else { Change::Put(dir, thing, self.number()) }
    }

    fn manual_edit(&mut self) -> Action {
        let edit = self.one(&[
            ManualEdit::Edit,
            ManualEdit::Edit,
            ManualEdit::EditWithKubectl,
            ManualEdit::Delete,
            ManualEdit::Delete,
            ManualEdit::Unlabel,
            ManualEdit::Unannotate,
            ManualEdit::WipeManagers,
            ManualEdit::Recreate,
            ManualEdit::Restore,
            ManualEdit::Copy,
            ManualEdit::Status,
            ManualEdit::Add,
            ManualEdit::AddWithKubectl,
        ]);
        Action::ManualEdit(edit, if edit == ManualEdit::Status { Thing::Web } else { self.one(&THINGS) })
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
