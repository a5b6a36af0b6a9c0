//! How long charts and overlays take beside the official tools, and what a commit costs that touches one of many.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fixture::{binaries, mebibytes, number, spawn};
use crate::support::agent::Agent;
use crate::support::deploy::helm_program;
use crate::support::process::{resident_memory, run};
use crate::support::site::{Site, config_map};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests-example");
const LIMIT: Duration = Duration::from_mins(1);

/// The shortest and the middle one of so many runs.
fn time(rounds: usize, mut command: impl FnMut() -> Command) -> (Duration, Duration) {
    let mut took: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            run(&mut command(), None, LIMIT).expect_code(0);
            began.elapsed()
        })
        .collect();
    took.sort();
    (took[0], took[took.len() / 2])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The official kustomize, where `make test-renderer` has built it.
fn kustomize() -> Option<PathBuf> {
    let cache = std::env::var_os("DRIFTLESS_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/driftless")))?;
    let tools = std::fs::read_dir(cache).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("kustomize")));
    tools.into_iter().find(|program| program.is_file())
}

#[test]
#[ignore = "a benchmark: make bench"]
fn beside_the_official_tools() {
    let rounds = number("RENDERS", 20);
    let site = Site::with(&[]);
    let mut chart = site.sync("chart");
    chart["path"] = json!("charts/reviews");
    chart["render"] = json!({"helm": {"releaseName": "reviews", "valuesFiles": ["charts/reviews/values-prod.yaml"]}});
    let mut overlay = site.sync("overlay");
    overlay["path"] = json!("search/overlays/prod");
    site.configure(&[chart, overlay]);
    println!("{rounds} runs each, in ms: the shortest, the middle one");
    let (least, middle) = time(rounds, || {
        let mut helm = Command::new(helm_program());
        let values = format!("{EXAMPLE}/charts/reviews/values-prod.yaml");
        helm.args(["template", "reviews", &format!("{EXAMPLE}/charts/reviews"), "--include-crds", "--values", &values]);
        helm
    });
    println!("{:<40} {:>8.1} {:>8.1}", "helm template", millis(least), millis(middle));
    if let Some(kustomize) = kustomize() {
        let (least, middle) = time(rounds, || {
            let mut build = Command::new(&kustomize);
            build.args(["build", &format!("{EXAMPLE}/search/overlays/prod")]);
            build
        });
        println!("{:<40} {:>8.1} {:>8.1}", "kustomize build", millis(least), millis(middle));
    }
    for (name, binary) in binaries() {
        for sync in ["chart", "overlay"] {
            let (least, middle) = time(rounds, || {
                let ours = site.command(&["render", "--local", EXAMPLE, "--sync", sync]);
                let mut command = Command::new(&binary);
                command.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
                // Without --kubeconfig no cluster is asked, as by the tools.
                let arguments: Vec<_> = ours.get_args().map(ToOwned::to_owned).collect();
                command.args(&arguments[..arguments.len() - 2]);
                command
            });
            println!(
                "{:<40} {:>8.1} {:>8.1}",
                format!("{name}: driftless render, {sync}"),
                millis(least),
                millis(middle)
            );
        }
    }
}

#[test]
#[ignore = "a benchmark: make bench"]
fn a_commit_that_touches_one_of_many_overlays() {
    let many = number("OVERLAYS", 200);
    for (name, binary) in binaries() {
        let mut files = vec![
            ("base/kustomization.yaml".to_owned(), "resources: [c.yaml]\n".to_owned()),
            ("base/c.yaml".to_owned(), config_map("c", "1")),
        ];
        let overlay = |index: usize, value: &str| {
            format!(
                "resources: [../base]\nnamePrefix: o{index}-\nconfigMapGenerator: [{{name: g, literals: [a={value}]}}]\n"
            )
        };
        files.extend((0..many).map(|index| (format!("o{index}/kustomization.yaml"), overlay(index, "1"))));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let site = Site::with(&files);
        let syncs: Vec<Value> = (0..many)
            .map(|index| {
                let mut sync = site.sync(&format!("o{index}"));
                (sync["path"], sync["interval"]) = (json!(format!("o{index}")), json!("5s"));
                sync
            })
            .collect();
        site.configure(&syncs);
        let began = Instant::now();
        let agent = spawn(&site, &binary);
        let all_synced = |agent: &Agent, commit: &str| {
            for index in 0..many {
                agent.eventually_synced(&format!("o{index}"), commit);
            }
        };
        all_synced(&agent, &site.repo.head());
        let first = began.elapsed();
        let figures = |agent: &Agent| {
            let sum = |name: &str, labels: &[&str]| agent.metric(name, labels).unwrap_or_default();
            let mut renders = 0.0;
            let mut seconds = 0.0;
            for index in 0..many {
                let sync = format!("sync=\"o{index}\"");
                renders += sum("driftless_render_total", &[&sync]);
                seconds += sum("driftless_sync_duration_seconds_sum", &[&sync, "phase=\"render\""]);
            }
            (renders, seconds)
        };
        let before = figures(&agent);
        let commit = site.repo.commit(&[("o1/kustomization.yaml", &overlay(1, "2"))]);
        all_synced(&agent, &commit);
        let after = figures(&agent);
        let unchanged = (after.1 - before.1) * 1e3;
        println!(
            "{name}: {many} overlays: first sync {:.1} s; a commit that touches one: {} rendered, {unchanged:.1} ms of rendering in \
             all, {:.2} ms a sync; resident {:.1} MiB",
            first.as_secs_f64(),
            after.0 - before.0,
            unchanged / f64::from(u32::try_from(many).unwrap()),
            mebibytes(resident_memory(agent.pid())),
        );
    }
}
