//! Getting the Lease, keeping it by renewals, and giving it up; for the daemon, and for `run --once`, which must not write
//! beside one. What is sent and what an answer means is decided by `election`; here it is sent, slept and reported.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::EventSink;
use crate::cluster::{ApiError, Cluster, LEASE_NAME, Leadership};
use crate::election::{Answer, Candidate, LEASE, Next, RENEW_WITHIN, RETRY, Record, Request, Round};
use crate::event::Event;

/// One that stands for election.
pub struct Election {
    /// Without a fence, and without repeating requests: the times matter here.
    cluster: Cluster,
    namespace: Arc<str>,
    me: Arc<str>,
    emit: EventSink,
    candidate: Candidate,
    /// The last that was reported of others, so that it is reported once.
    reported: Option<String>,
}

/// Another one that holds the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `holderIdentity` of the Lease.
    pub name: Arc<str>,
    /// When it renewed the Lease last, on its own clock.
    pub renewed: Option<String>,
    /// `leaseDurationSeconds`: nobody else takes the Lease for this long after a renewal.
    pub duration: Duration,
}

/// What became of asking for the Lease.
pub enum Tenure {
    /// This process holds the Lease; [`Election::keep_until`] renews it.
    Won,
    /// Another one holds it, and was seen to renew it.
    Taken(Holder),
    /// The permission is missing; the text says which.
    Forbidden(String),
}

impl Election {
    /// A candidate with a new identity, made of the host's name and random characters. Sends nothing yet.
    #[must_use]
    pub fn new(cluster: Cluster, namespace: Arc<str>, emit: EventSink) -> Self {
        let me = identity();
        let candidate = Candidate::new(Arc::clone(&me), LEASE);
        Self { cluster, namespace, me, emit, candidate, reported: None }
    }

