use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::source::SourceFile;

fn file(path: &str, bytes: impl AsRef<[u8]>) -> SourceFile {
    SourceFile { path: path.into(), bytes: bytes.as_ref().into() }
}

fn render_files(files: Vec<SourceFile>) -> Rendered {
    render(&Snapshot { tree: "t".into(), files }, &Settings::default())
}

fn yaml(text: &str) -> Rendered {
    render_files(vec![file("a.yaml", text)])
}

/// The only manifest of a rendering without errors.
fn one(text: &str) -> Value {
    let rendered = yaml(text);
    assert_eq!((rendered.errors.len(), rendered.manifests.len()), (0, 1), "{text}: {:?}", rendered.errors);
    rendered.manifests[0].to_value()
}

fn data(text: &str) -> Value {
    one(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n{text}\n"))["data"].take()
}

fn errors(rendered: &Rendered) -> Vec<String> {
    rendered.errors.iter().map(ToString::to_string).collect()
}

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn places(rendered: &Rendered) -> Vec<(String, u32)> {
    rendered.manifests.iter().map(|manifest| (manifest.id.to_string(), manifest.origin.line)).collect()
}

#[test]
fn documents_keep_their_order_and_know_their_line() {
    let text = format!("# first\n{}---\n# second\n\n{}---\n# nothing\n", map("a"), map("b"));
    let rendered = yaml(&text);
    assert_eq!(errors(&rendered), [""; 0]);
    assert_eq!(places(&rendered), [("ConfigMap a".into(), 2), ("ConfigMap b".into(), 8)]);
}

#[test]
fn a_broken_document_takes_no_other_with_it() {
    let text = format!("{}---\nkind: {{\n---\n{}---\nkind: 'x\n", map("a"), map("b"));
    let rendered = yaml(&text);
    assert_eq!(places(&rendered).len(), 2);
    assert_eq!(rendered.errors.len(), 2);
    assert!(rendered.errors[0].line >= 5 && rendered.errors[0].line <= 6, "{:?}", rendered.errors);
    assert!(rendered.errors[1].line >= 10, "{:?}", rendered.errors);
}

#[test]
fn errors_tell_file_line_and_column() {
    let rendered = yaml(&format!("{}---\na: 1\nb:\n  c: 1\n  c: 2\n", map("a")));
    assert_eq!(errors(&rendered), ["a.yaml:8:3: the key \"c\" is given twice in one mapping"]);
}

#[test]
fn what_is_no_manifest_is_an_error_that_names_the_ignore_file() {
    for text in ["replicas: 3", "- a\n- b", "just text", "kind: X\nmetadata: {name: x}"] {
        let found = errors(&yaml(text));
        assert!(found[0].starts_with("a.yaml:1:1: not a Kubernetes manifest"), "{found:?}");
        assert!(found[0].contains(".driftlessignore"), "{found:?}");
    }
    let found = errors(&yaml("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a]\n"));
    assert!(found[0].contains("a kustomization"), "{found:?}");
}

#[test]
fn files_without_documents_say_nothing() {
    for text in ["", "# only\n# comments", "---\n---\n", "null\n", "--- ~\n", "\u{FEFF}"] {
        assert_eq!(yaml(text), Rendered::default(), "{text:?}");
    }
    assert_eq!(
        render_files(vec![file("a.json", " \n"), file(".driftlessignore", "*"), file("b.md", "x")]),
        Rendered::default()
    );
}

#[test]
fn lists_are_taken_apart_and_their_items_know_their_lines() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: ns}\n\
                - apiVersion: v1\n  kind: ConfigMapList\n  items:\n  - metadata: {name: c}\n  - {metadata: {name: d}, kind: Pod, apiVersion: v1}\n";
    let rendered = yaml(&format!("# head\n---\n{text}"));
    assert_eq!(errors(&rendered), [""; 0]);
    assert_eq!(places(&rendered), [("Namespace ns".into(), 6), ("ConfigMap c".into(), 9), ("Pod d".into(), 9)]);
    assert_eq!(yaml("apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\n"), Rendered::default());
}

#[test]
fn an_object_with_a_name_is_no_list() {
    let found = one("apiVersion: e.com/v1\nkind: AllowList\nmetadata: {name: x}\nitems: [a, b]\n");
    assert_eq!(found["items"], json!(["a", "b"]));
}

