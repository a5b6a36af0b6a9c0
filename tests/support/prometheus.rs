//! A real Prometheus that scrapes agents and evaluates the rules, and its `promtool`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded::Serializer;

use super::agent::Agent;
use super::process::{Finished, Leash, Lines, run};
use super::wait::eventually;

/// How long an answer, or one of its tools, may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// One series at one moment: its labels without those of every series, and its value.
pub type Sample = (BTreeMap<String, String>, f64);

pub struct Prometheus {
    child: Child,
    /// `None` once it is being ended.
    leash: Option<Leash>,
    address: String,
    directory: TempDir,
}

/// Scrapes and evaluates every second. Targets come out of a file, so that agents can come and go.
const CONFIG: &str = "
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [RULES]
scrape_configs:
  - job_name: driftless
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
";

impl Prometheus {
    /// With these rules, and no targets yet.
    #[track_caller]
    pub fn start(rules: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = CONFIG.replace("RULES", &rules.display().to_string());
        std::fs::write(directory.path().join("prometheus.yml"), config).expect("a file");
        std::fs::write(directory.path().join("targets.json"), "[]").expect("a file");
        let mut command = Command::new(&programs().prometheus);
        command
            .current_dir(directory.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("Prometheus can be run");
        let log = Lines::of(child.stderr.take().expect("a pipe"));
        let leash = Some(Leash::of(&child));
        let address = eventually("Prometheus listens", || {
            if let Some(status) = child.try_wait().expect("it can be waited for") {
                panic!("Prometheus ended at once: {status}\n{}", log.all().join("\n"));
            }
            let line = log.all().into_iter().find(|line| line.contains("\"Listening on\""));
            let address = line.and_then(|line| Some(line.split_once("address=")?.1.trim().to_owned()));
            address.ok_or("no line with its address")
        });
        Self { child, leash, address, directory }
    }

    /// Scrapes these agents from now on, each under a name of its own.
    pub fn scrape(&self, agents: &[(&str, &Agent)]) {
        let target = |(name, agent): &(&str, &Agent)| {
            let labels = json!({"namespace": "driftless", "instance": name});
            json!({"targets": [agent.address()], "labels": labels})
        };
        let targets: Vec<Value> = agents.iter().map(target).collect();
        let new = self.directory.path().join("targets.json.new");
        std::fs::write(&new, json!(targets).to_string()).expect("a file");
        std::fs::rename(new, self.directory.path().join("targets.json")).expect("a file");
    }

    /// What an expression gives now.
    ///
    /// # Errors
    /// What Prometheus says of an expression that it cannot parse or evaluate.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let body = Serializer::new(String::new()).append_pair("query", expression).finish();
        let data = self.ask("/api/v1/query", Some(&body))?;
        let rows = data["result"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(sample).collect())
    }

    /// The values of a label in the series that a selector meets.
    ///
    /// # Errors
    /// What Prometheus says of a selector that it cannot parse.
    pub fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>, String> {
        let query = Serializer::new(String::new()).append_pair("match[]", selector).finish();
        let data = self.ask(&format!("/api/v1/label/{label}/values?{query}"), None)?;
        let values = data.as_array().cloned().unwrap_or_default();
        Ok(values.iter().filter_map(|value| value.as_str().map(ToOwned::to_owned)).collect())
    }

    /// The rules as it has them, with their `name`, `state`, `health` and `lastError`.
    pub fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules", None).expect("the rules");
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    fn ask(&self, path: &str, form: Option<&str>) -> Result<Value, String> {
        let mut stream = TcpStream::connect(&self.address).expect("Prometheus listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = match form {
            Some(form) => {
                let kind = "Content-Type: application/x-www-form-urlencoded";
                format!("POST {path} HTTP/1.0\r\n{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len())
            }
            None => format!("GET {path} HTTP/1.0\r\n\r\n"),
        };
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(body["error"].to_string()) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.leash = None;
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` for a value that is no finite number, such as 0 / 0.
fn sample(row: &Value) -> Option<Sample> {
    let value: f64 = row["value"][1].as_str()?.parse().ok()?;
    let labels = row["metric"].as_object()?.iter();
    let labels = labels.filter(|(name, _)| !["__name__", "job", "namespace"].contains(&name.as_str()));
    let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    value.is_finite().then(|| (labels.collect(), value))
}

/// Runs `promtool`.
#[track_caller]
#[must_use = "it may have failed; `expect_code` shows that"]
pub fn promtool(arguments: &[&str], directory: &Path) -> Finished {
    run(Command::new(&programs().promtool).args(arguments).current_dir(directory), None, PATIENCE)
}

struct Programs {
    prometheus: PathBuf,
    promtool: PathBuf,
}

/// Those on the `PATH`, or else built by whoever asks first, where they are not in the cache.
fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus/build");
        let built = run(&mut Command::new(script), None, Duration::from_mins(20));
        let paths: Vec<PathBuf> = built.stdout.lines().map(PathBuf::from).collect();
        match <[PathBuf; 2]>::try_from(paths) {
            Ok([prometheus, promtool]) if prometheus.is_absolute() && promtool.is_absolute() => {
                Programs { prometheus, promtool }
            }
            _ => panic!("no Prometheus, which `make prometheus` builds: {}", built.all()),
        }
    })
}

/// Where the rules and the dashboards are.
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}
