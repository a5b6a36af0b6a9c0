//! An API server that answers as a test has it answer: HTTP/1.1 by hand, so that it can also do what
//! a server should not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Connect};

/// An answer.
pub(super) enum Reply {
    Json(u16, Value),
    /// With a header, such as `Retry-After: 1`.
    Headed(u16, &'static str),
    /// A body in chunks, as the test sends them, until its sender is gone.
    Stream(Receiver<Piece>),
    /// No answer at all.
    Nothing,
}

/// A chunk of a body.
pub(super) enum Piece {
    Text(String),
    /// The connection breaks here.
    Cut,
}

/// One request: when, and its path with the query.
pub(super) type Asked = (Instant, String);

pub(super) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    directory: tempfile::TempDir,
}

/// The test's end of a watch.
pub(super) struct Feed(pub Sender<Piece>);

impl Feed {
    pub fn event(&self, what: &str, object: &Value) {
        self.text(&format!("{}\n", json!({"type": what, "object": object})));
    }

    pub fn bookmark(&self, version: &str) {
        self.event("BOOKMARK", &json!({"kind": "ConfigMap", "metadata": {"resourceVersion": version}}));
    }

    pub fn text(&self, text: &str) {
        self.0.send(Piece::Text(text.into())).unwrap();
    }

    pub fn cut(&self) {
        self.0.send(Piece::Cut).unwrap();
    }
}

/// A watch that the test feeds.
pub(super) fn stream() -> (Feed, Reply) {
    let (sender, receiver) = channel();
    (Feed(sender), Reply::Stream(receiver))
}

impl Server {
    /// Answers every request with what `answer` makes of its path and query.
    pub fn start(answer: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (answer, received) = (Arc::new(Mutex::new(answer)), Arc::clone(&asked));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (answer, received) = (Arc::clone(&answer), Arc::clone(&received));
                thread::spawn(move || {
                    let connection = connection.unwrap();
                    let path = request(&connection);
                    let reply = {
                        // Under one lock, so that whoever sees the request knows that it is being answered.
                        let mut received = received.lock().unwrap();
                        received.push((Instant::now(), path.clone()));
                        (answer.lock().unwrap())(&path)
                    };
                    // A client that closed its connection is no matter.
                    let _ = send(connection, reply);
                });
            }
        });
        let directory = tempfile::tempdir().unwrap();
        Self { address, asked, directory }
    }

    /// A client of this server that sends everything once.
    pub async fn client(&self) -> Cluster {
        let kubeconfig = self.directory.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]});
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let options = Connect { kubeconfig: Some(kubeconfig), tries: Some(1), ..Connect::default() };
        Cluster::connect(&options).await.unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits for the request with this number, counted from 1; gives its path and query.
    pub async fn request(&self, number: usize) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = self.asked();
            if let Some((_, path)) = asked.get(number - 1) {
                return path.clone();
            }
            assert!(Instant::now() < deadline, "no request {number}; there were {asked:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Reads the head of a request; gives its target.
fn request(connection: &TcpStream) -> String {
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    for line in lines {
        if line.is_ok_and(|line| line.is_empty()) {
            break;
        }
    }
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn send(mut connection: TcpStream, reply: Reply) -> std::io::Result<()> {
    let head = |code: u16, more: &str| format!("HTTP/1.1 {code} It\r\nConnection: close\r\n{more}\r\n\r\n");
    match reply {
        Reply::Json(code, body) => {
            let body = body.to_string();
            let more = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
            write!(connection, "{}{body}", head(code, &more))
        }
        Reply::Headed(code, header) => {
            write!(connection, "{}", head(code, &format!("{header}\r\nContent-Length: 0")))
        }
        Reply::Stream(pieces) => {
            write!(connection, "{}", head(200, "Content-Type: application/json\r\nTransfer-Encoding: chunked"))?;
            for piece in pieces {
                match piece {
                    Piece::Text(text) => write!(connection, "{:x}\r\n{text}\r\n", text.len())?,
                    Piece::Cut => return connection.shutdown(Shutdown::Both),
                }
            }
            write!(connection, "0\r\n\r\n")
        }
        Reply::Nothing => {
            // Until the client gives up.
            BufReader::new(&connection).fill_buf().map(drop)
        }
    }
}
