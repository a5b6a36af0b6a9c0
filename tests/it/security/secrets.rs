//! Secrets stay secret: a random value is put where secrets are (Secrets, a URL, the kubeconfig's
//! token), everything is run at its loudest, and whatever is written is searched for it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit::mark;
use crate::support::cluster::{cluster, path};
use crate::support::collector::Collector;
use crate::support::githttp::GitHttp;
use crate::support::process::run;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const LOUDEST: &str =
    "trace,h2=trace,hyper=trace,kube=trace,kube_client=trace,log=trace,notify=trace,rustls=trace,tower=trace";

/// A secret text and all forms in which it could leak.
struct Canary {
    text: String,
    forms: Vec<String>,
}

impl Canary {
    fn new() -> Self {
        Self::of(&format!("canary{}", std::iter::repeat_with(fastrand::lowercase).take(18).collect::<String>()))
    }

    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let list = |form: fn(&u8) -> String, between: &str| bytes.iter().map(form).collect::<Vec<_>>().join(between);
        let mut forms = vec![
            text.to_owned(),
            list(|byte| format!("{byte:02x}"), ""),
            // As Debug writes bytes.
            list(u8::to_string, ", "),
        ];
        for before in 0..3 {
            // The text in the midst of another one: without the characters that hold bits of others.
            let encoded = STANDARD.encode([&vec![0; before], bytes].concat());
            let (begin, end) = (before.div_ceil(3) * 4, (before + bytes.len()) / 3 * 4);
            let inner = encoded[begin..end].to_owned();
            // A base64 text that was encoded once more, as a Secret's data in an annotation of a Secret is.
            forms.push(STANDARD.encode(&inner)[..inner.len() / 3 * 4].to_owned());
            forms.push(inner);
        }
        Self { text: text.to_owned(), forms }
    }

    #[track_caller]
    fn is_not_in(&self, what: &str, text: &str) {
        for form in &self.forms {
            let Some(at) = text.find(form.as_str()) else { continue };
            let from = text.floor_char_boundary(at.saturating_sub(300));
            let to = text.ceil_char_boundary(at + form.len() + 100);
            panic!("{what} holds a secret as {form}:\n{}", &text[from..to]);
        }
    }
}

#[test]
fn a_canary_is_found_in_each_of_its_forms() {
    let canary = Canary::new();
    let text = &canary.text;
    for leak in [
        text.clone(),
        STANDARD.encode(text),
        STANDARD.encode(format!("u:{text}")),
        STANDARD.encode(format!("ada:{text}")),
        STANDARD.encode(STANDARD.encode(text)),
        format!("{:?}", text.as_bytes()),
    ] {
        let found = std::panic::catch_unwind(|| canary.is_not_in("a leak", &format!("before {leak} after")));
        assert!(found.is_err(), "{leak}");
    }
    canary.is_not_in("nothing", &format!("{} {}", &text[1..], STANDARD.encode(&text[1..20])));
}

/// The Secrets of the repository: good ones, refused ones, and some that are no YAML.
fn files(canary: &str) -> Vec<(&'static str, String)> {
    let secret = |name: &str, rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{rest}\n");
    let encoded = STANDARD.encode(canary);
    let exported = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": encoded}, "stringData": {"b": canary}});
    vec![
        ("a.yaml", config_map("a", "1")),
        ("plain.yaml", secret("plain", &format!("stringData: {{password: {canary}-plain}}"))),
        ("encoded.yaml", secret("encoded", &format!("data: {{password: {encoded}}}"))),
        (
            "exported.yaml",
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata:\n  name: exported\n  annotations:\n    \
                 kubectl.kubernetes.io/last-applied-configuration: '{exported}'\ndata: {{password: {encoded}}}\n"
            ),
        ),
        (
            "typed.yaml",
            secret(
                "typed",
                &format!("type: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: {canary}-typed}}"),
            ),
        ),
        ("illegal.yaml", secret("illegal", &format!("data: {{password: '{canary} is no base64'}}"))),
        ("shape.yaml", secret("shape", &format!("data: {canary}-shape"))),
        ("list.yaml", secret("list", &format!("stringData: {{password: [{canary}]}}"))),
        ("field.yaml", secret("field", &format!("stringDate: {{password: {canary}-field}}"))),
        ("broken.yaml", secret("broken", &format!("stringData: {{password: {canary}: {canary}"))),
        ("open.json", format!("{{\"kind\": \"Secret\", \"stringData\": {{\"password\": \"{canary}")),
    ]
}

