//! Small YAML documents, read by driftless and by the API server: what both accept means the same to both, and what
//! `render` prints is read back as the same. What driftless refuses although the server takes it is refused with its place.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use crate::support::cluster::cluster;
use crate::support::site::{Site, crd};

/// Plain scalars of which readers of YAML think differently, and some of which nobody does.
const SCALARS: [&str; 86] = [
    "true",
    "True",
    "TRUE",
    "tRue",
    "false",
    "False",
    "FALSE",
    "yes",
    "Yes",
    "YES",
    "yES",
    "no",
    "No",
    "NO",
    "on",
    "On",
    "ON",
    "off",
    "Off",
    "OFF",
    "y",
    "Y",
    "n",
    "N",
    "null",
    "Null",
    "NULL",
    "nULL",
    "~",
    "''",
    "0",
    "-0",
    "+1",
    "1",
    "-1",
    "007",
    "08",
    "0o7",
    "0x1F",
    "0X1f",
    "0b11",
    "-0x1",
    "1_000",
    "1__0",
    "1_",
    "_1",
    "0_7",
    "1.0",
    "1.50",
    "+1.5",
    ".5",
    "5.",
    "1e3",
    "1E3",
    "1e+3",
    "1.e3",
    "1_0.5",
    "1:30",
    "1:30:00",
    "190:20:30.15",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    ".inf",
    "-.Inf",
    ".nan",
    "0.1",
    "1.7976931348623157e308",
    "5e-324",
    "123456789.123456789",
    "2001-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "10.0.0.1",
    "1.2.3",
    "v1",
    "a b",
    "=",
    "<<",
    "0777",
    "1d",
    "1e",
    "e1",
    "0.0",
];

/// Notations of whole values, each of the key `v`, with indentation of two.
const NOTATIONS: [&str; 93] = [
    "v: |\n    a\n    b\n",
    "v: |-\n    a\n    b\n",
    "v: |+\n    a\n\n",
    "v: >\n    a\n    b\n\n    c\n",
    "v: >-\n    a\n      b\n    c\n",
    "v: >+\n    a\n\n\n",
    "v: |2\n     a\n    b\n",
    "v: \"a\\tb\\u00e9\\x41\\n\"\n",
    "v: 'a''b'\n",
    "v: \"a\n    b\"\n",
    "v: 'a\n\n    b'\n",
    "v: a\n    b\n",
    "v: \"a\\\n    b\"\n",
    "v: a # no\n",
    "v: a#b\n",
    "v: 'a # b'\n",
    "v: a:b\n",
    "v: http://e.com/?a=1&b=2\n",
    "v: [a, b]\n",
    "v: [a, b,]\n",
    "v: [a: 1, b]\n",
    "v: [[a], [b]]\n",
    "v: {a: 1, b: 2}\n",
    "v: {a, b: 1}\n",
    "v: {a: , b: }\n",
    "v: {\"a\":1}\n",
    "v: {a:1}\n",
    "v: {?a: 1}\n",
    "v: {? a: 1}\n",
    "v: [?a, b]\n",
    "v: [:a]\n",
    "v: {a: :b}\n",
    "v: ?a\n",
    "v: :a\n",
    "v: -a\n",
    "v: - a\n",
    "v: !!str 1\n",
    "v: !!int \"1\"\n",
    "v: !!float 1\n",
    "v: !!bool \"true\"\n",
    "v: !!null ''\n",
    "v: !!str\n",
    "v: !!binary aGVsbG8=\n",
    "v: !!set {a, b}\n",
    "v: !!map {a: 1}\n",
    "v: !!seq [a]\n",
    "v: !local a\n",
    "v: ! 1\n",
    "v: !!timestamp 2001-01-01\n",
    "v: &a 1\n  w: *a\n",
    "v: &a {x: 1}\n  w: *a\n",
    "v: &a {x: 1}\n  w: {<<: *a, y: 2}\n",
    "v: &a {x: 1}\n  w: {x: 2, <<: *a}\n",
    "v: &a {x: 1}\n  w: {<<: *a, x: 2}\n",
    "v: [&a {x: 1}, &b {x: 2, y: 3}]\n  w: {<<: [*a, *b]}\n",
    "v: {<<: {x: 1}}\n",
    "v: {<<: 1}\n",
    "v: {\"<<\": {x: 1}}\n",
    "v: &a {x: 1}\n  w: {<<: *a, <<: *a}\n",
    "v: {x: 1, x: 2}\n",
    "v: {1: a}\n",
    "v: {1: a, '1': b}\n",
    "v: {true: a}\n",
    "v: {yes: a}\n",
    "v: {~: a}\n",
    "v: {1.5: a}\n",
    "v: {0x10: a}\n",
    "v: {[a]: b}\n",
    "v: {{a: b}: c}\n",
    "? v\n  : a\n",
    "? v\n",
    "v:\n  - a\n  - b\n",
    "v:\n    - a\n    -\n    - ~\n",
    "v:\n    - a: 1\n      b: 2\n    - - x\n      - y\n",
    "v:\ta\n",
    "v: a\t\n",
    "v: \"\"\n",
    "v:\n",
    "v: \"\\/\"\n",
    "v: \"\\e\"\n",
    "v: \"\\ud83d\\ude00\"\n",
    "v: \"\\U0001F600\"\n",
    "v: '\u{1F600}'\n",
    "v: \"a\u{85}b\"\n",
    "v: a\u{85}b\n",
    "v: |\n    a\u{85}b\n",
    "v: \"a\\Nb\"\n",
    "v: a\u{2028}b\n",
    "v: |\n    a\u{2029}b\n",
    "v: \"a\u{2028}b\"\n",
    "v: '{{ .Values.a }}'\n",
    "v: {{ .Values.a }}\n",
    "v: @a\n",
];

