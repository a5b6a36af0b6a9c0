//! A proxy between clients and servers (RFC 9110, 9.3.6), which may ask for a login of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use base64::Engine;

/// Ends with the tests.
pub struct HttpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What it was asked for: `CONNECT localhost:443`.
    asked: Mutex<Vec<String>>,
    login: Option<String>,
    /// The status for everybody.
    refusal: Option<&'static str>,
}

impl HttpProxy {
    /// For those alone who log in like this.
    pub fn for_login(user: &str, password: &str) -> Self {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self::with(Shared { login: Some(format!("Basic {login}")), ..Shared::default() })
    }

    /// Answers everybody with this status and reason.
    pub fn that_refuses(status: &'static str) -> Self {
        Self::with(Shared { refusal: Some(status), ..Shared::default() })
    }

    fn with(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                // Clients and servers may go away.
                thread::spawn(move || shared.serve(stream).unwrap_or_default());
            }
        });
        Self { address, shared }
    }

    /// `http://LOGIN127.0.0.1:PORT`.
    pub fn url(&self, login: &str) -> String {
        format!("http://{login}{}", self.address)
    }

    /// Method and target of all requests.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut answers = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
        let request = head.lines().next().unwrap_or_default();
        let mut words = request.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let refusal = if self.login.is_some() && header("proxy-authorization") != self.login {
            Some("407 Proxy Authentication Required")
        } else {
            self.refusal
        };
        if let Some(status) = refusal {
            write!(answers, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            return answers.shutdown(Shutdown::Both);
        }
        let server = if method == "CONNECT" {
            let server = TcpStream::connect(target)?;
            answers.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            server
        } else {
            // What follows on the connection is for the same server, by whole URLs as well.
            let authority = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
            let mut server = TcpStream::connect(authority)?;
            let path = target.trim_start_matches("http://").trim_start_matches(authority);
            write!(server, "{method} {path} HTTP/1.1\r\nConnection: close\r\n")?;
            let rest = head.split_once("\r\n").map_or("", |(_, rest)| rest);
            server.write_all(rest.as_bytes())?;
            server
        };
        let (mut from_server, mut to_server) = (server.try_clone()?, server);
        let back = thread::spawn(move || {
            // One of the two sides is gone.
            let _ = io::copy(&mut from_server, &mut answers);
            let _ = answers.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut reader, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
        drop(back.join());
        Ok(())
    }
}