#[test]
fn lists_in_lists_end_somewhere() {
    let mut text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#.to_owned();
    for _ in 0..20 {
        text = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{text}]}}"#);
    }
    assert!(errors(&yaml(&text))[0].contains("lists inside of lists"));
}

#[test]
fn json_files_may_hold_several_values() {
    let value = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string();
    let text = format!("{}\n\n {}{}", value("a"), value("b"), value("c"));
    let rendered = render_files(vec![file("a.json", &text)]);
    assert_eq!(places(&rendered), [("ConfigMap a".into(), 1), ("ConfigMap b".into(), 3), ("ConfigMap c".into(), 3)]);

    let rendered =
        render_files(vec![file("a.json", format!("{}\n{{\"a\": 1,\n \"a\": 2}}\n{}", value("a"), value("b")))]);
    assert_eq!(places(&rendered).len(), 1);
    let found = errors(&rendered);
    assert!(found[0].starts_with("a.json:3:") && found[0].contains("\"a\" is given twice"), "{found:?}");
    assert!(found[0].ends_with("what follows in this file was not read"), "{found:?}");

    let found = errors(&render_files(vec![file("a.json", "{\n  \"ä\": nope}")]));
    assert!(found[0].starts_with("a.json:2:9: not valid JSON: expected ident"), "{found:?}");
}

#[test]
fn items_of_a_json_list_know_their_lines() {
    let text = "\n {\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\t{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\
                \"metadata\": {\"name\": \"a\"}},\n{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"b\"}}]}";
    let rendered = render_files(vec![file("a.json", text)]);
    assert_eq!(places(&rendered), [("ConfigMap a".into(), 3), ("ConfigMap b".into(), 5)]);
}

#[test]
fn two_declarations_of_one_object_name_both_places_and_neither_is_used() {
    let twice = [
        file("a.yaml", map("x")),
        file(
            "b.yaml",
            format!("{}---\n{}  namespace: default\n", map("other"), map("x").replace("{name: x}", "\n  name: x")),
        ),
    ];
    let rendered = render_files(twice.to_vec());
    assert_eq!(places(&rendered), [("ConfigMap other".into(), 1)]);
    assert_eq!(
        errors(&rendered),
        [
            "b.yaml:5:1: ConfigMap default/x is declared more than once, at a.yaml:1 and b.yaml:5; none of them is applied, keep one"
        ]
    );
    let settings = Settings { target_namespace: Some("shop".into()) };
    assert_eq!(render(&Snapshot { tree: "t".into(), files: twice.to_vec() }, &settings).errors, []);
}

#[test]
fn another_version_of_an_object_is_the_same_object() {
    let deployment = |version: &str| format!("apiVersion: {version}\nkind: Ingress\nmetadata: {{name: x}}\n");
    let text = format!("{}---\n{}", deployment("networking.k8s.io/v1"), deployment("networking.k8s.io/v1beta1"));
    assert_eq!(yaml(&text).errors.len(), 1);
    assert_eq!(yaml(&format!("{}---\n{}", deployment("a/v1"), deployment("b/v1"))).errors, []);
}

#[test]
fn local_configuration_is_left_out() {
    let local = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {config.kubernetes.io/local-config: 'true'}}\n";
    assert_eq!(yaml(local), Rendered::default());
    assert_eq!(yaml(&local.replace("'true'", "'false'")).manifests.len(), 1);
}

#[test]
fn scalars_mean_what_they_mean_to_kubectl() {
    assert_eq!(
        data(
            "  a: [yes, no, on, Off, y, 'yes', 0644, 0o644, 0x1F, 0b11, 1_000, 1e3, 12:30, 2026-01-02, ~, 08, 1., .5, inf, 1.2.3]"
        ),
        json!({"a": [true, false, true, false, true, "yes", 420, 420, 31, 3, 1000, 1000, "12:30", "2026-01-02", null,
            8, 1, 0.5, "inf", "1.2.3"]})
    );
    assert_eq!(
        data("  1: a\n  0x10: b\n  on: c\n  1.5: d\n  'no': e"),
        json!({"1": "a", "16": "b", "true": "c", "1.5": "d", "no": "e"})
    );
    assert_eq!(data("  a: !!str 1\n  b: !!binary aGk=\n  c: !!int '3'"), json!({"a": "1", "b": "hi", "c": 3}));
}

