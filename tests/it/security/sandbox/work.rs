//! What the sandbox leaves alone: the work of an honest program, and its input and output.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use driftless::sandbox::{HelperLimits, LaunchError, Mode};

use super::fixture::{LIMITS, block_on, confined, launcher, run_with};
use crate::support::escape::{escape, renderer};
use crate::support::process::run;
use crate::support::wait::DEADLINE;

#[test]
fn an_honest_program_works() {
    assert_eq!(confined(&["work"], LIMITS).expect("an answer"), "6553600\n");
    let outside = run(Command::new(escape()).arg("work"), None, DEADLINE).expect_code(0);
    assert_eq!(outside.stdout, "6553600\n");
}

#[test]
fn the_renderer_renders_the_same_with_and_without_the_sandbox() {
    let request =
        serde_json::json!({"version": 1, "renderer": "helm", "path": "chart", "helm": {"releaseName": "shop"}});
    let mut tar = Vec::new();
    for (path, text) in [
        ("request.json", request.to_string().as_str()),
        ("tree/chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
        ("tree/chart/values.yaml", "count: 300\n"),
        (
            "tree/chart/templates/maps.yaml",
            "{{- range $i := until (int .Values.count) }}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata:\n  name: {{ $.Release.Name }}-{{ $i }}\ndata:\n  hash: {{ printf \"%d\" $i | sha256sum }}\n{{- end }}\n",
        ),
    ] {
        add_to_tar(&mut tar, path, text.as_bytes());
    }
    tar.extend([0; 1024]);

    let input = tar.clone();
    let helper = launcher(renderer(), Mode::Required);
    let inside = block_on(helper.run(&[], LIMITS, move |out| out.write_all(&input))).expect("an answer");
    let mut outside = Command::new(renderer()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    outside.stdin.take().expect("a pipe").write_all(&tar).expect("it reads");
    let outside = outside.wait_with_output().expect("it ends").stdout;
    assert_eq!(String::from_utf8(inside).unwrap(), String::from_utf8(outside.clone()).unwrap());
    let answer: serde_json::Value = serde_json::from_slice(&outside).expect("JSON");
    assert_eq!(answer["error"], serde_json::Value::Null);
    assert_eq!(answer["documents"].as_array().map(Vec::len), Some(300));
}

/// A regular file, as POSIX has it (ustar).
fn add_to_tar(tar: &mut Vec<u8>, path: &str, content: &[u8]) {
    let mut header = [0; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn quarter_of_a_gibibyte(out: &mut dyn Write) -> io::Result<()> {
    (0..16_384).try_for_each(|_| out.write_all(&[1; 16_384]))
}

#[test]
fn a_quarter_of_a_gibibyte_is_streamed_to_a_helper() {
    let helper = launcher(escape(), Mode::Required);
    let limits = HelperLimits { memory_bytes: 128 << 20, ..LIMITS };
    let answer = block_on(helper.run(&["count"], limits, quarter_of_a_gibibyte)).expect("an answer");
    assert_eq!(answer, b"268435456\n");
}

#[test]
fn a_helper_may_answer_without_reading_all_of_its_input() {
    let answer = block_on(launcher(escape(), Mode::Required).run(&["answer"], LIMITS, quarter_of_a_gibibyte))
        .expect("an answer");
    assert_eq!(answer, b"answered\n");
}

#[test]
fn an_input_that_cannot_be_made_is_no_answer() {
    let input = |out: &mut dyn Write| {
        out.write_all(b"the first part")?;
        Err(io::Error::other("the commit is gone"))
    };
    let error = block_on(launcher(escape(), Mode::Required).run(&["count"], LIMITS, input)).expect_err("half of it");
    assert!(
        matches!(&error, LaunchError::Input { source, .. } if source.to_string() == "the commit is gone"),
        "{error}"
    );
}

#[test]
fn a_helper_that_is_not_there_or_cannot_be_executed_is_an_error_that_says_what_to_do() {
    let error = run_with(&launcher(Path::new("/does/not/exist"), Mode::Required), &[], LIMITS).expect_err("no file");
    assert!(matches!(error, LaunchError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("make build") && error.to_string().contains("DRIFTLESS_RENDERER"), "{error}");
    // A program with libraries, which it may not read.
    let error = run_with(&launcher(Path::new("/bin/sh"), Mode::Required), &[], LIMITS).expect_err("no static program");
    assert!(matches!(error, LaunchError::SetupFailed { .. }), "{error}");
    assert!(error.to_string().contains("statically linked"), "{error}");
}
