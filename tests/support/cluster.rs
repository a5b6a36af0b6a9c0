//! The control plane that all tests of this binary share: `tests/devcluster`, or the one that
//! `DRIFTLESS_TEST_KUBECONFIG` names. Requests go straight to its API, since kubectl takes as
//! long to start as a test may wait; kubectl is for what a person does with it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::process::{Finished, run};

pub struct Cluster {
    pub kubeconfig: PathBuf,
    /// Of the devcluster; `None` for a cluster of somebody else.
    directory: Option<PathBuf>,
    runtime: Runtime,
    client: Client,
    /// Its stdin closes when this process ends, however it ends; then it stops the cluster.
    _guard: Option<Child>,
}

/// Starts the cluster, waits until somebody closes its stdin, and stops the cluster.
const GUARD: &str = r#"
if kubeconfig=$("$1/up" "$2" 2>"$2.up.log"); then echo "$kubeconfig"; else echo failed; fi
exec >/dev/null 2>&1
cat
"$1/down" "$2"
rm -rf "$2" "$2.up.log"
"#;

/// The shared cluster; started by whoever asks first.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| match std::env::var_os("DRIFTLESS_TEST_KUBECONFIG") {
        Some(kubeconfig) => Cluster::of(PathBuf::from(kubeconfig), None, None),
        None => start("devcluster"),
    })
}

/// Starts another one, which ends with this process. `name` must be unique in it.
pub fn start(name: &str) -> Cluster {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/devcluster");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the cluster");
    let mut guard = Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .args([&scripts, &directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Out of reach of a Ctrl-C, which is to end the tests and not their cleaning up.
        .process_group(0)
        .spawn()
        .expect("sh starts");
    let mut line = String::new();
    BufReader::new(guard.stdout.take().expect("a pipe")).read_line(&mut line).expect("the guard answers");
    let kubeconfig = PathBuf::from(line.trim());
    if !kubeconfig.is_absolute() {
        let log = std::fs::read_to_string(directory.with_extension("up.log")).unwrap_or_default();
        panic!("the devcluster does not start:\n{log}");
    }
    Cluster::of(kubeconfig, Some(directory), Some(guard))
}

impl Cluster {
    fn of(kubeconfig: PathBuf, directory: Option<PathBuf>, guard: Option<Child>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            Client::try_from(config.expect("a usable kubeconfig")).expect("a client")
        });
        Self { kubeconfig, directory, runtime, client, _guard: guard }
    }

    /// The same cluster, for when it is another one for its clients: with other certificates.
    pub fn anew(&self) -> Self {
        Self::of(self.kubeconfig.clone(), self.directory.clone(), None)
    }

    /// The devcluster's files; `None` for a cluster of somebody else.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The audit log, which only the devcluster has.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join("audit.log"))
    }

    /// The socket of etcd, which only the devcluster has.
    pub fn etcd(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join("etcd.sock"))
    }

    /// Whether somebody else will use this cluster afterwards.
    pub fn is_foreign(&self) -> bool {
        self.directory.is_none()
    }

    /// Whether there are controllers and nodes, so that workloads become ready.
    pub fn runs_workloads(&self) -> bool {
        static NODES: OnceLock<bool> = OnceLock::new();
        *NODES.get_or_init(|| {
            let nodes = self.get("/api/v1/nodes").expect("nodes");
            nodes["items"].as_array().is_some_and(|nodes| !nodes.is_empty())
        })
    }

    /// Runs kubectl as administrator; gives what it printed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, None, &[]).expect_code(0).stdout
    }

    /// Runs kubectl with something on its stdin and in its environment.
    #[must_use = "it may have failed; `expect_code` shows that"]
    pub fn kubectl_with(&self, arguments: &[&str], input: Option<&str>, environment: &[(&str, &str)]) -> Finished {
        let program = match &self.directory {
            Some(directory) => directory.join("kubectl"),
            None => PathBuf::from("kubectl"),
        };
        let mut command = Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig).envs(environment.iter().copied()).args(arguments);
        run(&mut command, input, Duration::from_mins(1))
    }

    /// The object at a path of the API; `None` when there is none.
    #[track_caller]
    pub fn get(&self, path: &str) -> Option<Value> {
        match self.ask(&Method::GET, path, "", None) {
            Ok(object) => Some(object),
            Err(404) => None,
            Err(code) => panic!("GET {path} was answered {code}"),
        }
    }

    #[track_caller]
    pub fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.ask(&Method::POST, path, "application/json", Some(object));
        answer.unwrap_or_else(|code| panic!("POST {path} was answered {code}"))
    }

    /// A merge patch in the name of a field manager.
    #[track_caller]
    pub fn merge(&self, path: &str, manager: &str, change: &Value) -> Value {
        let path = format!("{path}?fieldManager={manager}");
        let answer = self.ask(&Method::PATCH, &path, "application/merge-patch+json", Some(change));
        answer.unwrap_or_else(|code| panic!("PATCH {path} was answered {code}"))
    }

    /// Deletes, if it is there.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        match self.ask(&Method::DELETE, path, "", None) {
            Ok(_) | Err(404) => {}
            Err(code) => panic!("DELETE {path} was answered {code}"),
        }
    }

    /// Whether the API server is there and ready.
    pub fn is_ready(&self) -> bool {
        let request = Request::get("/readyz").body(Body::empty()).expect("a request");
        let asked = async { tokio::time::timeout(Duration::from_secs(2), self.client.send(request)).await };
        self.runtime.block_on(asked).is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
    }

    /// One request; the error is the HTTP status.
    pub fn ask(&self, method: &Method, path: &str, kind: &str, body: Option<&Value>) -> Result<Value, u16> {
        self.send(method, path, kind, body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
    }

    /// The same with a body in any notation.
    pub fn send(&self, method: &Method, path: &str, kind: &str, body: Vec<u8>) -> Result<Value, u16> {
        let mut request = Request::builder().method(method).uri(path).header("user-agent", "it");
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let request = request.body(Body::from(body)).expect("a request");
        self.runtime.block_on(async {
            let answer = self.client.send(request).await.expect("the API server answers");
            let (parts, body) = answer.into_parts();
            let bytes = http_body_util::BodyExt::collect(body).await.expect("an answer").to_bytes();
            if parts.status.is_success() {
                Ok(serde_json::from_slice(&bytes).unwrap_or_default())
            } else {
                Err(parts.status.as_u16())
            }
        })
    }
}

/// The path of an object, or of a collection when `name` is empty. `plural` is `configmaps`,
/// `deployments.apps`, `things.example.com`; the version is always `v1`.
pub fn path(plural: &str, namespace: Option<&str>, name: &str) -> String {
    let (plural, group) = plural.split_once('.').unwrap_or((plural, ""));
    let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
    let place = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{root}{place}/{plural}{name}")
}
