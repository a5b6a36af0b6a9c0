//! A git server over HTTP: the real `git http-backend` behind a small HTTP/1.1 server on a loopback port.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;

/// What the server does with requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Serve,
    /// Takes requests and never answers, until the behaviour is another one.
    Hang,
    /// Answers 503.
    Unavailable,
    /// Answers with this status and reason: `403 Forbidden`.
    Refuse(&'static str),
    /// Sends everybody to where they are already.
    Redirect,
    /// Sends everybody elsewhere: to what was asked for, below this.
    RedirectTo(String),
    /// Sends whoever asks for a repository without `.git` to the one with it.
    RedirectToDotGit {
        /// By a whole URL, and not by its path alone.
        absolute: bool,
    },
    /// Lists an annotated tag `claimed` that there is not: this object, and the commit that it is said to lead to.
    ClaimTag { id: String, commit: String },
    /// Sends commits with all of their history alone.
    ServeHistory,
    /// Speaks the oldest version of the protocol, whatever it is asked for.
    ServeVersion0,
    /// Answers with this status and these headers, each with its end.
    RefuseWith(&'static str, &'static str),
    /// Answers packs up to so many bytes, and cuts the connection there.
    CutPacksAfter(usize),
    /// Answers packs up to so many bytes, as if that were all.
    TruncatePacksTo(usize),
    /// Answers packs up to so many bytes, and then nothing more, until the behaviour is another one.
    StallPacksAfter(usize),
}

