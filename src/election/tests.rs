//! Two agents and one Lease, stepped by chance: at no moment of real time may both write. Their clocks run at different
//! speeds, machines are suspended or their clocks are set, agents crash, requests are slow, lost, or arrive long after
//! they were given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::*;

/// How much faster or slower than real time a clock runs at most. The margin of the Lease allows for a little more than this:
/// (1 + drift) / (1 - drift) has to stay below 15 s / 14 s.
const DRIFT: f64 = 0.02;
/// Runs, and steps of each: 300 s of real time.
const RUNS: u64 = 150;
const STEPS: usize = 4000;

/// What goes wrong with the clocks of a machine. Not both within one Lease: the time of a suspension cannot be known
/// if the wall clock is set back as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Suspended,
    ClockSet,
}

#[derive(Default)]
struct Server {
    lease: Option<Record>,
    writes: u64,
}

impl Server {
    /// Writes over the very version that the record names.
    fn write(&mut self, record: &Record) -> Result<Answer, Outdated> {
        let version = self.lease.as_ref().map(|lease| lease.version.as_str()).unwrap_or_default();
        if record.version != version {
            return Err(Outdated);
        }
        self.writes += 1;
        let written = Record { version: self.writes.to_string(), ..record.clone() };
        self.lease = Some(written.clone());
        Ok(Answer::Written(written))
    }

    fn carry_out(&mut self, request: &Request) -> Result<Answer, Outdated> {
        match request {
            Request::Read => Ok(Answer::Read(self.lease.clone())),
            Request::Write(record) => self.write(record),
        }
    }
}

struct Outdated;

/// A try that is under way, and what the server made of its newest request, once that has arrived.
struct Try {
    round: Round,
    request: Request,
    answer: Option<Result<Answer, Outdated>>,
}

struct Agent {
    me: Arc<str>,
    candidate: Candidate,
    hold: Hold,
    clocks: Clocks,
    speed: f64,
    trouble: Trouble,
    /// Suspended until this real time.
    asleep: Duration,
    under_way: Option<Try>,
    /// When the next try begins, on its monotonic clock.
    next: Duration,
    /// Limits of writes whose heads were sent.
    heads: Vec<Duration>,
    /// It begins no further write, and lets the Lease go when what it sent is over.
    stopping: bool,
}

impl Agent {
    fn new(number: usize, drift: f64, rng: &mut Rng) -> Self {
        let me: Arc<str> = format!("agent-{number}").into();
        let wall = Timestamp::from_second(1_800_000_000 + rng.i64(-100_000..100_000)).unwrap();
        Self {
            candidate: Candidate::new(Arc::clone(&me), LEASE),
            me,
            hold: Hold::No,
            clocks: Clocks { mono: Duration::from_secs(rng.u64(0..1000)), wall },
            speed: 1.0 + drift * (2.0 * rng.f64() - 1.0),
            trouble: if rng.bool() { Trouble::Suspended } else { Trouble::ClockSet },
            asleep: Duration::ZERO,
            under_way: None,
            next: Duration::ZERO,
            heads: Vec::new(),
            stopping: false,
        }
    }

    fn pass(&mut self, passed: Duration, now: Duration) {
        let passed = passed.mul_f64(self.speed);
        self.clocks.wall += passed;
        if self.asleep <= now {
            self.clocks.mono += passed;
        }
    }
}

struct World {
    rng: Rng,
    drift: f64,
    /// Real time.
    now: Duration,
    server: Server,
    agents: [Agent; 2],
    /// Writes of the Lease that were given up, and may arrive all the same.
    late: Vec<Record>,
    /// Until when what an agent had the server do may take hold.
    reach: BTreeMap<Arc<str>, Duration>,
    identities: usize,
    /// Who led last.
    last: Option<Arc<str>>,
    seen: Seen,
}

/// What has happened: a test in which nothing does shows nothing.
#[derive(Debug, Default)]
struct Seen {
    renewals: usize,
    changes: usize,
    /// The shortest time from the end of what a leader could do to the next one, who had to wait for the end of its Lease.
    closest: Option<Duration>,
    writes: usize,
    late: usize,
    let_go: usize,
}

