//! SIGKILL between any two requests: before the server has one, and after it has answered and the
//! agent has not received that. The points are counted on the way, so that new requests are points as well.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fault::Side;
use crate::support::story::{End, Kept, State, Story, settles};
use crate::support::wait::eventually;

/// Runs that go on at the same time.
const AT_ONCE: usize = 4;
/// All points are tried where this variable is set; else each of so many.
const ALL: &str = "DRIFTLESS_CRASH_POINTS";
const STRIDE: usize = 11;
/// So long without a request, a settled agent has nothing more to do.
const QUIET: Duration = Duration::from_millis(1500);
/// A shorter one, after which it may only be the number of a point that is not what it was.
const PAUSE: Duration = Duration::from_millis(500);

/// What is under way when the agent is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// From an empty cluster, with the start of the agent.
    Sync,
    /// A commit that changes, adds and removes.
    Forth,
    /// The opposite.
    Back,
    /// A commit that removes everything, and is held.
    Emptied,
}

const PHASES: [Phase; 4] = [Phase::Sync, Phase::Forth, Phase::Back, Phase::Emptied];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    phase: Phase,
    number: usize,
    side: Side,
    then: Then,
}

/// What git has when the next agent starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Then {
    /// The same commit.
    Same,
    /// Another one already: what the killed agent made of the last one is orphaned if it was not
    /// written down before.
    Another,
}

/// Names the point at which a thread panics.
struct OnPanic(Point);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("killed at {:?}", self.0);
        }
    }
}

/// Makes the commit of a phase; gives how the sync then ends.
fn begin(story: &Story, phase: Phase) -> End {
    match phase {
        Phase::Sync => End::synced(story.site.repo.head()),
        Phase::Forth => End::synced(story.go_to(State::Second)),
        Phase::Back => End::synced(story.go_to(State::First)),
        Phase::Emptied => End::held(story.empty()),
    }
}

/// The state that holds after a phase.
fn state_after(phase: Phase) -> State {
    if phase == Phase::Forth { State::Second } else { State::First }
}

/// The state in which a phase begins.
fn state_before(phase: Phase) -> State {
    if phase == Phase::Back { State::Second } else { State::First }
}

/// The whole story without a crash: how many requests each phase has.
fn count() -> BTreeMap<Phase, usize> {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    let mut numbers = BTreeMap::new();
    let mut before = 0;
    for phase in PHASES {
        let end = begin(&story, phase);
        agent.converges(&end);
        let now = settles(&story, QUIET);
        story.holds(state_after(phase));
        numbers.insert(phase, now - before);
        before = now;
    }
    numbers
}

/// A story and the agent in it.
struct Runner {
    story: Story,
    agent: Option<Kept>,
    /// What the cluster is equal to.
    state: Option<State>,
}

impl Runner {
    fn new() -> Self {
        Self { story: Story::new(), agent: None, state: None }
    }

    /// Has an agent do all that there is to do.
    fn rests(&mut self, end: &End) {
        let agent = self.agent.get_or_insert_with(|| Kept::launch(&self.story));
        agent.converges(end);
        settles(&self.story, PAUSE);
    }

    fn is_at(&mut self, state: State) {
        if self.state != Some(state) {
            let end = End::synced(self.story.go_to(state));
            self.rests(&end);
            self.state = Some(state);
        }
    }

    /// Kills the agent at a point of a phase, and has another one end it. Gives whether the
    /// point was reached.
    fn crash(&mut self, point: Point) -> bool {
        let _on_panic = OnPanic(point);
        if point.phase != Phase::Sync {
            self.is_at(state_before(point.phase));
        }
        let frozen = self.story.proxy.freeze_at(point.number, point.side);
        let mut end = begin(&self.story, point.phase);
        let agent = self.agent.get_or_insert_with(|| Kept::launch(&self.story));
        let (mut count, mut since) = (self.story.proxy.count(), Instant::now());
        let reached = eventually("the point is reached, or everything is done", || {
            if frozen.is_reached() {
                return Ok(true);
            }
            if self.story.proxy.count() != count || agent.seen(&end).is_err() {
                (count, since) = (self.story.proxy.count(), Instant::now());
            }
            if since.elapsed() >= QUIET { Ok(false) } else { Err(format!("{count} requests")) }
        });
        if let Some(agent) = self.agent.take() {
            agent.kill();
        }
        let mut state = state_after(point.phase);
        let emptied = point.phase == Phase::Emptied;
        if point.then == Then::Another {
            state = if emptied || state == State::Second { State::First } else { State::Second };
            end = End::synced(self.story.go_to(state));
        }
        self.story.proxy.thaw();
        self.rests(&end);
        self.story.holds(state);
        self.state = Some(state).filter(|_| !emptied || point.then == Then::Another);
        reached
    }
}

/// Both sides of each request of a phase, as far as this run tries them.
fn points(numbers: &BTreeMap<Phase, usize>, phase: Phase) -> Vec<Point> {
    let stride = if std::env::var_os(ALL).is_some() { 1 } else { STRIDE };
    let all = (1..=numbers[&phase]).flat_map(|number| {
        let sides = [(Side::Before, Then::Another), (Side::After, Then::Same)];
        let sides = sides.into_iter().chain([(Side::After, Then::Another), (Side::Before, Then::Same)]);
        sides.map(move |(side, then)| Point { phase, number, side, then })
    });
    all.step_by(stride).collect()
}

/// Scenario 33
#[test]
fn killed_before_or_after_any_request_the_next_start_converges_and_nothing_is_left_over_or_lost() {
    let began = Instant::now();
    let numbers = count();
    println!("requests by phase: {numbers:?}");
    let left = Mutex::new(PHASES.into_iter().rev().flat_map(|phase| points(&numbers, phase)).collect::<Vec<Point>>());
    let next = || left.lock().expect("the points").pop();
    let work = || {
        let mut reached = Vec::new();
        // A sync from nothing has a cluster of its own; the others go on in one that is there.
        let mut resting = Runner::new();
        while let Some(point) = next() {
            let there = if point.phase == Phase::Sync { Runner::new().crash(point) } else { resting.crash(point) };
            reached.push((point, there));
        }
        reached
    };
    let reached: Vec<(Point, bool)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no point fails")).collect()
    });
    let missed: Vec<&Point> = reached.iter().filter(|(_, there)| !there).map(|(point, _)| point).collect();
    println!(
        "{} points in {} s, of which {} were not reached: {missed:?}",
        reached.len(),
        began.elapsed().as_secs(),
        missed.len()
    );
    // How often the health of something new is asked for depends on how soon it is there.
    assert!(missed.len() * 5 <= reached.len(), "most points are reached");
}
