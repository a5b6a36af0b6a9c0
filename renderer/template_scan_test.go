package main

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"text/template/parse"

	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// shape writes down the nodes of a scanned template.
func shape(nodes []*templateNode) string {
	var out strings.Builder
	for _, node := range nodes {
		switch node.kind {
		case nodeText:
			fmt.Fprintf(&out, "%d%q ", node.at, node.text)
		case nodeIf:
			fmt.Fprintf(&out, "if(%v %s) ", node.hasElse, shape(node.list))
		case nodeRange:
			fmt.Fprintf(&out, "range(%v %s) ", node.hasElse, shape(node.list))
		case nodeAssignment:
			out.WriteString("assignment ")
		default:
			out.WriteString("other ")
		}
	}
	return out.String()
}

// parsedShape writes down the same of a template that text/template has parsed.
func parsedShape(list *parse.ListNode) string {
	if list == nil {
		return ""
	}
	var out strings.Builder
	for _, node := range list.Nodes {
		switch node := node.(type) {
		case *parse.TextNode:
			fmt.Fprintf(&out, "%d%q ", node.Pos, node.Text)
		case *parse.IfNode:
			fmt.Fprintf(&out, "if(%v %s) ", node.ElseList != nil, parsedShape(node.List))
		case *parse.WithNode:
			fmt.Fprintf(&out, "if(%v %s) ", node.ElseList != nil, parsedShape(node.List))
		case *parse.RangeNode:
			fmt.Fprintf(&out, "range(%v %s) ", node.ElseList != nil, parsedShape(node.List))
		case *parse.ActionNode:
			if len(node.Pipe.Decl) > 0 {
				out.WriteString("assignment ")
			} else {
				out.WriteString("other ")
			}
		default:
			out.WriteString("other ")
		}
	}
	return out.String()
}

// sameShape fails the test unless a template is scanned as it is parsed. It
// returns false for one that cannot be parsed.
func sameShape(t *testing.T, source string) bool {
	t.Helper()
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(source, "", "", map[string]*parse.Tree{}); err != nil || tree.Root == nil {
		return false
	}
	nodes, ok := scanTemplate(source)
	if got, want := shape(nodes), parsedShape(tree.Root); !ok || got != want {
		t.Fatalf("want %s\ngot  %s (%v)\nof %q", want, got, ok, source)
	}
	return true
}

func TestTemplatesAreScannedAsTheyAreParsed(t *testing.T) {
	for name, text := range directory(t, "testdata/charts") {
		if strings.Contains(name, "/templates/") {
			sameShape(t, text)
		}
	}
	pieces := []string{"a: b\n", "---\n", "  ", "\n", "\t\r\n", "{", "}}", "-", "x", "{{ .a }}", "{{- .a }}", "{{ .a -}}", "{{-.a}}", "{{ -1 }}", "{{.a}}", "{{ if .a }}", "{{- if .b -}}", "{{if(.a)}}", "{{ end }}", "{{- end -}}", "{{end}}", "{{ else }}",
		"{{ else if .c }}", "{{ else with .c }}", "{{ with $x := .a }}", "{{ range $i, $e := .a }}", "{{ range .a }}", "{{ break }}", "{{ continue }}", "{{ $x := 1 }}", "{{- $x = 2 -}}", "{{$y:=1}}", "{{ $x }}", "{{ $.a }}",
		"{{/* c }} */}}", "{{- /* c */ -}}", "{{ /* no */ }}", "{{ \"}}\" }}", "{{ `}} \\` }}", "{{ \"\\\"}}\" -}}", "{{ print '}' }}", "{{ define \"d\" }}", "{{ block \"e\" . }}", "{{ template \"d\" }}", "{{ include \"d\" . | nindent 2 }}", "{{ endless }}", "{{ if_x }}", "{{ else2 }}", "{{- -}}", "{{ (.a) }}"}
	random := rand.New(rand.NewSource(1))
	parsed := 0
	for range 200_000 {
		var source strings.Builder
		for range 1 + random.Intn(9) {
			source.WriteString(pieces[random.Intn(len(pieces))])
		}
		if sameShape(t, source.String()+strings.Repeat("{{ end }}", random.Intn(3))) {
			parsed++
		}
	}
	if parsed < 10_000 {
		t.Errorf("only %d templates were templates", parsed)
	}
}

func TestManifestsAreSplitAsHelmDoes(t *testing.T) {
	pieces := []string{"---", "----", "--- \t", "\n", "\r\n", " ", "\t", "a: b", "# c", "\u00a0", "-", "x---"}
	random := rand.New(rand.NewSource(1))
	for range 100_000 {
		var text strings.Builder
		for range random.Intn(9) {
			text.WriteString(pieces[random.Intn(len(pieces))])
		}
		got, want := splitManifests(text.String()), releaseutil.SplitManifests(text.String())
		for i := range max(len(got), len(want)) {
			if len(got) != len(want) || got[i] != want[fmt.Sprintf("manifest-%d", i)] {
				t.Fatalf("want %q\ngot %q\nof %q", want, got, text.String())
			}
		}
	}
}
