//! What happens in a random story.

use proptest::prelude::*;

use crate::reconcile::tests::world::Crash;

/// So many objects there are.
pub const NAMES: u8 = 14;

#[derive(Clone, Debug)]
pub enum Event {
    /// Which objects, by bit; which value they have; whether files are broken; whether it renders.
    Commit(u16, bool, bool, bool),
    /// The branch goes back to an earlier commit.
    Back(u8),
    PollFails(bool),
    Edit(u8),
    Delete(u8),
    Strip(u8),
    Recreate(u8),
    Refuse(u8),
    /// A commit in which the first object takes the place of the second, and is refused as long as that
    /// one is there.
    Rename(u8, u8),
    Finalize(u8),
    Release,
    Unhealthy(u8),
    ParentRefused(bool),
    Unobservable(bool),
    Unreadable(bool),
    Mend,
    Kill(u8, Crash),
    /// What is held is approved, or just some commit.
    Approve(bool),
    /// The configuration has the current commit render to these objects.
    Path(u16),
    /// Somebody takes an approval back.
    Withdraw,
    Suspend(bool),
    /// A person asks for a sync.
    Ask,
    /// The process ends; another replica stood by for so many seconds and leads now.
    Succeed(u16),
    /// Another replica begins to stand by, or the one that does takes over, whatever was stored meanwhile.
    StandBy,
    TakeOver,
    /// The process is signalled to end, ends in order and starts again.
    Stop,
    /// The configured path is another one from now on.
    Configure(bool),
    /// For so many fetches, the branch has moved on since it was polled.
    Move(u8),
    /// A commit comes and is asked for; that is answered before what is under way, so many effects.
    Overtake(u16, bool, u8),
    /// Something happens while an effect of this kind is under way.
    During(&'static str, Box<Event>),
    /// So many effects are answered, the newest first where `true`.
    Some(u8, bool),
    Pass(u16),
    /// So many changes of the watch are delivered, or lost.
    Changes(u8, bool),
}

pub fn any_event() -> impl Strategy<Value = Event> {
    use Event::{
        Approve, Ask, Back, Changes, Commit, Configure, Delete, During, Edit, Finalize, Kill, Mend, Move,
        ParentRefused, Pass, Path, PollFails, Recreate, Refuse, Release, Rename, Some, StandBy, Stop, Strip, Succeed,
        Suspend, TakeOver, Unhealthy, Unobservable, Unreadable,
    };
    let name = 0..NAMES;
    prop_oneof![
        4 => (any::<u16>(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.15))
            .prop_map(|(objects, value, broken, fails)| Commit(objects, value, broken, fails)),
        1 => any::<u8>().prop_map(Back),
        1 => any::<bool>().prop_map(PollFails),
        1 => name.clone().prop_map(Edit),
        1 => name.clone().prop_map(Delete),
        1 => name.clone().prop_map(Strip),
        1 => name.clone().prop_map(Recreate),
        1 => name.clone().prop_map(Refuse),
        3 => (name.clone(), name.clone()).prop_map(|(new, old)| Rename(new, old)),
        1 => name.clone().prop_map(Finalize),
        1 => Just(Release),
        1 => name.prop_map(Unhealthy),
        1 => any::<bool>().prop_map(ParentRefused),
        1 => any::<bool>().prop_map(Unobservable),
        1 => any::<bool>().prop_map(Unreadable),
        2 => Just(Mend),
        3 => (0..8u8, crash()).prop_map(|(at, crash)| Kill(at, crash)),
        1 => (0..400u16).prop_map(Succeed),
        3 => prop::bool::weighted(0.8).prop_map(Approve),
        3 => prop::bool::weighted(0.4).prop_map(Suspend),
        2 => Just(Ask),
        1 => Just(StandBy),
        1 => Just(TakeOver),
        2 => Just(Stop),
        1 => any::<bool>().prop_map(Configure),
        1 => (1..3u8).prop_map(Move),
        1 => any::<u16>().prop_map(Path),
        8 => (prop::sample::select(&KINDS[..]), meanwhile()).prop_map(|(kind, what)| During(kind, Box::new(what))),
        6 => (1..8u8, any::<bool>()).prop_map(|(count, newest)| Some(count, newest)),
        6 => (1..400u16).prop_map(Pass),
        6 => (1..12u8, prop::bool::weighted(0.8)).prop_map(|(count, delivered)| Changes(count, delivered)),
    ]
}

/// What may be under way when something happens.
const KINDS: [&str; 8] = ["Examine", "Heal", "Poll", "Render", "Observe", "WriteParent", "Apply", "Prune"];

fn meanwhile() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Suspend(true)),
        2 => Just(Event::Ask),
        3 => Just(Event::Withdraw),
        4 => (any::<u16>(), any::<bool>()).prop_map(|(objects, value)| Event::Commit(objects, value, false, false)),
        4 => (any::<u16>(), any::<bool>(), 1..6u8)
            .prop_map(|(objects, value, answers)| Event::Overtake(objects, value, answers)),
        1 => Just(Event::PollFails(true)),
        1 => Just(Event::Stop),
        1 => Just(Event::TakeOver),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Before), Just(Crash::After), (0..6usize).prop_map(Crash::Within)]
}