#[test]
fn anchors_aliases_and_merge_keys_are_written_out() {
    assert_eq!(
        data("  a: &a {x: 1, w: 2}\n  b: *a\n  c:\n    <<: *a\n    w: 3\n  d: {<<: [{z: 1}, *a]}"),
        json!({"a": {"x": 1, "w": 2}, "b": {"x": 1, "w": 2}, "c": {"x": 1, "w": 3}, "d": {"x": 1, "w": 2, "z": 1}})
    );
    let many = format!("  a: &a {{x: 1}}\n{}", (0..500).map(|n| format!("  k{n}: *a\n")).collect::<String>());
    assert_eq!(data(&many)["k499"], json!({"x": 1}));
}

#[test]
fn numbers_that_json_cannot_hold_are_errors() {
    for number in
        [".inf", "-.INF", ".nan", "1e999", "99999999999999999999", "-9223372036854775809", "0xfffffffffffffffff"]
    {
        let rendered = yaml(&format!("{}data:\n  a: {number}\n", map("c")));
        if number.starts_with("0x") {
            assert_eq!(rendered.manifests[0].to_value()["data"]["a"], number, "text to go-yaml's float parser as well");
            continue;
        }
        let found = errors(&rendered);
        assert!(found[0].starts_with("a.yaml:5:6: "), "{number}: {found:?}");
    }
    // As controller-gen writes bounds into definitions.
    assert_eq!(data("  a: 1.8446744073709552e+19\n  b: 18446744073709551615")["b"], u64::MAX);
}

#[test]
fn keys_that_are_equal_as_text_are_given_twice() {
    for keys in ["a: 1\n  a: 2", "1: a\n  '1': b", "\"a\": 1\n  a: 2"] {
        let found = errors(&yaml(&format!("{}data:\n  {keys}\n", map("c"))));
        assert!(found[0].contains("given twice"), "{found:?}");
        assert!(found[0].starts_with("a.yaml:6:") || found[0].starts_with("a.yaml:5:"), "{found:?}");
    }
    for key in ["{a: b}: 1", "? [a]\n  : 1", "~: 1"] {
        assert!(errors(&yaml(&format!("{}data:\n  {key}\n", map("c"))))[0].contains("key"), "{key}");
    }
}

#[test]
fn text_that_is_not_utf8_tells_where() {
    let found = errors(&render_files(vec![file("a.yaml", b"a: 1\nb: \xc3\xa4 \xff")]));
    assert_eq!(found, ["a.yaml:2:6: not UTF-8 text"]);
}

#[test]
fn windows_files_are_files() {
    let text = format!("\u{FEFF}# x\n{}---\n{}", map("a"), map("b")).replace('\n', "\r\n");
    assert_eq!(places(&yaml(&text)), [("ConfigMap a".into(), 2), ("ConfigMap b".into(), 6)]);
}

#[test]
fn names_that_cannot_stand_in_a_path_are_refused_and_shown_escaped() {
    for name in ["..", "a/b", "a%2f", "a b", "a\\u001b[2J", "a\\0b", &"x".repeat(254)] {
        let found = errors(&yaml(&map(&format!("\"{name}\""))));
        assert!(found[0].contains("metadata.name"), "{found:?}");
        assert!(found[0].chars().all(|character| !character.is_control()), "{found:?}");
    }
    assert!(
        errors(&yaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: a/b}"))[0]
            .contains("metadata.namespace")
    );
    assert!(errors(&yaml("apiVersion: a/b/c\nkind: ConfigMap\nmetadata: {name: c}"))[0].contains("apiVersion"));
    assert!(errors(&yaml("apiVersion: v1\nkind: 'Config Map'\nmetadata: {name: c}"))[0].contains("kind"));
    let odd = render_files(vec![file("a\u{1b}[2J\n.yaml", "x")]);
    assert!(odd.errors[0].to_string().starts_with(r"a\u{1b}[2J\n.yaml:1:1: "));
}

#[test]
fn strange_keys_are_ordinary_keys() {
    let found = data("  __proto__: a\n  constructor: b\n  \"\\0\": c\n  '': d");
    assert_eq!(found, json!({"__proto__": "a", "constructor": "b", "\0": "c", "": "d"}));
}

