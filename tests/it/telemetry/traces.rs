//! OpenTelemetry traces, as a collector receives them.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::collector::{Collector, attributes};
use crate::support::process::{Finished, run};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const CANARY: &str = "canary-5d1e-in-a-secret";

/// The name that the SDK gives the thread of its batch processor, as Linux cuts it.
const THREAD: &str = "OpenTelemetry.T";

#[must_use = "it may have failed; `expect_code` shows that"]
fn once(site: &Site, variables: &[(&str, &str)]) -> Finished {
    let mut command = site.command(&["run", "--once"]);
    command.envs(variables.iter().copied());
    run(&mut command, None, Duration::from_secs(90))
}

/// The roots, when there are as many of them as expected.
#[track_caller]
fn roots(collector: &Collector, number: usize) -> Vec<Span> {
    eventually(&format!("{number} traces have come"), || {
        let roots = collector.spans().0;
        let results: Vec<_> = roots.iter().map(|root| attributes(&root.attributes)).collect();
        check(roots.len() == number, format!("{results:?}")).map(|()| roots)
    })
}

/// The parts of a trace by their begin.
fn parts(collector: &Collector, root: &Span) -> Vec<Span> {
    let mut parts = collector.spans().1;
    parts.retain(|span| span.trace_id == root.trace_id);
    parts.sort_by_key(|span| span.start_time_unix_nano);
    parts
}

fn threads(agent: &Agent) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("its threads");
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

#[test]
fn each_commit_is_one_trace_from_the_poll_that_found_it_to_healthy() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let collector = Collector::start();
    let agent = Agent::start_with(&site, |command| {
        collector.receive_from(command);
        command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop");
    });
    let first = site.repo.head();
    agent.eventually_synced("shop", &first);
    let second = site.repo.commit(&[("a.yaml", &config_map("a", "2")), ("b.yaml", &config_map("b", "1"))]);
    agent.eventually_synced("shop", &second);
    agent.cycles("shop", 3);
    let roots = roots(&collector, 2);

    for (root, (commit, changed)) in roots.iter().zip([(&first, "1"), (&second, "2")]) {
        let shown = attributes(&root.attributes);
        assert_eq!((&*root.name, &*shown["driftless.sync"], &*shown["driftless.result"]), ("sync", "shop", "synced"));
        assert_eq!(shown["vcs.ref.head.revision"], **commit);
        assert_eq!(shown["driftless.changed"], changed, "{shown:?}");
        let made: jiff::Timestamp = shown["driftless.commit.time"].parse().expect("a time");
        let lag = shown["driftless.commit.lag_seconds"].parse::<f64>().expect("seconds");
        let synced = made.as_duration().as_secs_f64() + lag;
        let ended = Duration::from_nanos(root.end_time_unix_nano).as_secs_f64();
        assert!((synced - ended).abs() < 5.0, "the trace ends when the commit is synced: {shown:?}");
        assert!(root.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset));
        let parts = parts(&collector, root);
        let names: Vec<&str> = parts.iter().map(|span| &*span.name).collect();
        // A part that is not needed is left out: watches show what is live, too.
        let needed: Vec<&str> = names.iter().copied().filter(|name| *name != "observe").collect();
        assert_eq!(needed[..4], ["look", "fetch", "render", "apply"], "{names:?}");
        for part in &parts {
            assert_eq!(part.parent_span_id, root.span_id);
            assert!(root.start_time_unix_nano <= part.start_time_unix_nano, "{part:?}");
            assert!(part.start_time_unix_nano <= part.end_time_unix_nano, "{part:?}");
            assert!(part.end_time_unix_nano <= root.end_time_unix_nano, "{part:?}");
        }
        let objects = parts.iter().flat_map(|part| &part.events).filter(|event| event.name == "object");
        assert_eq!(objects.count().to_string(), changed);
    }
    let traces: BTreeSet<_> = roots.iter().map(|root| &root.trace_id).collect();
    assert_eq!(traces.len(), 2);

    let resource = collector.resource();
    assert_eq!(resource["service.name"], "driftless");
    assert_eq!(resource["deployment.environment.name"], "test");
    for request in collector.requests() {
        assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
        assert!(request.headers.contains(&"x-tenant: shop".to_owned()), "{:?}", request.headers);
        assert!(request.headers.contains(&"content-type: application/x-protobuf".to_owned()), "{:?}", request.headers);
    }
    assert!(threads(&agent).iter().any(|name| name.starts_with(THREAD)), "{:?}", threads(&agent));
    agent.eventually_logs(&[&format!("sending traces to {}/v1/traces", collector.url())]);
}

#[test]
fn a_failure_is_a_trace_with_its_error_reported_once_and_linked_from_the_success() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    // It goes where there is no namespace yet.
    let lost =
        config_map("lost", "1").replace("  name: lost\n", &format!("  name: lost\n  namespace: late-{}\n", site.id));
    site.repo.commit(&[("lost.yaml", &lost)]);
    let collector = Collector::start();
    let agent = Agent::start_with(&site, |command| collector.receive_from(command));
    let failed = roots(&collector, 1).remove(0);
    let shown = attributes(&failed.attributes);
    assert_eq!(shown["driftless.result"], "failed");
    let status = failed.status.clone().expect("a status");
    assert_eq!(status.code(), StatusCode::Error);
    assert!(status.message.contains("lost"), "{status:?}");
    let parts = parts(&collector, &failed);
    let events = parts.iter().flat_map(|part| &part.events).map(|event| attributes(&event.attributes));
    let lost = events.into_iter().find(|event| event.contains_key("driftless.message")).expect("the failing object");
    assert!(lost["driftless.object"].contains("lost") && lost["driftless.result"] == "failed", "{lost:?}");

    agent.passes("shop", 2);
    assert_eq!(collector.spans().0.len(), 1, "the same failure again is not reported");
    site.make_namespace(&format!("late-{}", site.id));
    agent.poll_now("shop");
    agent.eventually_synced("shop", &site.repo.head());
    let synced = roots(&collector, 2).remove(1);
    assert_eq!(attributes(&synced.attributes)["driftless.result"], "synced");
    assert_ne!(synced.trace_id, failed.trace_id);
    assert_eq!(synced.links[0].trace_id, failed.trace_id);
}

