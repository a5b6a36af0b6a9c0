use std::collections::BTreeSet;

use jsonschema::Validator;

use super::*;
use crate::config::parse;

const SCHEMA: &str = include_str!("../../config/schema.json");
const EXAMPLE: &str = include_str!("../../config/example.yaml");
const REFERENCE: &str = include_str!("../../docs/configuration.md");

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// The file as an editor sees it: YAML 1.2, where `yes` is a text.
fn as_json(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

/// The key of every property in the schema.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| keys(value, found)),
        Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

fn all_keys() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(&schema(), &mut found);
    found
}

#[test]
fn the_schema_in_the_repository_is_the_generated_one() {
    let generated = format!("{:#}\n", schema());
    assert!(
        SCHEMA == generated,
        "config/schema.json is out of date; run: driftless config schema > config/schema.json\n{generated}"
    );
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema().get("$id").is_none());
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    fn check(schema: &Value) {
        for (key, property) in schema["properties"].as_object().unwrap() {
            let own = property.get("description").is_some();
            let referred = property.to_string().contains("#/$defs/");
            assert!(own || referred, "{key} has no description");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
    let schema = schema();
    check(&schema);
    for definition in schema["$defs"].as_object().unwrap().values() {
        assert!(definition["description"].is_string());
        check(definition);
    }
}

#[test]
fn the_example_is_right_and_shows_every_key() {
    let config = parse(EXAMPLE, "config/example.yaml").unwrap();
    assert_eq!(config.syncs.len(), 5);
    let problems: Vec<String> = validator().iter_errors(&as_json(EXAMPLE)).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert!(EXAMPLE.starts_with("# yaml-language-server: $schema=./schema.json\n"));
    for key in all_keys() {
        assert!(EXAMPLE.contains(&format!("{key}:")), "config/example.yaml lacks {key}");
    }
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let all = parse(EXAMPLE, "config/example.yaml").unwrap();
    let least = "syncs: [{name: infra, source: {url: 'https://git.example.com/platform/infra.git', branch: main}}]";
    let least = parse(least, "least").unwrap();
    assert_eq!(all.syncs[0], least.syncs[0]);
    assert_eq!(
        (all.listen, &all.data_dir, all.leader_election),
        (least.listen, &least.data_dir, least.leader_election)
    );
}

#[test]
fn the_reference_mentions_every_key() {
    for key in all_keys() {
        assert!(REFERENCE.contains(&format!("`{key}`")), "docs/configuration.md lacks `{key}`");
    }
}

/// A file with one sync in which a line is put in the place of a good one.
fn with_line(key: &str, value: &str) -> String {
    let top = |name: &str, good: &str| if name == key { value.to_owned() } else { good.to_owned() };
    let sync = [
        ("name", "shop"),
        ("path", "."),
        ("interval", "1m"),
        ("prune", "{}"),
        ("drift", "heal"),
        ("wait", "true"),
        ("dependsOn", "[]"),
        ("serviceAccount", "shop/deployer"),
        ("targetNamespace", "shop"),
    ];
    let source = top("source", "{url: 'https://h/x', branch: main}");
    let (listen, namespace) = (top("listen", ":80"), top("namespace", "a"));
    let lines: Vec<String> = sync.iter().map(|(name, good)| format!("  {name}: {}\n", top(name, good))).collect();
    format!("listen: {listen}\nnamespace: {namespace}\nsyncs:\n- source: {source}\n{}", lines.concat())
}

const GOOD: &[(&str, &str)] = &[
    ("listen", "0.0.0.0:8080"),
    ("listen", "'[::]:8080'"),
    ("listen", "~"),
    ("namespace", "team-a"),
    ("namespace", "~"),
    ("name", "a"),
    ("name", "a-1"),
    ("name", "'1'"),
    ("path", "clusters/prod"),
    ("path", "./a/"),
    ("path", "a..b/...c"),
    ("path", "''"),
    ("interval", "90s"),
    ("interval", "1h30m"),
    ("interval", "1.5h"),
    ("interval", "~"),
    ("prune", "~"),
    ("prune", "{maxPercent: 0}"),
    ("prune", "{maxPercent: 100, enabled: false}"),
    ("prune", "{include: [Namespace, CustomResourceDefinition, Widget.example.com]}"),
    ("drift", "heal"),
    ("drift", "report"),
    ("drift", "off"),
    ("drift", "~"),
    ("wait", "false"),
    ("wait", "~"),
    ("dependsOn", "~"),
    ("serviceAccount", "a/b.c-d"),
    ("targetNamespace", "~"),
    ("source", "{url: 'https://h/x', commit: 0123456789abcdef0123456789abcdef01234567}"),
    ("source", "{url: 'http://h:80/x', tag: v1.0.0}"),
    ("source", "{url: 'ssh://git@h/x', semver: '>=1'}"),
    ("source", "{url: 'file:///x', branch: feature/a@b}"),
    ("source", "{url: 'git@h.example.com:a/b', branch: main, tag: ~}"),
    ("source", "{url: 'https://u:p@h/x', branch: main}"),
];

const BAD: &[(&str, &str)] = &[
    ("listen", "8080"),
    ("listen", "localhost:80"),
    ("listen", "[a]"),
    ("namespace", "Team"),
    ("namespace", "a.b"),
    ("namespace", "''"),
    ("name", "-a"),
    ("name", "a-"),
    ("name", "A"),
    ("name", "''"),
    ("name", "~"),
    ("name", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("path", "/a"),
    ("path", "a/../b"),
    ("path", ".."),
    ("path", "a\\b"),
    ("interval", "60"),
    ("interval", "-5m"),
    ("interval", "1d"),
    ("interval", "''"),
    ("interval", "5 m"),
    ("prune", "{maxPercent: 101}"),
    ("prune", "{maxPercent: -1}"),
    ("prune", "{maxPercent: 20%}"),
    ("prune", "{maxPercent: 1.5}"),
    ("prune", "{include: Namespace}"),
    ("prune", "{include: [namespace]}"),
    ("prune", "{include: [Deployment]}"),
    ("prune", "{include: [Namespace, Namespace]}"),
    ("prune", "{maxpercent: 1}"),
    ("prune", "true"),
    ("drift", "fix"),
    ("drift", "Heal"),
    ("drift", "false"),
    ("drift", "''"),
    ("wait", "yes"),
    ("wait", "1"),
    ("dependsOn", "infra"),
    ("dependsOn", "[[]]"),
    ("serviceAccount", "deployer"),
    ("serviceAccount", "a/b/c"),
    ("serviceAccount", "a/"),
    ("targetNamespace", "a/b"),
    ("source", "~"),
    ("source", "https://h/x"),
    ("source", "{branch: main}"),
    ("source", "{url: 'https://h/x'}"),
    ("source", "{url: 'https://h/x', branch: a, tag: b}"),
    ("source", "{url: 'https://h/x', branch: ~}"),
    ("source", "{url: 'https://h/x', branch: a, ref: b}"),
    ("source", "{url: 'https://h/x', commit: abcdef}"),
    ("source", "{url: 'https://h/x', semver: ''}"),
    ("source", "{url: 'https://h/x', branch: 'a b'}"),
    ("source", "{url: 'https://h/x', branch: a..b}"),
    ("source", "{url: 'https://h/x', branch: refs/heads/a}"),
    ("source", "{url: 'https://h/x', branch: a.lock}"),
    ("source", "{url: 'https://h/x', tag: a/}"),
    ("source", "{url: 'https://h/x', tag: -a}"),
    ("source", "{url: 'https://h/x', tag: ''}"),
    ("source", "{url: 'git://h/x', branch: a}"),
    ("source", "{url: 'ftp://h/x', branch: a}"),
    ("source", "{url: 'ext::sh', branch: a}"),
    ("source", "{url: ../x, branch: a}"),
    ("source", "{url: /x, branch: a}"),
    ("source", "{url: 'file://h/x', branch: a}"),
    ("source", "{url: 'https://', branch: a}"),
    ("source", "{url: 'ssh:///x', branch: a}"),
    ("source", "{url: 'https://h/a b', branch: a}"),
    ("source", "{url: 'h:x', branch: a}"),
    ("source", "{url: 'git@-h:x', branch: a}"),
    ("source", "{url: 'u:p@h:x', branch: a}"),
    ("unknown", "1"),
];

#[test]
fn the_schema_and_the_parser_agree() {
    let validator = validator();
    for (table, expected) in [(GOOD, true), (BAD, false)] {
        for (key, value) in table {
            let mut text = with_line(key, value);
            if *key == "unknown" {
                text += "  unknown: 1\n";
            }
            let parsed = parse(&text, "c.yaml");
            assert_eq!(parsed.is_ok(), expected, "the parser on {key}: {value}: {parsed:?}");
            let valid = validator.is_valid(&as_json(&text));
            assert_eq!(valid, expected, "the schema on {key}: {value}");
        }
    }
}

/// What a schema cannot say, or an editor reads otherwise: kept here so that it is known.
#[test]
fn where_the_schema_and_the_parser_differ_is_known() {
    let validator = validator();
    for (key, value) in [
        ("interval", "25h"),
        ("listen", "':99999'"),
        ("listen", "'256.0.0.1:80'"),
        ("dependsOn", "[nobody]"),
        ("source", "{url: 'https://h/x', semver: latest}"),
        ("source", "{url: 'https://h:port/x', branch: main}"),
    ] {
        let text = with_line(key, value);
        assert!(parse(&text, "c.yaml").is_err() && validator.is_valid(&as_json(&text)), "{key}: {value}");
    }
    // The parser takes a number for the text it was written as, and a quoted value for what it says.
    for (key, value) in [
        ("name", "1"),
        ("source", "{url: 'https://h/x', tag: 1.10}"),
        ("wait", "'true'"),
        ("prune", "{maxPercent: '20'}"),
    ] {
        let text = with_line(key, value);
        assert!(parse(&text, "c.yaml").is_ok() && !validator.is_valid(&as_json(&text)), "{key}: {value}");
    }
}