/// What only readers of YAML 1.2 take: the server refuses it, so that nobody takes it for something else.
const NEWER: [&str; 4] = ["\\/", "\\ud83d\\ude00", "\u{2028}", "\u{2029}"];

/// Documents, each with a name of its own.
fn documents(group: &str) -> BTreeMap<String, String> {
    let mut values: Vec<String> = NOTATIONS.iter().map(|&notation| notation.to_owned()).collect();
    for scalar in SCALARS {
        values.push(format!("v: {scalar}\n"));
        values.push(format!("v: [a, {scalar}]\n"));
        values.push(format!("v: {{{scalar}: a}}\n"));
        values.push(format!("{scalar}: a\n"));
    }
    let document = |(at, value): (usize, String)| {
        let name = format!("d{at:03}");
        let text = format!("apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: {name}}}\nspec:\n  {value}");
        (name, text)
    };
    values.into_iter().enumerate().map(document).collect()
}

fn read_by_server(site: &Site, group: &str, text: &str) -> Result<Value, u16> {
    let path = format!("/apis/{group}/v1/namespaces/{}/things?dryRun=All", site.namespace);
    cluster().send(&Method::POST, &path, "application/yaml", text.as_bytes().to_vec())
}

/// The same, where a number is the same in any notation.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

#[test]
fn what_driftless_and_the_api_server_both_read_means_the_same_to_both_also_when_printed() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &format!("things.{group}"));
    cluster().kubectl_with(&["apply", "-f", "-"], Some(&crd(&group)), &[]).expect_code(0);
    cluster().kubectl(&["wait", "--for=condition=Established", &format!("crd/things.{group}"), "--timeout=60s"]);
    site.configure(&[site.sync("shop")]);
    let documents = documents(&group);
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in &documents {
        std::fs::write(directory.path().join(format!("{name}.yaml")), text).expect("a file");
    }
    let local = directory.path().to_str().expect("a path").to_owned();
    let json = site.cli(&["render", "--local", &local, "--output", "json"]).expect_code(1);
    let objects: Vec<Value> =
        serde_json::from_str(&json.stdout).unwrap_or_else(|error| panic!("{error}: {}", json.stderr));
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let read: BTreeMap<_, _> = objects.iter().map(|object| (name(object), &object["spec"])).collect();
    let refused: BTreeSet<_> = documents.keys().filter(|name| json.stderr.contains(&format!("{name}.yaml:"))).collect();
    assert_eq!(read.len() + refused.len(), documents.len(), "each is either read or refused:\n{}", json.stderr);

    let text = site.cli(&["render", "--local", &local, "--output", "yaml"]).expect_code(1);
    let printed: BTreeMap<_, _> = text.stdout.split("---\n").filter(|text| !text.is_empty()).map(printed).collect();
    let mut wrong = Vec::new();
    let (mut alike, mut stricter) = (0, Vec::new());
    for (name, text) in &documents {
        let server = read_by_server(&site, &group, text);
        match (server, read.get(name)) {
            (Ok(live), Some(spec)) if !same(&live["spec"], spec) => {
                wrong.push(format!("{name} {text:?}: the server reads {}, driftless {spec}", live["spec"]));
            }
            (Err(400), Some(_)) if NEWER.iter().any(|newer| text.contains(newer)) => {}
            (Err(code), Some(spec)) => {
                wrong.push(format!("{name} {text:?}: the server answers {code}, driftless {spec}"));
            }
            (Ok(_), None) => stricter.push(text.rsplit("spec:\n").next().unwrap_or_default().to_owned()),
            (Ok(_), Some(_)) => alike += 1,
            (Err(_), None) => {}
        }
        let (Some(spec), Some(printed)) = (read.get(name), printed.get(name)) else { continue };
        match read_by_server(&site, &group, printed) {
            Ok(live) if same(&live["spec"], spec) => {}
            answer => wrong.push(format!("{name}: printed as {printed:?}, read back as {answer:?}, not {spec}")),
        }
    }
    assert_eq!(wrong, [""; 0], "{} differ", wrong.len());
    assert_eq!(printed.len(), read.len());
    println!("{} documents: {alike} read alike, {} refused by driftless alone", documents.len(), stricter.len());
    println!("refused by driftless alone: {stricter:#?}");
}

/// A printed document, by the name of its file.
fn printed(text: &str) -> (String, String) {
    let place = text.lines().next().and_then(|comment| comment.rsplit(' ').next()).unwrap_or_default();
    (place.split('.').next().unwrap_or_default().to_owned(), text.to_owned())
}
