//! Many notations, one meaning.

use proptest::prelude::*;

use super::*;

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
    let many = format!("  a: &a {{x: 1}}\n{}", numbered(500, |n| format!("  k{n}: *a\n")));
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
    let bounds = data("  a: 1.8446744073709552e+19\n  b: 18446744073709551615\n  c: 9223372036854775807");
    assert_eq!(bounds["a"], bounds["b"], "as the API server reads it");
    assert_eq!(bounds["c"], i64::MAX);
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
        let text = format!("{head}spec:\n  a: &a {shared}\n  b: [*a, *a]\n");
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
            prop_assert!(error.line >= 1 && error.line <= lines + 1, "{error}");
            prop_assert!(!error.message.contains(char::is_control));
        }
    }
}
