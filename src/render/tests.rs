mod hostile;
mod notation;

use serde_json::{Value, json};

use super::*;
use crate::source::SourceFile;

fn file(path: &str, bytes: impl AsRef<[u8]>) -> SourceFile {
    SourceFile { path: path.into(), bytes: bytes.as_ref().into() }
}

fn render_files(files: Vec<SourceFile>) -> Rendered {
    render(&Snapshot { tree: "t".into(), files, refused: Vec::new() }, &Settings::default(), &Inputs::default())
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

fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().concat()
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
fn errors_report_file_line_and_column() {
    let rendered = yaml(&format!("{}---\na: 1\nb:\n  c: 1\n  c: 2\n", map("a")));
    assert_eq!(errors(&rendered), ["a.yaml:8:3: the key \"c\" is given twice in one mapping"]);
}

#[test]
fn what_is_no_manifest_is_an_error_that_names_the_ignore_file() {
    for text in ["replicas: 3", "- a\n- b", "just text", "kind: X\nmetadata: {name: x}"] {
        let found = errors(&yaml(text));
        assert!(found[0].starts_with("a.yaml:1: not a Kubernetes manifest"), "{found:?}");
        assert!(found[0].contains(".driftlessignore"), "{found:?}");
    }
    let found = errors(&yaml("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a]\n"));
    assert!(found[0].starts_with("a.yaml: a kustomization"), "{found:?}");
}

#[test]
fn files_of_kustomize_and_helm_are_recognised_by_their_names() {
    let kustomization = file("base/kustomization.yaml", "resources: [a.yaml]\n");
    let chart = file("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
    let found = errors(&render_files(vec![kustomization, chart]));
    assert!(found[0].starts_with("base/kustomization.yaml: a kustomization"), "{found:?}");
    assert!(found[1].starts_with("chart/Chart.yaml: a Helm chart"), "{found:?}");
}

#[test]
fn a_number_that_json_would_round_is_an_error_with_its_place() {
    let text = "{\"apiVersion\": \"e.com/v1\", \"kind\": \"X\", \"metadata\": {\"name\": \"x\"},\n \"spec\": {\"n\": 18446744073709551616}}";
    let found = errors(&render_files(vec![file("a.json", text)]));
    assert_eq!(found, ["a.json:2:16: a whole number beyond 64 bits would lose digits; put it in quotes if it is text"]);
    let float = text.replace("18446744073709551616", "1e30");
    assert_eq!(errors(&render_files(vec![file("a.json", &float)])), [""; 0]);
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
    let named = "apiVersion: v1\nkind: List\nmetadata: {name: classes}\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: ns}\n";
    assert_eq!(yaml(named).manifests.len(), 1, "charts give a list a name");
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
    let settings = Settings { target_namespace: Some("shop".into()), ..Settings::default() };
    assert_eq!(
        render(
            &Snapshot { tree: "t".into(), files: twice.to_vec(), refused: Vec::new() },
            &settings,
            &Inputs::default()
        )
        .errors,
        []
    );
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
fn text_that_is_not_utf8_is_reported_with_its_place() {
    let found = errors(&render_files(vec![file("a.yaml", b"a: 1\nb: \xc3\xa4 \xff")]));
    assert_eq!(found, ["a.yaml:2:6: not UTF-8 text"]);
}

#[test]
fn windows_files_are_files() {
    let text = format!("\u{FEFF}# x\n{}---\n{}", map("a"), map("b")).replace('\n', "\r\n");
    assert_eq!(places(&yaml(&text)), [("ConfigMap a".into(), 2), ("ConfigMap b".into(), 6)]);
}

#[test]
fn a_template_is_recognised() {
    assert!(errors(&yaml("kind: {{ .Values.kind }}\n"))[0].contains("template"));
}
