//! An API server that misbehaves: a proxy on 127.0.0.1 between the real agent and the real API
//! server, whose middle is a `tower` layer that knows every request and spoils those it is asked to.
//!
//! ```text
//!  driftless ──http──> Proxy ──> Faults (layer) ──> Upstream (kube client) ──https──> API server
//!  a process, so that            State: rules, freezing,
//!  kill -9 is real               what was seen
//! ```
//!
//! How to use it:
//! - [`Proxy::before`] rewrites the kubeconfig of a [`Site`], so that whatever is started for that
//!   site goes through the proxy. It adds the credentials; `as` stays in the kubeconfig.
//! - [`Proxy::add`] takes a [`Rule`]: which requests ([`Ask`]: verb, resource, name, …) meet which
//!   [`Fault`], and how often. The first rule that fits counts. [`Rule::by`] decides with a closure,
//!   such as one that rolls seeded dice. [`Proxy::clear`] ends all rules.
//! - Connections and watches: [`Proxy::refuse`], [`Proxy::cut_watches`], [`Proxy::stall_watches`],
//!   [`Proxy::expire_watches`]. Kinds: [`Proxy::take_down`], [`Proxy::unserve`]. Pages: [`Proxy::pages_of`]. A server
//!   that lags: [`Proxy::answer_as_of`] and [`Proxy::catch_up`].
//! - Crashes: [`Proxy::freeze_at`] stops the world at the n-th request that is not a watch, before
//!   the server has it or after the server has answered. Once [`Frozen::is_reached`], nothing more
//!   reaches the server and nothing more is answered: kill the agent, then [`Proxy::thaw`].
//! - [`Proxy::listen`] calls back at every request, before it is forwarded and after the server's
//!   answer; [`Proxy::seen`] is the record of all, with the body of every write and its answer.
//!   Invariants over a run can be checked there: what the agent asked for and what the server said.
//!
//! Requests are carried out to their end even when the agent is killed meanwhile, as by a server
//! that already has them.

mod answer;
mod ask;
mod layer;
mod rule;
mod state;
mod upstream;
mod watch;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

pub use ask::Ask;
pub use rule::{Fault, Hits, Rule};
pub use state::{Exchange, Frozen, Moment, Side};

use self::layer::{Edge, FaultLayer};
use self::state::State;
use self::upstream::Upstream;
use super::site::Site;

/// All proxies of this test binary.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

pub struct Proxy {
    state: Arc<State>,
    /// Has the port for as long as the proxy lives, also while nobody listens there.
    _holder: TcpSocket,
    end: CancellationToken,
}

impl Proxy {
    /// Starts a proxy and has everything that is started for the site go through it.
    pub fn before(site: &Site) -> Self {
        let _inside = RUNTIME.enter();
        let holder = socket("127.0.0.1:0".parse().expect("an address"));
        let address = holder.local_addr().expect("an address");
        let proxy = Self { state: State::new(), _holder: holder, end: CancellationToken::new() };
        let upstream = RUNTIME.block_on(Upstream::connect());
        RUNTIME.spawn(serve(address, Arc::clone(&proxy.state), upstream, proxy.end.clone()));
        let text = std::fs::read_to_string(site.kubeconfig()).expect("a kubeconfig");
        let config = serde_saphyr::from_str(&text).expect("a kubeconfig");
        std::fs::write(site.kubeconfig(), through(config, address).to_string()).expect("a file");
        proxy
    }

    /// Spoils requests from now on. What is given back counts them.
    pub fn add(&self, rule: Rule) -> Hits {
        self.state.add(rule)
    }

    /// Spoils no request any more, by no rule. Requests that are being spoiled go on being so.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// Whether connections are refused; those that are open are closed.
    pub fn refuse(&self, refuse: bool) {
        self.state.listening.send_if_modified(|listening| std::mem::replace(listening, !refuse) == refuse);
    }

    /// Breaks every watch that is open.
    pub fn cut_watches(&self) {
        self.state.watches.send_modify(|watches| watches.cuts += 1);
    }

    /// Ends every watch that is open with the event that says its version is too old (410).
    pub fn expire_watches(&self) {
        self.state.watches.send_modify(|watches| watches.expiries += 1);
    }