#[test]
fn run_once_sends_its_trace_before_it_ends() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let collector = Collector::start();
    let endpoint = format!("{}/v1/traces", collector.url());
    // The delay is that of the specification, which is longer than the program runs.
    let traces = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*endpoint), ("OTEL_SERVICE_NAME", "deployer")];
    let ended = once(&site, &traces).expect_code(0);
    assert_eq!(collector.spans().0.len(), 1, "{}", ended.all());
    assert_eq!(collector.resource()["service.name"], "deployer");
    once(&site, &traces).expect_code(0);
    assert_eq!(collector.spans().0.len(), 1, "nothing happened");
}

#[test]
fn nothing_is_sent_unless_the_environment_asks_for_it() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let collector = Collector::start();
    let url = collector.url();
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")] {
        let ended = once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), off]).expect_code(0);
        assert!(!ended.all().contains("traces"), "{off:?}: {}", ended.all());
        site.repo.commit(&[("a.yaml", &config_map("a", off.0))]);
    }
    assert_eq!(collector.connections(), 0);
    // No sample, no span.
    once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_TRACES_SAMPLER", "always_off")]).expect_code(0);
    assert_eq!(collector.spans().0.len(), 0);

    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(!threads(&agent).iter().any(|name| name.starts_with(THREAD)), "{:?}", threads(&agent));
}

#[test]
fn a_collector_that_is_away_or_refuses_is_reported_once_and_harms_no_sync() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let collector = Collector::start();
    collector.answer(401);
    let agent = Agent::start_with(&site, |command| collector.receive_from(command));
    agent.eventually_synced("shop", &site.repo.head());
    agent.eventually_logs(&["traces are not taken by", "401", "syncs go on"]);
    let before = collector.requests().len();
    let head = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.eventually_synced("shop", &head);
    eventually("the second trace is refused", || check(collector.requests().len() > before, before));
    collector.answer(200);
    let head = site.repo.commit(&[("a.yaml", &config_map("a", "3"))]);
    agent.eventually_synced("shop", &head);
    agent.eventually_logs(&["traces are taken by", "again"]);
    let lines = agent.log().iter().filter(|line| line.contains("are not taken")).count();
    assert_eq!(lines, 1);
    drop(agent);

    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let endpoint = format!("http://me:{CANARY}@{free}");
    site.repo.commit(&[("a.yaml", &config_map("a", "4"))]);
    let ended = once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).expect_code(0);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    assert!(ended.stderr.contains(&format!("traces are not taken by http://{free}/v1/traces")), "{}", ended.stderr);
    assert!(ended.stderr.contains("Connection refused"), "{}", ended.stderr);
    assert!(!ended.all().contains(CANARY), "{}", ended.all());
    // Somebody who takes everything and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    site.repo.commit(&[("a.yaml", &config_map("a", "5"))]);
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let ended = once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).expect_code(0);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    assert_eq!(site.value_of("a").as_deref(), Some("5"));
}

#[test]
fn variables_that_cannot_be_used_are_named_without_their_value_and_harm_no_sync() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    for (name, value, said) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector-password:4317", "OTEL_EXPORTER_OTLP_ENDPOINT is no URL"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-password", "OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf here"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "snappy-password", "OTEL_EXPORTER_OTLP_COMPRESSION is none or gzip"),
        ("OTEL_TRACES_EXPORTER", "zipkin-password", "OTEL_TRACES_EXPORTER is otlp or none"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        let ended = once(&site, &[endpoint, (name, value)]).expect_code(0);
        assert!(
            ended.stderr.contains("no traces are sent: ") && ended.stderr.contains(said),
            "{name}: {}",
            ended.stderr
        );
        assert!(!ended.all().contains("password"), "{name}: {}", ended.all());
    }
}

#[test]
fn no_span_holds_a_secret() {
    let good = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
        "stringData": {"password": CANARY}});
    let refused = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "refused"},
        "type": "kubernetes.io/tls", "stringData": {"password": CANARY}});
    let site = Site::of_shop(&[("login.yaml", &good.to_string()), ("refused.yaml", &refused.to_string())]);
    let collector = Collector::start();
    let url = collector.url();
    once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).expect_code(1);
    // A repository that cannot be read, by a URL with a password.
    let mut sync = site.sync("shop");
    sync["source"]["url"] = json!(format!("http://me:{CANARY}@127.0.0.1:1/shop.git"));
    site.configure(&[sync]);
    once(&site, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).expect_code(1);
    assert_eq!(collector.spans().0.len(), 2);
    for request in collector.requests() {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        assert!(text.contains("driftless.sync"));
        assert!(!text.contains(CANARY), "{text}");
    }
}