impl World {
    fn new(seed: u64, drift: f64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let agents = [Agent::new(0, drift, &mut rng), Agent::new(1, drift, &mut rng)];
        Self {
            rng,
            drift,
            now: Duration::ZERO,
            server: Server::default(),
            agents,
            late: Vec::new(),
            reach: BTreeMap::new(),
            identities: 2,
            last: None,
            seen: Seen::default(),
        }
    }

    /// Who may write now, and whose writes may still take hold.
    fn writers(&self) -> BTreeSet<Arc<str>> {
        let held = self.agents.iter().filter(|agent| agent.hold.sure_for(&agent.clocks).is_some());
        let held = held.map(|agent| Arc::clone(&agent.me));
        let reaching = self.reach.iter().filter(|(_, until)| **until > self.now).map(|(me, _)| Arc::clone(me));
        held.chain(reaching).collect()
    }

    fn step(&mut self) {
        let passed = Duration::from_millis(self.rng.u64(0..150));
        self.now += passed;
        for agent in &mut self.agents {
            agent.pass(passed, self.now);
        }
        let at = self.rng.usize(0..2);
        if self.agents[at].asleep > self.now {
            return;
        }
        match self.rng.u32(0..10_000) {
            0..6000 => self.elect(at),
            6000..7000 => self.send_head(at),
            7000..9000 => self.send_body(at),
            9000..9100 => self.arrive_late(),
            9100..9140 => self.trouble(at),
            9140..9150 => self.stop(at),
            9150..9160 => self.restart(at),
            _ => {}
        }
    }

    /// As `agent::election` does, one request or answer at a time.
    fn elect(&mut self, at: usize) {
        let over = self.reach.get(&self.agents[at].me).is_none_or(|until| *until <= self.now);
        let agent = &mut self.agents[at];
        if agent.stopping && over {
            self.release(at);
            return;
        }
        if agent.hold != Hold::No && agent.hold.ends_in(&agent.clocks).is_none() {
            agent.hold = Hold::No;
            self.give_up(at);
            return;
        }
        let fails = self.rng.u32(0..100) < 8;
        let Some(mut one) = agent.under_way.take() else {
            if agent.clocks.mono >= agent.next {
                let (round, request) = match agent.hold {
                    Hold::No => Round::stand(agent.clocks),
                    _ => Round::renew(&agent.candidate, agent.clocks),
                };
                agent.under_way = Some(Try { round, request, answer: None });
            }
            return;
        };
        let next = match one.answer.take() {
            // It was given up before it arrived, or its answer was lost.
            None if fails => {
                if let Request::Write(record) = one.request {
                    self.late.push(record);
                }
                one.round.failed(false).map(Next::Send)
            }
            Some(_) if fails => one.round.failed(false).map(Next::Send),
            None => {
                one.answer = Some(self.server.carry_out(&one.request));
                agent.under_way = Some(one);
                return;
            }
            Some(Ok(answer)) => Some(one.round.answered(&mut agent.candidate, answer, agent.clocks)),
            Some(Err(Outdated)) => one.round.failed(true).map(Next::Send),
        };
        let pause = RETRY.mul_f64(1.0 + self.rng.f64() / 5.0);
        match next {
            Some(Next::Send(request)) => {
                agent.under_way = Some(Try { request, ..one });
                return;
            }
            Some(Next::Held(sent)) => {
                agent.hold = Hold::Renewed(sent);
                self.seen.renewals += 1;
                self.note_leader(at);
            }
            Some(Next::Taken(_)) => agent.hold = Hold::No,
            None => {}
        }
        let agent = &mut self.agents[at];
        agent.next = agent.clocks.mono + pause;
    }

    fn note_leader(&mut self, at: usize) {
        let me = &self.agents[at].me;
        if self.last.as_ref() == Some(me) {
            return;
        }
        self.seen.changes += 1;
        let before = self.last.replace(Arc::clone(me));
        if let Some(until) = before.and_then(|before| self.reach.get(&before)) {
            let gap = self.now.saturating_sub(*until);
            self.seen.closest = Some(self.seen.closest.map_or(gap, |closest| closest.min(gap)));
        }
    }

