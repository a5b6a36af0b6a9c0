package main

import (
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	kubeyaml "sigs.k8s.io/yaml"
)

// tricky holds scalars that are easily taken for something else.
const tricky = `apiVersion: example.com/v1
kind: Tricky
metadata: {name: tricky, annotations: {a: "yes", b: "0644", c: "1e3", d: "true", e: "12345678901234567890", f: "null", g: "~", h: ""}}
spec:
  texts: ["yes", 'no', "on", "y", "0644", "1e3", "1.0", "12345678901234567890", "null", "", "~", "2026-01-01", "0x1F", "1_000", "12:30:45", ".5", "+1", "-", ":", "a: b", "# c", " x", "x ", "é", "<&>"]
  plain: yes
  off: off
  octal: 0644
  hex: 0x1F
  float: 1.0
  exponent: 1e3
  big: 9007199254740993
  bigger: 12345678901234567
  negative: -0.50
  nothing: null
  tilde: ~
  blank:
  map: {}
  list: []
  date: 2026-01-01
  literal: |
    yes
      two

    three
  kept: |+
    a

  folded: >-
    one
    two

    three
  quoted: "tab\tand \u00e9 \U0001F600"
  key with space: {"8080": a, 8081: b, "true": c}
`

func TestPostKeepsTheTypeOfEveryScalar(t *testing.T) {
	files := snapshot{"tricky.yaml": tricky}
	target := map[string]any{"kind": "Tricky"}
	for name, post := range map[string]map[string]any{
		"labels":    {"labels": map[string]any{"zz": "1"}},
		"prefix":    {"namePrefix": "p-"},
		"merge":     {"patches": []map[string]any{{"name": "p", "patch": "apiVersion: v1\nkind: Tricky\nmetadata: {name: x, labels: {zz: \"1\"}}\n", "target": target}}},
		"JSON 6902": {"patches": []map[string]any{{"name": "p", "patch": "- {op: add, path: /metadata/labels, value: {zz: \"1\"}}", "target": target}}},
		"all": {"namePrefix": "p-", "labels": map[string]any{"zz": "1"}, "patches": []map[string]any{
			{"name": "p", "patch": "- {op: add, path: /metadata/labels, value: {zz: \"2\"}}", "target": target}}},
	} {
		t.Run(name, func(t *testing.T) {
			response := files.renders(t, map[string]any{"path": ".", "post": post})
			text := response.Documents[0].YAML
			// Numbers are compared as they are written.
			for _, number := range []string{"float: 1.0", "big: 9007199254740993", "bigger: 12345678901234567", "negative: -0.50"} {
				if !strings.Contains(text, number+"\n") {
					t.Errorf("%q became something else in\n%s", number, text)
				}
			}
			got, want := canonical(t, text)[0], canonical(t, tricky)[0]
			got = strings.NewReplacer(`,"labels":{"zz":"1"}`, "", `"p-tricky"`, `"tricky"`).Replace(got)
			if got != want {
				t.Errorf("want\n%s\ngot\n%s\nof\n%s", want, got, text)
			}
		})
	}
	values := "- {op: add, path: /spec, value: {a: \"yes\", b: yes, c: 1.0, d: \"0644\", e: 12345678901234567, f: null, g: {}, h: \"1e3\"}}"
	response := files.renders(t, map[string]any{"path": ".", "post": map[string]any{"patches": []map[string]any{{"name": "p", "patch": values, "target": target}}}})
	text := response.Documents[0].YAML
	for _, line := range []string{`a: "yes"`, "b: true", "c: 1.0", `d: "0644"`, "e: 12345678901234567", "f: null", "g: {}", `h: "1e3"`} {
		if !strings.Contains(text, "  "+line+"\n") {
			t.Errorf("want %q of the patch in\n%s", line, text)
		}
	}
}

// TestWhatIsWrittenMeansWhatWasRead writes trees of random texts in random styles.
func TestWhatIsWrittenMeansWhatWasRead(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	pieces := []string{"yes", "no", "1", "e", ".", ":", " ", "\n", "\n\n", "\t", "#", "-", "- ", "a", "é", "|", ">", "'", "\"", "{", "[", "&", "*", "~", "0x", "  ", "\u2028", "\\", "%", "null", "true", "@", "---", "---\n"}
	text := func() string {
		var made strings.Builder
		for range random.Intn(5) {
			made.WriteString(pieces[random.Intn(len(pieces))])
		}
		return made.String()
	}
	styles := []yaml.Style{0, yaml.LiteralStyle, yaml.FoldedStyle, yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle}
	scalar := func() *yaml.Node {
		node := textNode(text())
		if style := styles[random.Intn(len(styles))]; style != 0 || random.Intn(2) == 0 {
			node.Style = style
		}
		return node
	}
	var tree func(depth int) *yaml.Node
	tree = func(depth int) *yaml.Node {
		kind := random.Intn(3)
		if depth == 0 {
			kind = 0
		}
		node := &yaml.Node{Kind: yaml.SequenceNode, Tag: yaml.NodeTagSeq, Style: []yaml.Style{0, 0, yaml.FlowStyle}[random.Intn(3)]}
		switch kind {
		case 0:
			return scalar()
		case 1:
			for range random.Intn(4) {
				node.Content = append(node.Content, tree(depth-1))
			}
		default:
			node.Kind, node.Tag = yaml.MappingNode, yaml.NodeTagMap
			for i := range random.Intn(4) {
				node.Content = append(node.Content, textNode(string(rune('a'+i))+strings.ReplaceAll(text(), "\n", "")), tree(depth-1))
			}
		}
		return node
	}
	for range 30_000 {
		root := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap, Content: []*yaml.Node{textNode("spec"), tree(3)}}
		wanted := valueOf(root)
		written, err := writeForKubernetes(root)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := kubeyaml.Unmarshal([]byte(written), &got); err != nil {
			t.Fatalf("%v in\n%s", err, written)
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Fatalf("want %#v, got %#v of\n%s", wanted, got, written)
		}
	}
}

// valueOf returns what a tree of texts stands for.
func valueOf(node *yaml.Node) any {
	switch node.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, valueOf(item))
		}
		return list
	case yaml.MappingNode:
		mapping := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			mapping[node.Content[i].Value] = valueOf(node.Content[i+1])
		}
		return mapping
	}
	return node.Value
}
