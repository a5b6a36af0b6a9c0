//! A control plane of its own whose programs are frozen, killed and started again. One test at a time
//! has it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use super::cluster::{Cluster, start};
use super::wait::{check, eventually};

pub const API_SERVER: &str = "kube-apiserver";
pub const ETCD: &str = "etcd";
/// etcd's data, in the directory of the plane.
const DATA: &str = "etcd-data";

pub struct Plane {
    pub cluster: &'static Cluster,
    pub directory: PathBuf,
    /// The command lines of what was killed.
    down: BTreeMap<&'static str, Vec<String>>,
    /// The API server knows of [`Plane::client_authority`].
    pub takes_certificates: bool,
    /// What was started again; the first lives were started by somebody else.
    children: BTreeMap<&'static str, Child>,
}

/// Waits until no other test has it, and gives it with everything running; `None` where the tests are to
/// run on a cluster of somebody else.
pub fn plane() -> Option<MutexGuard<'static, Plane>> {
    static PLANE: OnceLock<Mutex<Plane>> = OnceLock::new();
    if std::env::var_os("DRIFTLESS_TEST_KUBECONFIG").is_some() {
        println!("a cluster of somebody else is not put into trouble, so this is not tried");
        return None;
    }
    let plane = PLANE.get_or_init(|| Mutex::new(Plane::start()));
    let mut plane = plane.lock().unwrap_or_else(PoisonError::into_inner);
    for component in [ETCD, API_SERVER] {
        plane.start_again(component);
    }
    Some(plane)
}

impl Plane {
    fn start() -> Self {
        let cluster: &'static Cluster = Box::leak(Box::new(start("troubled")));
        let directory = cluster.directory().expect("a devcluster").to_owned();
        let (down, children) = (BTreeMap::new(), BTreeMap::new());
        let mut plane = Self { cluster, directory, down, takes_certificates: false, children };
        // Nothing here needs them, and they would only make noise while the API server is stopped.
        for component in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            if plane.pid_file(component).exists() {
                plane.kill(component);
            }
        }
        plane
    }

    /// The file with the authority of client certificates, which an API server that was started again
    /// reads, and reads anew when it is replaced.
    pub fn client_authority(&self) -> PathBuf {
        self.directory.join("certs/clients.crt")
    }

    fn pid_file(&self, component: &str) -> PathBuf {
        self.directory.join(format!("{component}.pid"))
    }

    fn pid(&self, component: &str) -> String {
        fs::read_to_string(self.pid_file(component)).expect("a process id").trim().to_owned()
    }

    pub fn signal(&self, component: &str, signal: &str) {
        let killed = Command::new("kill").args([signal, &self.pid(component)]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// SIGKILL.
    pub fn kill(&mut self, component: &'static str) {
        let command = command_line(&self.pid(component));
        assert!(command.iter().any(|argument| argument == component), "{component} runs: {command:?}");
        self.signal(component, "-KILL");
        match self.children.remove(component) {
            Some(mut child) => drop(child.wait().expect("it ends")),
            None => eventually("it ends", || check(command_line(&self.pid(component)).is_empty(), component)),
        }
        self.down.insert(component, command);
    }

    /// Starts what was killed as it was started before, and waits until the API server is ready. That one
    /// takes client certificates from now on.
    pub fn start_again(&mut self, component: &'static str) {
        if command_line(&self.pid(component)).is_empty() || self.down.contains_key(component) {
            let mut command = self.down.remove(component).expect("its command line is known");
            if component == API_SERVER && !self.takes_certificates {
                let authority = self.client_authority();
                if !authority.exists() {
                    // It does not start without; this one has signed nothing but itself.
                    fs::copy(self.directory.join("certs/ca.crt"), &authority).expect("a copy");
                }
                command.push(format!("--client-ca-file={}", authority.display()));
                self.takes_certificates = true;
            }
            let log =
                || File::options().append(true).create(true).open(self.directory.join(format!("{component}.log")));
            let mut process = Command::new(&command[0]);
            process.args(&command[1..]).current_dir(&self.directory).stdin(Stdio::null()).process_group(0);
            process.stdout(log().expect("a log")).stderr(log().expect("a log"));
            let child = process.spawn().expect("it starts");
            fs::write(self.pid_file(component), child.id().to_string()).expect("a file");
            self.children.insert(component, child);
        }
        self.signal(component, "-CONT");
        if component == API_SERVER {
            self.is_ready();
        }
    }

    pub fn is_ready(&self) {
        eventually("the API server is ready", || check(self.cluster.is_ready(), "it is not"));
    }

    /// A snapshot of etcd as it is now, as a backup keeps it.
    pub fn back_up(&self) -> TempDir {
        let backup = tempfile::tempdir().expect("a directory");
        // What is on disk of a process that stands still is what a crash would leave of it.
        self.signal(ETCD, "-STOP");
        copy(&self.directory.join(DATA), backup.path());
        self.signal(ETCD, "-CONT");
        self.is_ready();
        backup
    }

    /// Puts a snapshot in the place of etcd's data, with both programs stopped meanwhile, as
    /// Kubernetes' documentation says. Revisions go on from the snapshot's.
    pub fn restore(&mut self, backup: &TempDir) {
        self.kill(API_SERVER);
        self.kill(ETCD);
        let data = self.directory.join(DATA);
        fs::remove_dir_all(&data).expect("etcd's data");
        copy(backup.path(), &data);
        self.start_again(ETCD);
        self.start_again(API_SERVER);
    }

    /// How long the audit log is now.
    pub fn mark(&self) -> u64 {
        fs::metadata(self.directory.join("audit.log")).map_or(0, |log| log.len())
    }

    /// The answered requests of a user since then, as verb, resource and code.
    pub fn requests_since(&self, mark: u64, user: &str) -> Vec<(String, String, u64)> {
        let mut file = File::open(self.directory.join("audit.log")).expect("an audit log");
        file.seek(SeekFrom::Start(mark)).expect("the log is that long");
        let events = BufReader::new(file).split(b'\n').map_while(Result::ok);
        let events = events.filter_map(|line| serde_json::from_slice::<Value>(&line).ok());
        let text = |event: &Value, pointer: &str| {
            event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let ours = events.filter(|event| {
            event["stage"] == "ResponseComplete"
                && ["/impersonatedUser/username", "/user/username"].iter().any(|who| text(event, who) == user)
        });
        ours.map(|event| {
            let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
            (text(&event, "/verb"), text(&event, "/objectRef/resource"), code)
        })
        .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Empty when there is no such process, or only its remains.
fn command_line(pid: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned());
    arguments.filter(|argument| !argument.is_empty()).collect()
}
