package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
)

func TestCopiesShareWhatTheOriginalsShare(t *testing.T) {
	shared := map[string]any{"list": []any{map[string]any{"a": 1}}}
	original := common.Values{"one": shared, "other": common.Values(shared), "none": map[string]any(nil), "empty": []any(nil), "text": "x"}
	copied, _ := copier{}.of(original).(common.Values)
	if !reflect.DeepEqual(original, copied) {
		t.Fatalf("want %v, got %v", original, copied)
	}
	one, _ := copied["one"].(map[string]any)
	other, _ := copied["other"].(common.Values)
	one["new"] = true
	if other["new"] != true || shared["new"] != nil {
		t.Error("want the copies to be one map, and another than the original")
	}
	one["list"].([]any)[0].(map[string]any)["a"] = 2
	if shared["list"].([]any)[0].(map[string]any)["a"] != 1 {
		t.Error("the original changed")
	}
}

// writing is a chart with a dependency, whose templates write into what they see.
var writing = snapshot{
	"Chart.yaml":             "apiVersion: v2\nname: top\nversion: 0.1.0\nannotations: {a: b}\ndependencies: [{name: sub, version: 0.1.0, import-values: [{child: exports, parent: imported}]}, {name: lib, version: 0.1.0}]\n",
	"values.yaml":            "global: {seen: []}\nsub: {count: 0}\n",
	"templates/_helpers.tpl": `{{- define "note" }}{{ $_ := set .Values.global "seen" (append .Values.global.seen .Template.Name) }}{{ end }}`,
	"templates/a.yaml": `{{- include "note" . }}{{ $_ := set .Release "Name" "renamed" }}{{ $_ := set .Chart "Version" "9" }}` +
		`{{ $_ := set .Subcharts.sub.Values "count" 5 }}` + "\n" +
		valued("a", `list .Release.Name .Chart.Version .Values.global.seen .Template.Name .Values.sub .Subcharts.sub.Chart.Name`),
	"templates/b.yaml": `{{- include "note" . }}{{ $_ := set .Capabilities.KubeVersion "Major" "1" | default "" }}`,
	"templates/deep/er/c.yaml": `{{- include "note" . }}` + "\n" +
		valued("c", `list .Release.Name .Chart.Version .Chart.Dependencies .Values .Template (.Files.Get "f.txt") (.Capabilities | toString)`),
	"templates/NOTES.txt":    `{{ $_ := set .Values "notes" "read" }}`,
	"f.txt":                  "text",
	"charts/sub/Chart.yaml":  "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
	"charts/sub/values.yaml": "exports: {x: 1}\n",
	"charts/sub/templates/d.yaml": `{{- include "note" . }}{{ $_ := set .Values "count" (add1 .Values.count) }}` + "\n" +
		valued("d", `list .Release .Values .Template .Chart.IsRoot .Subcharts`),
	"charts/sub/templates/_partial.yaml": "never: printed\n",
	"charts/lib/Chart.yaml":              "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n",
	"charts/lib/templates/never.yaml":    "kind: Never\n",
	"charts/lib/templates/_lib.yaml":     `{{ define "lib" }}x{{ end }}`,
}

func TestBothRendersSeeWhatHelmShowsOne(t *testing.T) {
	files := writing.with(snapshot{})
	delete(files, "templates/b.yaml") // it fails
	want, err := official(t, files.write(t), "helm", "template", "release-name", ".")
	if err != nil {
		t.Fatal(err)
	}
	once := files.renders(t, map[string]any{"path": "."})
	equal(t, want, asHelmPrints(once))
	twice := files.renders(t, map[string]any{"path": ".", "twice": true})
	equal(t, want, asHelmPrints(twice))
	if len(twice.Again) > 0 || twice.AgainError != "" {
		t.Errorf("want both renders to be the same, got %+v %s", twice.Again, twice.AgainError)
	}
	failure := writing.failsWith(t, map[string]any{"path": ".", "twice": true}, KindTemplate, "templates/b.yaml")
	if other := writing.failsWith(t, map[string]any{"path": "."}, KindTemplate, "templates/b.yaml"); *other != *failure {
		t.Errorf("want %+v, got %+v", other, failure)
	}
}

func TestTheTemplateThatLeadsIsNotSeen(t *testing.T) {
	files := randomChart(map[string]string{"a/b/c/d/e.yaml": valued("a", "list .Template (keys .Values) (keys .)")})
	response := files.renders(t, map[string]any{"path": ".", "twice": true})
	if strings.Contains(strings.Join(textsOf(response), ""), "lead") || len(response.Documents) != 1 {
		t.Errorf("got %v", textsOf(response))
	}
}

func TestQuestionsOfBothRendersAreKept(t *testing.T) {
	files := randomChart(map[string]string{"a.yaml": `{{ $x := lookup "v1" "Secret" "" "steady" }}{{ $x := lookup "v1" "Secret" "" (now | date "2006") }}` + "\n" + valued("a", "1")})
	response := files.renders(t, map[string]any{"path": ".", "twice": true})
	var names []string
	for _, lookup := range response.Lookups {
		names = append(names, lookup.Name)
	}
	if len(names) != 3 || names[0] != "steady" || names[1] >= names[2] || len(slices.Compact(names)) != 3 {
		t.Errorf("want the name, then both years, got %v", names)
	}
}

func TestAPanicIsOneOfWhoeverWaits(t *testing.T) {
	defer func() {
		if cause := recover(); cause != "lost" {
			t.Errorf("want the panic, got %v", cause)
		}
	}()
	if got := background(func() int { return 7 }).wait(); got != 7 {
		t.Errorf("got %d", got)
	}
	background(func() int { panic("lost") }).wait()
}
