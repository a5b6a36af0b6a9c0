package main

import (
	"strings"
	"testing"
)

func TestNothingOfAStreamIsLostVerbatim(t *testing.T) {
	for _, stream := range []string{
		"", "# only a comment\n", "a: 1", "---\na: 1\n---\nb: 2\n", "# head\n---\na: 1\n--- # two\n\n---\n# x\n---\na: 1\n---\n# tail\n",
		"a: |\n  ---\n---\na: |\n  ---\n", "---\n---\na: 1\n---\na: 1\n",
		"# {a: 1}\n---\n{a: 1}\n---\n{b: 2}\n", "# a: 1\n# b: 2\n---\na: 1\n---\n# a: 1\n---\na: 1\n---\nb: 2\n",
	} {
		parts := splitVerbatim(stream)
		var joined strings.Builder
		for i, part := range parts {
			joined.WriteString(part.text)
			text := splitStream(stream)[i].text
			if inside := splitStream(part.text); len(inside) != 1 || inside[0].text != text {
				t.Errorf("part %d of %q is %q, and want it to hold %q alone", i, stream, part.text, text)
			}
		}
		if len(parts) > 0 && joined.String() != stream {
			t.Errorf("want %q, got %q", stream, joined.String())
		}
	}
}

func TestDeclarationsAreFoundByTheLongestName(t *testing.T) {
	index := declarations{"Service": {
		{kind: "Service", name: "web", file: "a.yaml"},
		{kind: "Service", name: "web-admin", file: "b.yaml"},
		{kind: "Service", name: "api", namespace: "one", file: "c.yaml"},
		{kind: "Service", name: "api", namespace: "two", file: "d.yaml"},
	}}
	for name, want := range map[string]string{"prod-web-v1": "a.yaml", "prod-web-admin": "b.yaml", "api": "d.yaml", "other": ""} {
		if got := index.of("Service", "two", name); got.file != want {
			t.Errorf("want %q for %s, got %q", want, name, got.file)
		}
	}
	if got := index.of("Service", "three", "api"); got.file != "" {
		t.Errorf("want nothing rather than a guess, got %q", got.file)
	}
}

func TestHeadsAreReadInAnyForm(t *testing.T) {
	for text, want := range map[string]declared{
		"kind: A\nmetadata:\n  labels: {name: x}\n  name: a\n  namespace: n\nspec:\n  name: b\n": {kind: "A", name: "a", namespace: "n", line: 1},
		"# c\n\nmetadata:\n    labels:\n        name: x\n    name: a\nkind: A\n":                 {kind: "A", name: "a", line: 3},
		"kind: \"A\"\nmetadata: {name: a}\n":                                                     {kind: "A", name: "a", line: 1},
		`{"kind": "A", "metadata": {"name": "a"}}`:                                               {kind: "A", name: "a", line: 1},
		"kind: A # comment\nmetadata:\n  name: 'a'\n":                                            {kind: "A", name: "a", line: 1},
	} {
		if got, _ := declaredBy(part{text: text, line: 1}); got != want {
			t.Errorf("want %+v for %q, got %+v", want, text, got)
		}
	}
}
