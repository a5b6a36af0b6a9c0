//! What the tests of the sandbox start, and what a helper that escapes could reach.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::json;
use tempfile::TempDir;

use super::process::run;

/// The hostile helper (`tests/escape`).
pub fn escape() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("tests/escape/build"))
}

/// The real one.
pub fn renderer() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("renderer/build"))
}

fn build(script: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let built = run(&mut Command::new(script), None, Duration::from_mins(20)).expect_code(0);
    built.stdout.lines().last().expect("a path").into()
}

/// Has the sandbox set up as on a kernel without Landlock or seccomp.
pub fn on_a_kernel_without(what: &str, directory: &Path) -> PathBuf {
    let script = directory.join(format!("without-{what}"));
    let driftless = env!("CARGO_BIN_EXE_driftless");
    let text = format!("#!/bin/sh\nexec {} without {what} {driftless} \"$@\"\n", escape().display());
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("an executable");
    script
}

/// Memory that another process of the user could read.
static MEMORY: u8 = 7;

/// What there is to reach. The sockets and the file are open as long as this lives.
pub struct Targets {
    pub directory: TempDir,
    pub victim: Child,
    text: String,
    _open: (TcpListener, UdpSocket, UnixListener, UnixListener, fs::File),
}

impl Targets {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path();
        fs::write(path.join("token"), "a secret").expect("a file");
        fs::write(path.join("cut"), "a text").expect("a file");
        fs::copy(escape(), path.join("copy")).expect("a copy");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let unix = UnixListener::bind(path.join("socket")).expect("a socket");
        let name = format!("driftless-escape-{}", path.display());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        let abstract_socket = UnixListener::bind_addr(&abstract_name).expect("a socket");
        let file = fs::File::open(path.join("token")).expect("a file");
        // As a library of C would open it.
        fcntl_setfd(&file, FdFlags::empty()).expect("a flag");
        let victim = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep starts");
        let text = json!({
            "Token": path.join("token"),
            "Directory": path,
            "Tcp": tcp.local_addr().expect("an address").to_string(),
            "Udp": udp.local_addr().expect("an address").to_string(),
            "Unix": path.join("socket"),
            "Abstract": name,
            "Victim": victim.id(),
            "Address": std::ptr::from_ref(&MEMORY).addr(),
            "Descriptor": file.as_raw_fd(),
            "Copy": path.join("copy"),
        });
        Self { victim, text: text.to_string(), _open: (tcp, udp, unix, abstract_socket, file), directory }
    }

    /// The argument of the helper.
    pub fn argument(&self) -> &str {
        &self.text
    }

    pub fn token(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    pub fn victim_lives(&mut self) -> bool {
        self.victim.try_wait().expect("the process can be asked").is_none()
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// What came of each attempt: `None` where it succeeded, else why it did not.
pub fn attempts(output: &str) -> BTreeMap<String, Option<String>> {
    let parse = |line: &str| {
        let mut parts = line.split('\t').map(ToOwned::to_owned);
        let name = parts.next().expect("a name");
        match parts.next().as_deref() {
            Some("succeeded") => (name, None),
            Some("failed") => (name, Some(parts.next().unwrap_or_default())),
            _ => panic!("{line}"),
        }
    };
    output.lines().map(parse).collect()
}

pub fn succeeded(attempts: &BTreeMap<String, Option<String>>) -> Vec<&str> {
    attempts.iter().filter(|(_, failure)| failure.is_none()).map(|(name, _)| name.as_str()).collect()
}

/// The processes that are this program by now, started with this argument.
pub fn processes_of(program: &Path, argument: &str) -> Vec<u32> {
    let is_one = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.next() == Some(program.as_os_str().as_encoded_bytes())
            && arguments.any(|one| one == argument.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

/// Also a process that has ended is there until its parent has waited for it.
pub fn is_there(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}