#[test]
fn errors_never_show_values_of_a_secret() {
    let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
    let bodies = [
        "stringData: {a: hunter2",
        "stringData: hunter2",
        "stringData: {a: [hunter2]}",
        "data: {a: \"hunter2}\n",
        "stringData:\n  a: hunter2: hunter2\n",
        "stringData:\n  a: hunter2\n b: hunter2\n",
        "stringData:\n  a: *hunter2\n",
        "stringData:\n  a: &a [*a, hunter2]\n",
        "stringData:\n  a: !hunter2 hunter2\n",
        "stringData:\n  a: !!int hunter2\n",
        "stringData:\n  a: !!binary hunter2\n",
        "stringData:\n  a: \"hunter2\\q\"\n",
        "stringData:\n\ta: hunter2\n",
        "stringData:\n  <<: hunter2\n",
        "stringData: {a: hunter2, a: hunter2}",
        "stringData:\n  a: 99999999999999999999\n  b: hunter2\n",
        "stringData:\n  a: 1e999\n",
        "stringData:\n  a: @hunter2\n",
        "stringData:\n  a: |hunter2\n   x\n",
        "stringData:\n  a: 'hunter2' hunter2\n",
        "stringData:\n  a: \"\u{1}hunter2\"\n",
        "hunter2\n",
    ];
    for body in bodies {
        let found = errors(&yaml(&format!("{head}{body}")));
        assert_eq!(found.len(), 1, "{body}");
        assert!(!found[0].contains("hunter2") && !found[0].contains("999"), "{found:?}");
    }
    for body in
        ["\"hunter2", "{\"a\": hunter2}", "{\"a\": \"hunter2\\q\"}", "\"hunter2\"", "{\"a\": 1e999}", "[\"hunter2\" 1]"]
    {
        let found = errors(&render_files(vec![file("a.json", format!("{{\"kind\": \"Secret\", \"data\": {body}}}"))]));
        assert!(!found.is_empty() && !found[0].contains("hunter2") && !found[0].contains("999"), "{found:?}");
    }
}

#[test]
fn a_template_is_recognised() {
    assert!(errors(&yaml("kind: {{ .Values.kind }}\n"))[0].contains("template"));
}

fn quickly(what: &str, files: Vec<SourceFile>) -> Rendered {
    let start = Instant::now();
    let rendered = render_files(files);
    assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
    rendered
}