    /// A request that was sent may arrive although nobody waits for its answer.
    fn give_up(&mut self, at: usize) {
        if let Some(Try { request: Request::Write(record), answer: None, .. }) = self.agents[at].under_way.take() {
            self.late.push(record);
        }
    }

    /// As `cluster::fence` does.
    fn send_head(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        if !agent.stopping
            && let Lasts::For(sure) = agent.hold.lasts(HEAD_NEEDS, &agent.clocks)
        {
            agent.heads.push(limit_of_write(sure));
        }
    }

    /// The server has had the head by now, and gives the write up after the limit, by a clock of its own.
    fn send_body(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        let Some(limit) = agent.heads.pop() else { return };
        match agent.hold.lasts(limit, &agent.clocks) {
            Lasts::No => {}
            Lasts::Unsure(_) => agent.heads.insert(0, limit),
            Lasts::For(_) => {
                let until = self.now + limit.mul_f64(1.0 + self.drift);
                let reach = self.reach.entry(Arc::clone(&agent.me)).or_default();
                *reach = until.max(*reach);
                self.seen.writes += 1;
            }
        }
    }

    fn arrive_late(&mut self) {
        if !self.late.is_empty() {
            let record = self.late.swap_remove(self.rng.usize(0..self.late.len()));
            self.seen.late += usize::from(self.server.write(&record).is_ok());
        }
    }

    fn trouble(&mut self, at: usize) {
        let (now, agent) = (self.now, &mut self.agents[at]);
        match agent.trouble {
            Trouble::Suspended => agent.asleep = now + Duration::from_secs(self.rng.u64(1..40)),
            Trouble::ClockSet => agent.clocks.wall += SignedDuration::from_secs(self.rng.i64(-3600..60)),
        }
    }

    fn stop(&mut self, at: usize) {
        self.agents[at].stopping = true;
        self.agents[at].heads.clear();
    }

    /// The end of a clean stop, and a new process in its place.
    fn release(&mut self, at: usize) {
        let agent = &mut self.agents[at];
        let released = agent.candidate.released(&agent.clocks.stamp()).filter(|_| agent.hold != Hold::No);
        self.reach.remove(&agent.me);
        self.restart(at);
        if let Some(record) = released {
            self.seen.let_go += usize::from(self.server.write(&record).is_ok());
        }
    }

    /// A crash, and a new process in its place.
    fn restart(&mut self, at: usize) {
        self.give_up(at);
        self.agents[at] = Agent::new(self.identities, self.drift, &mut self.rng);
        self.identities += 1;
    }
}

/// Runs until two may write at the same time.
fn search(seed: u64, drift: f64) -> Result<Seen, String> {
    let mut world = World::new(seed, drift);
    for step in 0..STEPS {
        world.step();
        let writers = world.writers();
        if writers.len() > 1 {
            return Err(format!("seed {seed}, step {step}, at {:?}: {writers:?}", world.now));
        }
    }
    Ok(world.seen)
}

#[test]
fn two_agents_never_write_at_the_same_time() {
    let mut total = Seen::default();
    for seed in 0..RUNS {
        let Seen { renewals, changes, closest, writes, late, let_go } = search(seed, DRIFT).unwrap();
        total.renewals += renewals;
        total.changes += changes;
        total.closest = total.closest.into_iter().chain(closest).min();
        total.writes += writes;
        total.late += late;
        total.let_go += let_go;
    }
    assert!(total.renewals > 3000 && total.changes > 300 && total.writes > 3000, "{total:?}");
    assert!(total.late > 3 && total.let_go > 30, "{total:?}");
    assert!(total.closest.is_some_and(|closest| closest < Duration::from_secs(4)), "{total:?}");
}

#[test]
fn with_clocks_that_differ_by_more_than_the_margin_the_search_finds_two_that_write() {
    assert!((0..RUNS).any(|seed| search(seed, 0.25).is_err()));
}