    /// Wins, keeps and loses the Lease until `over`, and gives it up then. After a loss it stands
    /// again once whoever is notified of it says that nothing of the time before goes on.
    pub async fn run(
        mut self,
        leadership: Leadership,
        losses: mpsc::Sender<oneshot::Sender<()>>,
        over: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = self.win(&leadership) => {}
                () = over.cancelled() => return,
            }
            let why = format!("leads: holds the Lease {} as {}", self.lease(), self.me);
            (self.emit)(&Event::Leadership { leads: true, holder: Some(Arc::clone(&self.me)), why });
            let lost = tokio::select! {
                lost = self.keep(&leadership) => lost,
                () = over.cancelled() => return self.release(&leadership).await,
            };
            leadership.give_up();
            let holder = self.other();
            let why = format!("leads no more, and stands by: {lost}");
            (self.emit)(&Event::Leadership { leads: false, holder, why });
            let (done, begun_anew) = oneshot::channel();
            let settled = async { losses.send(done).await.is_ok() && begun_anew.await.is_ok() };
            tokio::select! {
                settled = settled => if !settled { return },
                () = over.cancelled() => return,
            }
        }
    }

    /// Asks for the Lease once for `run --once`: waits only as long as it is not known whether its
    /// holder is alive.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn stand_once(&mut self, leadership: &Leadership) -> Result<Tenure, ApiError> {
        let mut first: Option<Record> = None;
        loop {
            match self.attempt(leadership).await {
                Ok(Standing::Held) => return Ok(Tenure::Won),
                Ok(Standing::Taken(holder)) => {
                    let record = self.candidate.record().cloned().unwrap_or_default();
                    if first.as_ref().is_some_and(|first| *first != record) {
                        let Record { renewed, duration, .. } = record;
                        return Ok(Tenure::Taken(Holder { name: holder, renewed, duration }));
                    }
                    if first.is_none() {
                        let message =
                            format!("{holder} holds the Lease {}; waits to see whether it is alive", self.lease());
                        (self.emit)(&Event::Note { message });
                    }
                    first.get_or_insert(record);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) if error.is_forbidden() => return Ok(Tenure::Forbidden(self.explain(&error))),
                Err(error) => return Err(error),
            }
            sleep(RETRY / 2).await;
        }
    }

    /// Keeps what [`Election::stand_once`] won, until `over`, and gives it up then.
    pub async fn keep_until(mut self, leadership: Leadership, over: CancellationToken) {
        tokio::select! {
            lost = self.keep(&leadership) => {
                leadership.give_up();
                let message = format!("writes nothing any more: {lost}");
                (self.emit)(&Event::Trouble { message });
            }
            () = over.cancelled() => self.release(&leadership).await,
        }
    }

    /// Tries until the Lease is won.
    async fn win(&mut self, leadership: &Leadership) {
        loop {
            match self.attempt(leadership).await {
                Ok(Standing::Held) => {
                    self.reported = None;
                    return;
                }
                Ok(Standing::Taken(holder)) => {
                    let why = format!("stands by: {holder} holds the Lease {}", self.lease());
                    if self.is_new(&why) {
                        (self.emit)(&Event::Leadership { leads: false, holder: Some(holder), why });
                    }
                }
                // Somebody was faster: the next read shows who.
                Err(error) if error.is_conflict() => {}
                Err(error) => {
                    let message = self.explain(&error);
                    if self.is_new(&message) {
                        let why = format!("does not lead: {message}");
                        (self.emit)(&Event::Leadership { leads: false, holder: self.other(), why });
                        (self.emit)(&Event::Trouble { message });
                    }
                }
            }
            sleep(jittered(RETRY)).await;
        }
    }

    /// Reads the Lease, and takes it if it is free.
    async fn attempt(&mut self, leadership: &Leadership) -> Result<Standing, ApiError> {
        self.complete(Round::stand(leadership.now()), leadership).await
    }

    /// Renews the Lease, or finds out who has taken it.
    async fn renew(&mut self, leadership: &Leadership) -> Result<Standing, ApiError> {
        self.complete(Round::renew(&self.candidate, leadership.now()), leadership).await
    }

    /// Sends what a round asks for, until it comes to an end.
    async fn complete(
        &mut self,
        (mut round, mut request): (Round, Request),
        leadership: &Leadership,
    ) -> Result<Standing, ApiError> {
        loop {
            let answer = match &request {
                Request::Read => self.cluster.read_lease(&self.namespace).await.map(Answer::Read),
                Request::Write(record) => self.cluster.write_lease(&self.namespace, record).await.map(Answer::Written),
            };
            let next = match answer {
                Ok(answer) => round.answered(&mut self.candidate, answer, leadership.now()),
                Err(error) => match round.failed(error.is_conflict() || error.is_not_found()) {
                    Some(request) => Next::Send(request),
                    None => return Err(error),
                },
            };
            match next {
                Next::Send(another) => request = another,
                Next::Held(sent) => {
                    leadership.renewed(sent);
                    return Ok(Standing::Held);
                }
                Next::Taken(holder) => return Ok(Standing::Taken(holder)),
            }
        }
    }

    /// Renews until that fails for too long, or another one has the Lease; the result is why.
    async fn keep(&mut self, leadership: &Leadership) -> String {
        let mut error: Option<String> = None;
        loop {
            let renewal = async {
                sleep(jittered(RETRY)).await;
                self.renew(leadership).await
            };
            let renewed = tokio::select! {
                renewed = renewal => renewed,
                () = leadership.lost() => {
                    let why = error.unwrap_or_else(|| "the API server did not answer".into());
                    return format!("the Lease {} could not be renewed for {} s: {why}", self.lease(), RENEW_WITHIN.as_secs());
                }
            };
            match renewed {
                Ok(Standing::Held) => {
                    if error.take().is_some() {
                        let message = format!("renewed the Lease {} again", self.lease());
                        (self.emit)(&Event::Note { message });
                    }
                }
                Ok(Standing::Taken(holder)) => return format!("{holder} holds the Lease {}", self.lease()),
                Err(failure) => {
                    let message = self.explain(&failure);
                    if error.as_ref() != Some(&message) {
                        (self.emit)(&Event::Trouble { message: format!("{message}; still leads for a few seconds") });
                    }
                    error = Some(message);
                }
            }
        }
    }

    /// Lets another one take the Lease at once, unless a write that was given up may still be carried out. Nothing is
    /// written from here on.
    async fn release(&mut self, leadership: &Leadership) {
        let unanswered = leadership.has_unanswered_write();
        leadership.give_up();
        if unanswered {
            let message = format!(
                "leaves the Lease {} to run out, within {} s: a write was given up that the API server may still carry out",
                self.lease(),
                LEASE.as_secs()
            );
            (self.emit)(&Event::Note { message });
            return;
        }
        let Some(record) = self.candidate.released(&leadership.now().stamp()) else { return };
        let message = match self.cluster.write_lease(&self.namespace, &record).await {
            Ok(_) => format!("gave up the Lease {}", self.lease()),
            Err(error) => {
                format!("could not give up the Lease {}, which ends in {} s: {error}", self.lease(), LEASE.as_secs())
            }
        };
        (self.emit)(&Event::Note { message });
    }

    fn lease(&self) -> String {
        format!("{}/{LEASE_NAME}", self.namespace)
    }

    /// The holder, if that is another one.
    fn other(&self) -> Option<Arc<str>> {
        let holder = self.candidate.record().and_then(|record| record.holder.clone());
        holder.filter(|holder| *holder != self.me)
    }

    fn is_new(&mut self, message: &str) -> bool {
        let new = self.reported.as_deref() != Some(message);
        self.reported = Some(message.to_owned());
        new
    }

    fn explain(&self, error: &ApiError) -> String {
        let lease = self.lease();
        if error.is_forbidden() {
            return format!(
                "cannot use the Lease {lease}: grant get, create and update on leases.coordination.k8s.io in namespace {}, or turn leader election off by `leaderElection: {{enabled: false}}` and run one replica: {error}",
                self.namespace
            );
        }
        format!("cannot read or write the Lease {lease}: {error}")
    }
}

/// What a try to get or to renew the Lease came to.
enum Standing {
    /// This process holds it.
    Held,
    /// Another one does.
    Taken(Arc<str>),
}

/// Unlike that of any other process: two that think themselves the same would both lead.
fn identity() -> Arc<str> {
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.as_deref().map(str::trim).filter(|host| !host.is_empty()).unwrap_or("driftless").to_owned();
    let suffix: String = std::iter::repeat_with(fastrand::alphanumeric).take(10).collect();
    format!("{host}_{}", suffix.to_lowercase()).into()
}

/// With up to a fifth more, so that candidates do not ask at the same moment (client-go).
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64() / 5.0)
}
