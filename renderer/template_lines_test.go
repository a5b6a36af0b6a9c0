package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPartsOfATemplateAreKnownOrNot(t *testing.T) {
	for source, want := range map[string][]int{
		"kind: A\n": {1},
		"# license\n\nkind: A\n---\n# only a comment\n---\n\nkind: B\n":                 {3, 0, 8},
		"---\nkind: A\n---\n---\nkind: B\n--- # end\n":                                  {2, 5, 0},
		"{{- if .Values.a }}\nkind: A\n---\nkind: {{ .b }}\n{{- end }}\n":               {2, 4},
		"{{- $x := 1 }}\n{{/* c */}}\n{{- with .a }}\n\nkind: A\n{{- end }}\n":          {5},
		"{{- range .a }}\nkind: A\n{{- end }}":                                          {2},
		"{{- range .a }}\n---\nkind: A\n---\nkind: B\n{{- end }}":                       nil,
		"{{- if .a }}\nkind: A\n{{- else }}\nkind: B\n{{- end }}":                       nil,
		"apiVersion: {{ include \"v\" . }}\nkind: A\n":                                  {1},
		"{{ include \"all\" . }}":                                                       nil,
		"kind: A\n---\n{{ include \"all\" . }}":                                         nil,
		"kind: A\n{{- if .a }}\n---\nkind: B\n{{- end }}\n---\nkind: C\n":               {1, 7},
		"kind: A\n{{ .x -}}\n---\nkind: B\n":                                            nil,
		"# of {{ .x }}\nkind: A\n":                                                      nil,
		"{{ define \"x\" }}kind: A{{ end }}":                                            nil,
		"{{ define \"x\" }}\nkind: A\n{{ end }}\nkind: B\n":                             {4},
		"kind: A\r\n---\r\nkind: B\r\n":                                                 {1, 3},
		"kind: A\n  ---\ntext: |\n  ---\n":                                              {1},
		"{{- /* trimmed */ -}}\n\n\nkind: A\n":                                          {4},
		"{{ if .a -}}\n---\nkind: A\n{{ end }}":                                         {3},
		"kind: A\n---\n{{- $x := 1 }}\n{{- if .a }}\nkind: B\n{{- end }}\n---\nkind: C": nil,
		"broken: {{ ": nil,
		"{{ if .a }}{{ if .b }}\nkind: A\n{{ end }}{{ end }}": {2},
	} {
		if got := staticParts(source); !slices.Equal(got, want) {
			t.Errorf("want %v, got %v for %q", want, got, source)
		}
	}
}

func TestLinesOfATemplateOfManyActionsAreCountedInTime(t *testing.T) {
	source := "kind: A\nmetadata: {name: a}\ndata:\n" + strings.Repeat("  {{ 1 }}: a\n", 100_000) + "---\nkind: B\n"
	begin := time.Now()
	if got := staticParts(source); !slices.Equal(got, []int{1, 100_005}) {
		t.Errorf("unexpected lines %v", got)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a template of %d KB took %s", len(source)>>10, took)
	}
}

func TestDocumentsOfAChartNameTheirLineWhereItIsCertain(t *testing.T) {
	files := shop(t)
	response := files.renders(t, map[string]any{"path": "shop", "helm": map[string]any{"includeCRDs": true, "skipTests": true}})
	known := map[string]bool{}
	documents := slices.Concat(response.Documents, documentsOf(response.Hooks))
	for _, document := range documents {
		if document.Line == 0 {
			continue
		}
		lines := strings.Split(files[document.File], "\n")
		first := lines[document.Line-1]
		if !strings.Contains(first, "{{") && !strings.Contains(document.YAML, first) {
			t.Errorf("line %d of %s is %q, which is not in\n%s", document.Line, document.File, first, document.YAML)
		}
		known[fmt.Sprintf("%s:%d", document.File, document.Line)] = true
	}
	for _, place := range []string{"shop/templates/config.yaml:1", "shop/templates/config.yaml:13", "shop/templates/config.yaml:22", "shop/templates/deployment.yaml:1",
		"shop/charts/cache/templates/statefulset.yaml:1", "shop/templates/lookup.yaml:2", "shop/crds/orders.yaml:3"} {
		if !known[place] {
			t.Errorf("%s is not known, but %v", place, known)
		}
	}
	// A document that an if may leave out comes first, so the second may be any.
	for place := range known {
		if strings.HasPrefix(place, "shop/templates/hooks.yaml") {
			t.Errorf("%s is a guess", place)
		}
	}
}

func TestALineIsNotSaidWhereTheNumberOfDocumentsDiffers(t *testing.T) {
	rendered := "kind: A\n---\nkind: B\n---\nkind: C\n"
	if lines := templateLines("kind: A\n{{ .more }}\n---\nkind: C\n", rendered); len(lines) != 0 {
		t.Errorf("want nothing, got %v", lines)
	}
	if lines := templateLines("kind: A\n---\nkind: A\n", "kind: A\n---\nkind: A\n"); lines["kind: A\n"] != 0 {
		t.Errorf("want nothing for two that are the same, got %v", lines)
	}
}
