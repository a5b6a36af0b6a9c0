//! A web server with files that can be changed: a chart repository, manifests by URL.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is at a path.
#[derive(Clone)]
pub enum Content {
    File(Vec<u8>),
    /// To another URL.
    Redirect(String),
    /// A status with its reason: `403 Forbidden`.
    Refuse(&'static str),
    /// Nothing, for as long as the client waits.
    Hang,
}

/// Serves until the tests end.
pub struct FileServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    contents: Mutex<BTreeMap<String, Content>>,
    /// The path and the `Authorization` header of each request.
    requests: Mutex<Vec<(String, String)>>,
    /// The paths of those that were answered 304.
    unchanged: Mutex<Vec<String>>,
}

impl FileServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that closes its connection is none of the server's business.
                thread::spawn(move || shared.connection(stream).unwrap_or_default());
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT/PATH`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.set(path, Content::File(content.into()));
    }

    pub fn set(&self, path: &str, content: Content) {
        let mut contents = self.shared.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.insert(format!("/{path}"), content);
    }

    /// How often a path was asked for.
    pub fn requests(&self, path: &str) -> usize {
        let path = format!("/{path}");
        self.shared.requests().iter().filter(|(asked, _)| *asked == path).count()
    }

    /// How often a path was found to be as the client had it.
    pub fn unchanged(&self, path: &str) -> usize {
        let path = format!("/{path}");
        let unchanged = self.shared.unchanged.lock().unwrap_or_else(PoisonError::into_inner);
        unchanged.iter().filter(|asked| **asked == path).count()
    }

    /// The `Authorization` headers that came with requests for a path.
    pub fn logins(&self, path: &str) -> Vec<String> {
        let path = format!("/{path}");
        self.shared.requests().into_iter().filter(|(asked, _)| *asked == path).map(|(_, login)| login).collect()
    }
}

impl Shared {
    fn requests(&self) -> Vec<(String, String)> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let path = target.split('?').next().unwrap_or_default().to_owned();
            let (mut login, mut condition) = (String::new(), String::new());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let Some((name, value)) = line.trim().split_once(':') else { break };
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => value.trim().clone_into(&mut login),
                    "if-none-match" => value.trim().clone_into(&mut condition),
                    _ => {}
                }
            }
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), login));
            let content = self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
            match content {
                None => writer.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?,
                Some(Content::Refuse(status)) => {
                    write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
                }
                Some(Content::Redirect(to)) => {
                    write!(writer, "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")?;
                }
                Some(Content::Hang) => {
                    let mut end = String::new();
                    reader.read_line(&mut end)?;
                }
                Some(Content::File(bytes)) => {
                    let etag = format!(
                        "\"{:x}\"",
                        bytes.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte))
                    );
                    if etag == condition {
                        self.unchanged.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                        write!(writer, "HTTP/1.1 304 Not Modified\r\netag: {etag}\r\n\r\n")?;
                        continue;
                    }
                    write!(writer, "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {}\r\n\r\n", bytes.len())?;
                    writer.write_all(&bytes)?;
                }
            }
        }
    }
}
