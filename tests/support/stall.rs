//! A TCP proxy before the API server that can hold back everything, for as long as a test wants,
//! and then deliver it late. After a stall, the server does not notice that a client has hung up: what
//! was held back seems as if somebody still waited for the answer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    stalled: bool,
    /// It was, at some time.
    has_stalled: bool,
    /// Chunks for the server that were held back.
    held: usize,
}

pub struct Proxy {
    address: SocketAddr,
    gate: Arc<Gate>,
}

impl Proxy {
    /// Before a server `host:port`.
    pub fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let gate = Arc::new(Gate::default());
        let (server, shared) = (server.to_owned(), Arc::clone(&gate));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let pairs = [(&client, &upstream, true), (&upstream, &client, false)];
                for (from, into, to_server) in pairs {
                    let (from, into) = (from.try_clone().expect("a socket"), into.try_clone().expect("a socket"));
                    let gate = Arc::clone(&shared);
                    thread::spawn(move || forward(from, into, to_server, &gate));
                }
            }
        });
        Self { address, gate }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds everything back from now on.
    pub fn stall(&self) {
        let mut state = self.state();
        (state.stalled, state.has_stalled) = (true, true);
    }

    /// Delivers what was held back, and goes on.
    pub fn release(&self) {
        self.state().stalled = false;
        self.gate.opened.notify_all();
    }

    /// How many chunks for the server were held back since the start.
    pub fn held(&self) -> usize {
        self.state().held
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.gate.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forward(mut from: TcpStream, mut into: TcpStream, to_server: bool, gate: &Gate) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = from.read(&mut buffer).unwrap_or_default();
        let hides_the_end = {
            let mut state = gate.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.stalled && to_server && read > 0 {
                state.held += 1;
            }
            while state.stalled {
                state = gate.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.has_stalled && to_server
        };
        if read == 0 && hides_the_end {
            return;
        }
        if read == 0 || into.write_all(&buffer[..read]).is_err() {
            // Whatever still comes in the other direction has its own thread.
            let _ = into.shutdown(Shutdown::Write);
            return;
        }
    }
}