/// Serves the repositories of a directory until it is dropped.
pub struct GitHttp {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The replicas behind the address. Each that asks for the references gets the next one.
    roots: Mutex<VecDeque<PathBuf>>,
    behaviour: Mutex<Behaviour>,
    login: Mutex<Option<String>>,
    /// The login is asked for before anything else is done.
    ask_first: AtomicBool,
    /// The `Authorization` headers that came, in the order in which they did.
    logins: Mutex<Vec<String>>,
    requests: AtomicUsize,
    /// Requests that are being answered, and the most that were at once.
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
    packs: AtomicUsize,
    bytes: AtomicU64,
    /// Packs that were not sent whole.
    stalled: AtomicUsize,
    stop: AtomicBool,
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl GitHttp {
    /// Serves what is below `root` (`repo.git` as `/repo.git`).
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            roots: Mutex::new([root.to_owned()].into()),
            behaviour: Mutex::default(),
            login: Mutex::default(),
            ask_first: AtomicBool::new(false),
            logins: Mutex::default(),
            requests: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            packs: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            stalled: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                // A client that closes its connection is none of the server's business.
                thread::spawn(move || shared.connection(stream).unwrap_or_default());
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT/repo.git`.
    pub fn url(&self) -> String {
        format!("http://{}/repo.git", self.address)
    }

    /// The same with user and password.
    pub fn url_with_login(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}/repo.git", self.address)
    }

    /// Wants the login before it redirects, and not only before it serves.
    pub fn ask_before_redirecting(&self) {
        self.shared.ask_first.store(true, Ordering::SeqCst);
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Serves several directories in turn, as replicas behind one address: each that asks for the
    /// references gets the next one, the first one first.
    pub fn serve_in_turn(&self, roots: &[&Path]) {
        let roots = roots.iter().map(|root| (*root).to_owned()).collect();
        *self.shared.roots.lock().unwrap_or_else(PoisonError::into_inner) = roots;
    }

    /// Answers 401 to everybody who does not log in like this.
    pub fn require_login(&self, user: &str, password: &str) {
        let expected = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        *self.shared.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("Basic {expected}"));
    }

    /// The same with a token.
    pub fn require_token(&self, token: &str) {
        *self.shared.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("Bearer {token}"));
    }

    /// Answers everybody.
    pub fn forget_login(&self) {
        *self.shared.login.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Requests so far, refused ones too.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The most requests that were answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }

    /// What came in `Authorization` headers.
    pub fn logins(&self) -> Vec<String> {
        self.shared.logins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests so far that asked for a pack, or negotiated one.
    pub fn packs(&self) -> usize {
        self.shared.packs.load(Ordering::SeqCst)
    }

    /// Packs so far that were cut or stalled before their end.
    pub fn stalled(&self) -> usize {
        self.shared.stalled.load(Ordering::SeqCst)
    }

    /// Bytes of all answers so far, without headers.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for GitHttp {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests on one connection, until the client closes it.
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        let mut answers = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader, &mut answers)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            let login = request.header("authorization").map(ToOwned::to_owned);
            self.logins.lock().unwrap_or_else(PoisonError::into_inner).extend(login);
            let under_way = UnderWay::begin(self);
            while self.behaviour() == Behaviour::Hang {
                if self.stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(10));
            }
            let login = self.login.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let unknown = login.is_some() && request.header("authorization") != login.as_deref();
            let who = || Some(("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n".to_owned()));
            let refusal = match self.behaviour() {
                _ if unknown && self.ask_first.load(Ordering::SeqCst) => who(),
                Behaviour::Unavailable => Some(("503 Service Unavailable", String::new())),
                Behaviour::Refuse(status) => Some((status, "WWW-Authenticate: Basic realm=\"git\"\r\n".to_owned())),
                Behaviour::RefuseWith(status, headers) => Some((status, headers.to_owned())),
                Behaviour::Redirect => Some(("302 Found", format!("Location: {}\r\n", request.target))),
                Behaviour::RedirectTo(base) => Some(("302 Found", format!("Location: {base}{}\r\n", request.target))),
                Behaviour::RedirectToDotGit { absolute } if !request.target.contains(".git/") => {
                    let host = request.header("host").filter(|_| absolute).unwrap_or_default();
                    let base = if absolute { format!("http://{host}") } else { String::new() };
                    let target = request.target.replacen("/info/", ".git/info/", 1);
                    Some(("301 Moved Permanently", format!("Location: {base}{target}\r\n")))
                }
                _ => None,
            };
            if let Some((status, headers)) = refusal.or_else(|| who().filter(|_| unknown)) {
                drop(under_way);
                respond(&mut answers, status, &headers, b"not now")?;
                continue;
            }
            self.serve(&request, under_way, &mut answers)?;
        }
        Ok(())
    }

    fn serve(&self, request: &Request, under_way: UnderWay<'_>, answers: &mut TcpStream) -> io::Result<()> {
        let output = self.run_backend(request)?;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len());
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let body = output.get(end + 4..).unwrap_or_default();
        let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
        for line in head.lines() {
            match line.strip_prefix("Status: ") {
                Some(given) => given.clone_into(&mut status),
                None => headers = headers + line + "\r\n",
            }
        }
        let mut body = body.to_vec();
        if let Behaviour::ClaimTag { id, commit } = self.behaviour()
            && request.is_for_references()
        {
            // Before the packet that ends the list.
            body.truncate(body.len() - 4);
            let lines = if request.is_list() {
                vec![format!("{id} refs/tags/claimed peeled:{commit}\n")]
            } else {
                vec![format!("{id} refs/tags/claimed\n"), format!("{commit} refs/tags/claimed^{{}}\n")]
            };
            for line in lines {
                body.extend(format!("{:04x}{line}", line.len() + 4).into_bytes());
            }
            body.extend(b"0000");
        }
        if self.behaviour() == Behaviour::ServeHistory && request.target.contains("/info/refs") {
            // The name of the capability, by another one that is as long.
            while let Some(at) = body.windows(9).position(|nine| nine == b" shallow ") {
                body[at + 1] = b'x';
            }
        }
        let body = &*body;
        self.bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
        if request.is_for_pack() {
            self.packs.fetch_add(1, Ordering::SeqCst);
            match self.behaviour() {
                // What is short is about what to send, and no pack.
                Behaviour::StallPacksAfter(bytes) if body.len() <= bytes => {}
                Behaviour::CutPacksAfter(bytes) | Behaviour::StallPacksAfter(bytes) => {
                    write!(answers, "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
                    answers.write_all(&body[..bytes.min(body.len())])?;
                    self.stalled.fetch_add(usize::from(bytes < body.len()), Ordering::SeqCst);
                    while matches!(self.behaviour(), Behaviour::StallPacksAfter(_)) && !self.stop.load(Ordering::SeqCst)
                    {
                        thread::sleep(Duration::from_millis(10));
                    }
                    return answers.shutdown(std::net::Shutdown::Both);
                }
                Behaviour::TruncatePacksTo(bytes) => {
                    drop(under_way);
                    return respond(answers, &status, &headers, &body[..bytes.min(body.len())]);
                }
                _ => {}
            }
        }
        drop(under_way);
        respond(answers, &status, &headers, body)
    }

    fn run_backend(&self, request: &Request) -> io::Result<Vec<u8>> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let root = {
            let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
            if !path.ends_with("/git-upload-pack") {
                // Whoever fetches after this has the same one, which is last now.
                roots.rotate_left(1);
            }
            roots.back().cloned().unwrap_or_default()
        };
        let mut backend = Command::new("git");
        backend
            .args(["-c", "http.receivepack=true", "http-backend"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROJECT_ROOT", root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("REMOTE_USER", "test")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &request.method)
            .env("CONTENT_LENGTH", request.body.len().to_string());
        let passed = [("CONTENT_TYPE", "content-type"), ("HTTP_CONTENT_ENCODING", "content-encoding")];
        let protocol = Some(("GIT_PROTOCOL", "git-protocol")).filter(|_| self.behaviour() != Behaviour::ServeVersion0);
        for (variable, header) in passed.into_iter().chain(protocol) {
            if let Some(value) = request.header(header) {
                backend.env(variable, value);
            }
        }
        let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut stdin = child.stdin.take();
        let body = request.body.clone();
        // Beside reading the answer, so that neither side waits for the other one's full pipe.
        let writer = thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&body)));
        let output = child.wait_with_output()?;
        drop(writer.join());
        Ok(output.stdout)
    }
}

/// One request whose answer is being made, or is held back. It ends before the last of the answer is sent: a client
/// that has received all of it may begin its next request before this thread runs again.
struct UnderWay<'a>(&'a Shared);

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Request {
    /// `None` when the client closed the connection.
    fn read(reader: &mut BufReader<TcpStream>, answers: &mut TcpStream) -> io::Result<Option<Self>> {
        let first = line(reader)?;
        let mut words = first.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        // By way of a proxy, all of the URL comes (RFC 9112, 3.2.2).
        let target = match target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
            Some((_, path)) => format!("/{path}"),
            None => target,
        };
        let mut request = Self { method, target, headers: Vec::new(), body: Vec::new() };
        loop {
            let header = line(reader)?;
            let Some((name, value)) = header.split_once(':') else { break };
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if request.header("expect").is_some() {
            answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(reader)?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
                reader.by_ref().take(size).read_to_end(&mut request.body)?;
                line(reader)?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = request.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            reader.by_ref().take(length).read_to_end(&mut request.body)?;
        }
        Ok(Some(request))
    }

    /// References by their names, as version 2 of the protocol has it.
    fn is_list(&self) -> bool {
        self.body.windows(15).any(|part| part == b"command=ls-refs")
    }

    fn is_for_pack(&self) -> bool {
        self.target.ends_with("/git-upload-pack") && !self.is_list()
    }

    /// Whether the answer lists references, and not only what the server can do.
    fn is_for_references(&self) -> bool {
        let is_version2 = self.header("git-protocol") == Some("version=2");
        self.is_list() || self.target.contains("/info/refs") && !is_version2
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn respond(answers: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(answers, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
    answers.write_all(body)?;
    answers.flush()
}
