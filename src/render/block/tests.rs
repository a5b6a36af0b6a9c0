//! What is read is what the parser makes of it.

use proptest::prelude::*;

use super::*;
use crate::render::{ambiguous, structure, yaml};

/// Whether it is read here. What is read is what the parser makes of it.
fn agrees(text: &str) -> bool {
    let Some(node) = read(text) else { return false };
    assert_eq!(ambiguous::find(text).or_else(|| structure::find(text)), None, "{text}");
    match yaml::by_parser(text) {
        Ok(parsed) => {
            assert_eq!(node.value, parsed.value, "{text}");
            assert_eq!((node.bytes, node.wide), (parsed.bytes, parsed.wide), "{text}");
        }
        Err(fault) => panic!("{} in {text:?}", fault.message),
    }
    true
}

#[test]
fn what_manifests_are_written_in_is_read() {
    for text in [
        "a: 1\n",
        "---\n# b\na: b\nc:\n- d\n- e: f\n  g: 0\n  # h\n\n  i:\n    - j\nk: {}\n",
        "a:\n  b:\n    c: []\n  d: true\ne: \"f # g\"\nh: ': '\n",
        "a: |\n  b\n\n    c: d  \n \n  # e\n\nf: |-\n    g\n    # h\n\n",
        "a:\n- |\n  b\n- c: |-\n    d\n  e: http://f:80/#g\n",
        "a: 100m\nb: 10Gi\nc: v1\nd: ^[a-z]{1,2}$\ne: x is: not\n".replace(": not", ":not").as_str(),
        "a: b\nc: |-\n  d",
        "a: b c\n  d  \n   e\n\n\n  \"f\"\n\ng: h\n  i",
        "a:\n- b\n  c\n- d: e\n    f\n  g: .h.i\n",
        "a: 'b\n  c''d\n\n  e: f # g'\nh: \"i\n  'j'  \"\nk: 'l''m'\n",
        "a: 0.93.1\nb: $(c)\nd: \"\"\ne: ''\nf: -1\ng: --h=i\nj: 5bce\n",
        "a: \"b\\n\\tc \\\"d\\\"\n  \\ e\\\\\"\nf: 'g\n\n  '\n",
        "\"a b\": c\n'on':\n  - \"d\": e\n",
        "a:\nb: null\nc:\n  {}\nd:\n- []\n- e:\n",
        "a: \u{e9} \u{2026}\u{1f600}\n",
    ] {
        assert!(agrees(text), "{text}");
    }
}

#[test]
fn whatever_is_unusual_or_wrong_is_left_to_the_parser() {
    for text in [
        "",
        "# a\n",
        "a\n",
        "- a\n",
        "{a: b}\n",
        " a: b\n",
        "a: b\na: c\n",
        "a: b\n c: d\n",
        "a: b\n  # c\n",
        "a: b\n  - c\n",
        "a: yes\n  # c\n",
        "a: true\n  b\n",
        "a: 1\n  b\n",
        "a: 'b\nc'\n",
        "a: '\n  b'\n",
        "a: 'b\n  c' d\n",
        "a: 'b\n",
        "a: .NaN\n",
        "a: .5\n",
        "a: 1.2.\n",
        "a: -0\n",
        "a: -.5\n",
        "a: -b\n",
        "a: ---b\n",
        "a: 0b1\n",
        "a: \"b\\x41\"\n",
        "a: \"b\\\n  c\"\n",
        "\"a\\n\": b\n",
        "\"\": b\n",
        "\"<<\": {}\n",
        "\"a\" b: c\n",
        "a:\n    b: c\n  d: e\n",
        "a:\n- b\n c: d\n",
        "a:\n  - b\n  c: d\n",
        "a: &b c\n",
        "a: *b\n",
        "a: !!str b\n",
        "a: [b]\n",
        "a: {b: c}\n",
        "a: 'b' # c\n",
        "a: b # c\n",
        "a: b: c\n",
        "a: b:\n",
        "a: >-\n  b\n",
        "a: |+\n  b\n",
        "a: |2\n   b\n",
        "a: |\n\n  b\n",
        "a: |\n  b\n     \n  c\n",
        "a: |\nb: c\n",
        "a: |\n  b",
        "a: |\n  b\n c\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: b\u{85}c\n",
        "a: b\u{2028}c\n",
        "\u{feff}a: b\n",
        "a: b\n---\nc: d\n",
        "a: b\n...\n",
        "<<: {}\n",
        "on: 1\n",
        "y: 1\n",
        "1: 1\n",
        "a: yes\n",
        "a: Off\n",
        "a: NaN\n",
        "a: ~\n",
        "a: 1.0\n",
        "a: 0644\n",
        "a: 1_000\n",
        "a: 0x1f\n",
        "a: 1e3\n",
        "a: 12:30\n",
        "a: 2020-01-01\n",
        "a: 1234567890123456789\n",
        "a: .inf\n",
        "a b: c\n",
        "a:b\n",
        "? a\n: b\n",
    ] {
        assert!(read(text).is_none(), "{text:?}");
    }
}

#[test]
fn deep_nesting_is_left_to_the_parser() {
    let nested = |levels: usize| {
        let keys = (0..levels).map(|level| " ".repeat(level) + "a:\n").collect::<Vec<_>>().concat();
        format!("{keys}{}b: c\n", " ".repeat(levels))
    };
    assert!(agrees(&nested(40)));
    assert!(read(&nested(60)).is_none());
}

/// Pieces of YAML, of which many put together are documents, and many others are nearly.
const PIECES: &[&str] = &[
    "a: ",
    "b: ",
    "c:",
    "key: ",
    "on: ",
    "- ",
    "-",
    "\n",
    "\n",
    "\n",
    "\n  ",
    "\n  ",
    "\n    ",
    "\n- ",
    "\n  - ",
    "\n    - ",
    "\na: ",
    "\n  b: ",
    "\n  c: ",
    "\n    d: ",
    "\nb:",
    "\n  c:",
    "\n    e:",
    "|",
    "|-",
    ">",
    "{}",
    "[]",
    "[a]",
    "{a: b}",
    "x",
    "text",
    "two words",
    "true",
    "no",
    "null",
    "~",
    "1",
    "0",
    "007",
    "1.5",
    "-3",
    "100m",
    "10Gi",
    "1e3",
    "90deg",
    "1h30m",
    "12:30",
    "2020-01-01T00:00:00Z",
    "0x1g",
    "1_0s",
    "\"q\"",
    "'q'",
    "\"a: b\"",
    "'a''b'",
    "\"\\n\"",
    "\"",
    "'",
    " # c",
    "# c",
    "#",
    ": ",
    ":",
    "&a ",
    "*a",
    "!t ",
    "---",
    "---\n",
    "...",
    "\u{e9}",
    "\u{a0}",
    "\u{2028}",
    "\t",
    "\r",
    " ",
    "  ",
    "http://x:80/",
    "^a$",
    "(a|b)",
    "/a",
    "?",
    ".spec",
    "1.2.3",
    "'q\n  r'",
    "\"q\n\n   r\"",
    "\n\n  ",
    "'",
    "''",
    "$(A)",
    "\n      ",
    ".inf",
    "%",
    "@",
    "<<: ",
    "nan",
    "Inf",
    "e5",
    ", ",
    "]",
    "}",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 1..24).prop_map(|pieces| format!("a: {}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_the_parser_makes_of_it(text in pieces(), end in any::<bool>()) {
        agrees(&if end { text + "\n" } else { text });
    }
}