    /// Whether watches, open and new ones, report nothing. What they did not report comes later.
    pub fn stall_watches(&self, stall: bool) {
        self.state.watches.send_modify(|watches| watches.stalled = stall);
    }

    /// An API group answers nothing but 503 and is stale in discovery; `None`: none any more.
    pub fn take_down(&self, group: Option<&str>) {
        self.state.set(|settings| settings.down = group.map(ToOwned::to_owned));
    }

    /// An API group is not served and not in discovery, as on a server that is starting and has not read all
    /// CRDs yet; `None`: every group is again.
    pub fn unserve(&self, group: Option<&str>) {
        self.state.set(|settings| settings.unserved = group.map(ToOwned::to_owned));
    }

    /// LISTs in pages have no more objects a page than this.
    pub fn pages_of(&self, objects: usize) {
        self.state.set(|settings| settings.page = Some(objects));
    }

    /// LISTs answer with the state at a resource version, and watches from there report nothing, as
    /// an API server does whose caches lag. A single object is read from etcd, as it is now.
    pub fn answer_as_of(&self, version: &str) {
        self.stall_watches(true);
        self.state.set(|settings| settings.past = Some(version.to_owned()));
    }

    /// The opposite: watches report all that they did not.
    pub fn catch_up(&self) {
        self.state.set(|settings| settings.past = None);
        self.stall_watches(false);
    }

    /// Stops the world at the n-th request from now, counted from 1, watches not counted.
    pub fn freeze_at(&self, number: usize, side: Side) -> Frozen {
        self.state.freeze_at(number, side)
    }

    /// What was stopped is never answered; what comes from now on goes through.
    pub fn thaw(&self) {
        self.state.thaw();
    }

    /// How many requests have come, without watches.
    pub fn count(&self) -> usize {
        self.state.count()
    }

    /// Calls back at every request; what is called may block.
    pub fn listen(&self, listener: impl Fn(Moment<'_>) + Send + Sync + 'static) {
        self.state.listen(Arc::new(listener));
    }

    /// Every request so far, in the order in which they came.
    pub fn seen(&self) -> Vec<Exchange> {
        self.state.seen()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
        if std::thread::panicking() {
            let seen = self.seen();
            println!("the last requests through the proxy:");
            for exchange in &seen[seen.len().saturating_sub(60)..] {
                println!("  {exchange}");
            }
        }
    }
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("a socket option");
    socket.bind(address).expect("a port");
    socket
}

/// The same kubeconfig with the proxy as its server; the proxy has the credentials.
fn through(mut config: Value, address: SocketAddr) -> Value {
    for cluster in config["clusters"].as_array_mut().expect("clusters") {
        cluster["cluster"] = serde_json::json!({"server": format!("http://{address}")});
    }
    for user in config["users"].as_array_mut().expect("users") {
        let user = user["user"].as_object_mut().expect("a user");
        user.retain(|name, _| matches!(name.as_str(), "as" | "as-groups"));
    }
    config
}

/// Takes connections until the proxy ends, except while it refuses them.
async fn serve(address: SocketAddr, state: Arc<State>, upstream: Upstream, end: CancellationToken) {
    let mut listening = state.listening.subscribe();
    loop {
        let open = end.child_token();
        if *listening.borrow_and_update() {
            let listener = socket(address).listen(64).expect("a port");
            tokio::select! {
                () = accept(listener, &state, &upstream, &open) => {}
                changed = listening.changed() => drop(changed),
                () = end.cancelled() => {}
            }
        } else {
            tokio::select! {
                changed = listening.changed() => drop(changed),
                () = end.cancelled() => {}
            }
        }
        open.cancel();
        if end.is_cancelled() {
            return;
        }
    }
}

async fn accept(listener: TcpListener, state: &Arc<State>, upstream: &Upstream, open: &CancellationToken) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let faults = ServiceBuilder::new().layer(FaultLayer::new(Arc::clone(state))).service(upstream.clone());
        let service = TowerToHyperService::new(Edge::new(faults));
        let open = open.clone();
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // A connection that breaks is what this is for.
                ended = connection => drop(ended),
                () = open.cancelled() => {}
            }
        });
    }
}