/// Every file below a directory, as far as it is text.
fn everything_in(directory: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(directory).expect("a directory").map_while(Result::ok) {
        let path = entry.path();
        all += &format!("{}\n", path.display());
        if path.is_dir() {
            all += &everything_in(&path);
        } else {
            all += &String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// What the commands say of the site, at their loudest.
fn commands(site: &Site) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for command in [&["plan"][..], &["render"], &["status", "--objects"], &["check"], &["explain", "secret/plain"]] {
        for output in ["text", "json", "yaml", "markdown"] {
            let mut process = site.command(command);
            process.args(["--output", output]).env("DRIFTLESS_LOG", LOUDEST);
            let done = run(&mut process, None, std::time::Duration::from_secs(90));
            assert!(!done.stdout.is_empty(), "{command:?}: {}", done.stderr);
            shown.push((format!("{} -o {output}", command.join(" ")), done.all()));
        }
    }
    shown
}

#[test]
fn a_secret_leaves_no_trace_in_what_is_written_about_it() {
    let canary = Canary::new();
    let (in_url, second, header) = (Canary::new(), Canary::new(), Canary::new());
    let collector = Collector::start();
    let token = Canary::of("admin-token");
    let files = files(&canary.text);
    let site = Site::with(&files.iter().map(|(file, text)| (*file, &**text)).collect::<Vec<_>>());
    let server = GitHttp::start(site.repo.root());
    server.require_login("ada", &in_url.text);
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(server.url_with_login("ada", &in_url.text));
    site.configure(&[sync]);
    let mut shown: Vec<(String, String)> = Vec::new();

    // One that kubectl made before: its annotation has the values too.
    let before = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plain"}, "stringData": {"password": canary.text}});
    cluster()
        .kubectl_with(&["apply", "--namespace", &site.namespace, "--filename", "-"], Some(&before.to_string()), &[])
        .expect_code(0);

    for format in ["text", "json"] {
        let agent = Agent::start_with(&site, |command| {
            command.args(["--log-format", format]).env("DRIFTLESS_LOG", LOUDEST);
            collector.receive_from(command);
            command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {}", header.text));
        });
        agent.eventually_is("shop", "Failing");
        let wanted = json!(STANDARD.encode(format!("{}-plain", canary.text)));
        let healed = || {
            let found = site.get("secrets", "plain").map(|live| live["data"]["password"] == wanted);
            check(found == Some(true), format!("{found:?}"))
        };
        eventually("the Secret is as in git", healed);
        site.edit(
            "secrets",
            "plain",
            "kubectl-edit",
            &json!({"stringData": {"password": second.text, "more": second.text}}),
        );
        eventually("the Secret is healed", healed);
        agent.eventually_logs(&["drift in Secret"]);
        shown.extend(commands(&site));
        agent.passes("shop", 1);

        server.require_login("ada", "another");
        agent.eventually_logs(&["asks for credentials"]);
        shown.push(("check without access".into(), site.cli(&["check"]).all()));
        server.require_login("ada", &in_url.text);

        for page in ["/metrics", "/status", "/", "/healthz", "/readyz"] {
            shown.push((page.to_owned(), agent.http(page).1));
        }
        let (_, log) = agent.stop();
        let log = log.join("\n");
        assert!(log.contains("TRACE"), "the log is at its loudest");
        shown.push((format!("the log as {format}"), log));
    }
    let list =
        |plural: &str, namespace: &str| cluster().get(&path(plural, Some(namespace), "")).expect("a list").to_string();
    for namespace in [&site.home, &site.namespace] {
        shown.push((format!("ConfigMaps in {namespace}"), list("configmaps", namespace)));
        shown.push((format!("Events in {namespace}"), list("events", namespace)));
    }
    // The packs hold the repository itself, compressed.
    shown.push(("the data directory".into(), everything_in(&site.data_dir())));

    let requests = collector.requests();
    assert!(requests.iter().all(|request| request.headers.iter().any(|line| line.contains(&header.text))));
    let spans: Vec<_> = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
    assert!(spans.concat().contains("driftless.sync"));
    shown.push(("spans".into(), spans.concat()));

    for (what, text) in &shown {
        for secret in [&canary, &in_url, &second, &header] {
            secret.is_not_in(what, text);
        }
        if !cluster().is_foreign() {
            token.is_not_in(what, text);
        }
    }
    let render = &shown.iter().find(|(what, _)| what == "render -o text").expect("it was run").1;
    assert!(render.contains("<hidden>") && render.contains("exported"), "{render}");
}

/// The digests of Secrets are keyed, so with another key every Secret would be applied again.
#[test]
fn what_was_secret_at_its_last_apply_is_hidden_when_git_says_so_no_longer() {
    let object = |annotations: &str, value: &str| {
        config_map("settings", value).replace("metadata:", &format!("metadata:\n  annotations: {annotations}"))
    };
    let site = Site::with(&[("a.yaml", &object("{driftless.dev/sensitive: 'true'}", "s3cret-before"))]);
    site.configure(&[site.sync("shop")]);
    site.once().expect_code(0);
    site.repo.commit(&[("a.yaml", &object("{}", "open"))]);
    for command in [&["plan"][..], &["plan", "-o", "json"], &["explain", "ConfigMap/settings", "-n", &site.namespace]] {
        let shown = site.cli(command).all();
        assert!(!shown.contains("s3cret-before") && shown.contains("settings"), "{command:?}: {shown}");
    }
    let shown = site.once().expect_code(0).all();
    assert!(!shown.contains("s3cret-before"), "{shown}");
    let plan = site.cli(&["plan"]).expect_code(0).all();
    assert!(plan.contains("nothing"), "{plan}");
}

#[test]
fn the_key_of_the_digests_outlives_the_agent_so_that_a_restart_writes_no_secret() {
    let secret =
        |name: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: b}}\n");
    let site = Site::of_shop(&[("one.yaml", &secret("one")), ("two.yaml", &secret("two"))]);
    let mut agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let key = path("secrets", Some(&site.home), "driftless-digest-key");
    let secrets = || {
        let one = |name: &str| site.get("secrets", name).expect("it exists");
        [one("one"), one("two"), cluster().get(&key).expect("a key")]
    };
    let before = secrets();
    for clean in [true, false] {
        let mark = mark();
        if clean {
            agent.stop();
        } else {
            agent.kill();
        }
        agent = Agent::start(&site);
        agent.eventually_synced("shop", &site.repo.head());
        agent.passes("shop", 1);
        assert_eq!(secrets(), before, "data, annotations and resource versions");
        if let Some(mark) = mark {
            let writes = site.writes(mark);
            assert!(writes.iter().all(|write| !write.what.starts_with("secrets ")), "{writes:?}");
        }
    }
}
