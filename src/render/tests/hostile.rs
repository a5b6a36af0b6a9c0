//! Content meant to do harm.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn names_that_cannot_stand_in_a_path_are_refused_and_shown_escaped() {
    for name in ["..", "a/b", "a%2f", "a b", "a\\u001b[2J", "a\\0b", "a\\ufeff", "a\\u202e", &"x".repeat(254)] {
        let found = errors(&yaml(&map(&format!("\"{name}\""))));
        assert!(found[0].contains("metadata.name"), "{found:?}");
        assert!(found[0].chars().all(|character| !crate::object::is_deceptive(character)), "{found:?}");
    }
    assert!(
        errors(&yaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: a/b}"))[0]
            .contains("metadata.namespace")
    );
    assert!(errors(&yaml("apiVersion: a/b/c\nkind: ConfigMap\nmetadata: {name: c}"))[0].contains("apiVersion"));
    assert!(errors(&yaml("apiVersion: v1\nkind: 'Config Map'\nmetadata: {name: c}"))[0].contains("kind"));
    let odd = render_files(vec![file("a\u{1b}[2J\n.yaml", "x")]);
    assert!(odd.errors[0].to_string().starts_with(r"a\u{1b}[2J\n.yaml:1: "));
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

fn quickly(what: &str, files: Vec<SourceFile>) -> Rendered {
    let start = Instant::now();
    let rendered = render_files(files);
    assert!(start.elapsed() < Duration::from_secs(20), "{what} took {:?}", start.elapsed());
    rendered
}

#[test]
fn bombs_end_in_an_error() {
    let laughs = |inner: &str| {
        let levels = (1..12).map(|level| format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10)));
        format!("a0: &a0 {inner}\n{}", levels.collect::<String>())
    };
    let big = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(20_000));
    let merges =
        format!("a: &a {{{}}}\nb: {{<<: [{}]}}\n", numbered(500, |n| format!("k{n}: 1,")), "*a,".repeat(5_000));
    let bombs = [
        ("ten billion laughs", laughs("[x]")),
        ("one text, many times", big),
        ("merges", merges),
        ("nested sequences", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("nested block sequences", "- ".repeat(100_000)),
        ("nested mappings", "{a: ".repeat(100_000)),
        ("nested block mappings", numbered(2_000, |n| format!("{}a:\n", " ".repeat(n)))),
        ("question marks", "? ".repeat(100_000)),
        ("anchors", "&a ".repeat(50_000)),
        ("nested anchors", numbered(5_000, |n| format!("&a{n} ["))),
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

#[test]
fn large_files_are_read_in_time() {
    let fill = |part: &str| part.repeat((1 << 19) / part.len());
    let files = [
        ("small documents", fill("--- a\n")),
        ("empty documents", fill("---\n")),
        ("comments", fill("# x\n")),
        ("spaces", fill(" ")),
        ("line breaks", fill("\r\n\n\r")),
        ("one mapping", numbered(30_000, |n| format!("k{n}: {n}\n"))),
        ("one flow mapping", format!("{{{}}}", numbered(30_000, |n| format!("k{n}: {n},")))),
        ("number keys", numbered(30_000, |n| format!("{n}: {n}\n"))),
        ("a list", fill("- a\n")),
        ("a flow list", format!("[{}]", fill("a,"))),
        ("a text of many lines", format!("a: \"{}\"", fill("x\n\n "))),
        ("a block scalar", format!("a: |\n{}", fill(" x\n"))),
        ("a folded scalar", format!("a: >\n{}", fill(" x\n\n"))),
        ("escapes", format!("a: \"{}\"", fill("\\u0041"))),
        ("short aliases", format!("a: &a x\nb: [{}]", fill("*a,"))),
        ("anchors", format!("[{}]", numbered(40_000, |n| format!("&a{n} x,")))),
        ("anchors in anchors", format!("[{}]", numbered(8_000, |n| format!("&a{n} [&b{n} [&c{n} [&d{n} [{n}]]]],")))),
        ("merges", numbered(12_000, |n| format!("k{n}: {{<<: {{a: 1}}, b: 2}}\n"))),
        ("tags", format!("[{}]", fill("!!str a,"))),
        ("question marks", fill("? a\n")),
        ("deep lists", fill(&format!("{}\n", "- ".repeat(50)))),
        ("wide numbers", fill("- 1e30\n")),
        ("unfinished", format!("a: [{}", fill("{a: [b, "))),
        ("byte order marks", fill("\u{feff}")),
    ];
    for (name, text) in files {
        quickly(name, vec![file("a.yaml", &text)]);
        quickly(name, vec![file("a.json", &text)]);
    }
    let many = quickly(
        "many objects",
        vec![file("a.yaml", numbered(5_000, |n| format!("---\n{}data: {{a: b}}\n", map(&format!("c{n}")))))],
    );
    assert_eq!((many.manifests.len(), many.errors.len()), (5_000, 0));
}