#[test]
fn bombs_end_in_an_error() {
    let laughs = |inner: &str| {
        let levels = (1..12).map(|level| format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10)));
        format!("a0: &a0 {inner}\n{}", levels.collect::<String>())
    };
    let big = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(20_000));
    let merges = format!(
        "a: &a {{{}}}\nb: {{<<: [{}]}}\n",
        (0..500).map(|n| format!("k{n}: 1,")).collect::<String>(),
        "*a,".repeat(5_000)
    );
    let bombs = [
        ("ten billion laughs", laughs("[x]")),
        ("one text, many times", big),
        ("merges", merges),
        ("nested sequences", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("nested block sequences", "- ".repeat(100_000)),
        ("nested mappings", "{a: ".repeat(100_000)),
        ("nested block mappings", (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("question marks", "? ".repeat(100_000)),
        ("anchors", "&a ".repeat(50_000)),
        ("nested anchors", (0..5_000).map(|n| format!("&a{n} [")).collect()),
        ("commas", format!("[{}]", ",".repeat(100_000))),
        ("quotes", "\"".repeat(1_000_001)),
        ("a long key", format!("{}: 1", "k".repeat(2_000_000))),
        ("digits", format!("a: {}", "9".repeat(1_000_000))),
    ];
    for (name, text) in bombs {
        assert!(text.len() <= 4 << 20, "{name}");
        let rendered = quickly(name, vec![file("a.yaml", &text), file("b.yaml", map("b"))]);
        assert_eq!(rendered.errors.len(), 1, "{name}: {:?}", rendered.errors);
        assert!(rendered.errors[0].message.len() < 500, "{name}");
        assert_eq!(rendered.manifests.len(), 1, "{name}");
        let json = quickly(name, vec![file("a.json", &text)]);
        assert!(!json.errors.is_empty() && json.manifests.is_empty(), "{name}");
    }
}

#[test]
fn depth_is_bounded_at_the_same_level_in_every_notation() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for (name, depth, fits) in
        [("a.yaml", 63, true), ("a.json", 63, true), ("a.yaml", 64, false), ("a.json", 64, false)]
    {
        let text = format!(r#"{{"apiVersion":"v1","kind":"X","metadata":{{"name":"x"}},"spec":{}}}"#, nested(depth));
        let rendered = render_files(vec![file(name, text)]);
        assert_eq!(rendered.errors.is_empty(), fits, "{name} {depth}: {:?}", rendered.errors);
    }
}

#[test]
fn the_number_of_objects_is_bounded() {
    let text = "apiVersion: v1\nkind: List\nitems: [".to_owned() + &"{},".repeat(60_000) + "]";
    let rendered = quickly("objects", vec![file("a.yaml", &text), file("b.yaml", map("b"))]);
    assert_eq!(rendered.manifests.len(), 0);
    assert!(rendered.errors.len() <= 1_001);
    assert!(rendered.errors.iter().any(|error| error.message.contains("more than 50000 objects")));
    assert!(rendered.errors.iter().any(|error| error.message.contains("more errors")));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Any value that a manifest may hold: no null, which normalising takes out of mappings.
    fn any_field() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_map(Value::from),
            "[ -~äö\n\t]{0,12}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes",
                "1",
                "0644",
                "~",
                "1e3",
                "",
                "- a",
                "a: b",
                "# c",
                "2026-01-02",
                "<<",
                "|",
                "---"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z./-]{1,6}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn canonical(path: &str, text: &str) -> Result<Vec<u8>, TestCaseError> {
        let rendered = render_files(vec![file(path, text)]);
        prop_assert!(rendered.errors.is_empty() && rendered.manifests.len() == 1, "{text}\n{:?}", rendered.errors);
        Ok(rendered.manifests[0].canonical.to_vec())
    }

    fn object(spec: &Value) -> Value {
        json!({"apiVersion": "e.com/v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec})
    }

    /// Flow notation with every text in double quotes is JSON with white space.
    fn flow(value: &Value) -> String {
        match value {
            Value::Array(items) => format!("[ {} ]", items.iter().map(flow).collect::<Vec<_>>().join(",\n ")),
            Value::Object(fields) => {
                let entries = fields.iter().rev().map(|(key, field)| format!("{}: {}", json!(key), flow(field)));
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(",\n "))
            }
            leaf => leaf.to_string(),
        }
    }

    proptest! {
        #[test]
        fn every_notation_of_a_manifest_has_the_same_canonical_form(spec in any_field()) {
            let value = object(&spec);
            let json = canonical("a.json", &value.to_string())?;
            prop_assert_eq!(&json, &canonical("a.json", &serde_json::to_string_pretty(&value).unwrap())?);
            prop_assert_eq!(&json, &canonical("a.yaml", &value.to_string())?);
            prop_assert_eq!(&json, &canonical("a.yaml", &serde_saphyr::to_string(&value).unwrap())?);
            prop_assert_eq!(&json, &canonical("a.yaml", &flow(&value))?);
        }

        #[test]
        fn an_alias_is_the_same_as_what_it_stands_for(shared in any_field()) {
            let written_out = canonical("a.json", &object(&json!({"a": shared, "b": [shared, shared]})).to_string())?;
            let head = "apiVersion: e.com/v1\nkind: X\nmetadata: {name: x}\n";
            let text = format!("{head}spec:\n  a: &a {}\n  b: [*a, *a]\n", shared);
            prop_assert_eq!(written_out, canonical("a.yaml", &text)?);
        }

        #[test]
        fn numbers_are_one_number_in_every_notation(number in 1u32..) {
            let of = |text: String| canonical("a.yaml", &format!("apiVersion: e.com/v1\nkind: X\nmetadata: {{name: x}}\nspec: {text}\n"));
            let plain = of(number.to_string())?;
            for text in [format!("{number}.0"), format!("{number}e0"), format!("{number:#x}"), format!("0{number:o}"), format!("0o{number:o}"), format!("+{number}")] {
                prop_assert_eq!(&plain, &of(text)?);
            }
        }

        #[test]
        fn any_bytes_end_in_manifests_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            render_files(vec![file("a.yaml", &bytes), file("a.json", &bytes)]);
        }

        #[test]
        fn any_text_of_yaml_signs_ends_in_manifests_or_errors(text in "([-?:,\\[\\]{}#&*!|>'\"%@` \t\r\n]|<<|---|\\.\\.\\.|a|1|é|kind: List\n){0,60}") {
            let rendered = render_files(vec![file("a.yaml", &text), file("a.json", &text)]);
            let lines = u32::try_from(text.split(['\r', '\n']).count()).unwrap();
            for error in rendered.errors {
                prop_assert!(error.line >= 1 && error.line <= lines + 1 && error.column >= 1, "{error}");
                prop_assert!(!error.message.contains(char::is_control));
            }
        }
    }
}
