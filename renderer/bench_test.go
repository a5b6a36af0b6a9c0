package main

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkPost(b *testing.B) {
	for _, count := range []int{10, 100, 500, 1000} {
		var text strings.Builder
		for i := range count {
			fmt.Fprintf(&text, "---\n%s---\n%s", strings.Replace(configMap, "name: a", fmt.Sprintf("name: c%d", i), 1),
				strings.Replace(strings.Split(app["app/a.yaml"], "---\n")[2], "name: web #", fmt.Sprintf("name: web%d #", i), 1))
		}
		for name, post := range map[string]Post{
			"labels": {Labels: map[string]string{"a": "b"}},
			"prefix": {NamePrefix: "x-"},
			"patch":  {Patches: []PostPatch{{Name: "p", Patch: "- {op: add, path: /spec/paused, value: true}", Target: &PostTarget{Kind: "Deployment"}}}},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, 2*count), func(b *testing.B) {
				for b.Loop() {
					response := newResponse()
					for _, part := range splitStream(text.String()) {
						response.Documents = append(response.Documents, Document{YAML: part.text})
					}
					if _, err := applyPost(&post, response); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// market is a large chart: 300 documents of 60 templates, and 40 CRDs of 60 KB.
func market() snapshot {
	files := snapshot{
		"market/Chart.yaml":             "apiVersion: v2\nname: market\nversion: 1.0.0\n",
		"market/values.yaml":            "image: {repository: nginx, tag: \"1\"}\nresources: {limits: {memory: 1Gi, cpu: \"1\"}}\nlabels: {a: b, c: d}\nannotations: {}\nenabled: true\n",
		"market/templates/_helpers.tpl": "{{- define \"market.labels\" -}}\napp.kubernetes.io/name: {{ .Chart.Name }}\napp.kubernetes.io/instance: {{ .Release.Name }}\n{{- with .Values.labels }}\n{{ toYaml . }}\n{{- end }}\n{{- end }}\n",
	}
	for i := range 60 {
		var text strings.Builder
		text.WriteString("{{- if .Values.enabled }}\n")
		for j := range 5 {
			fmt.Fprintf(&text, `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-%d-%d
  labels:
    {{- include "market.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas | default 2 }}
  selector:
    matchLabels: {app: a%d}
  template:
    metadata:
      labels: {app: a%d}
    spec:
      containers:
        - name: web
          image: {{ tpl "{{ .Values.image.repository }}:{{ .Values.image.tag }}" . }}
          args:
            {{- range until 20 }}
            - --flag-{{ . }}=value of this flag
            {{- end }}
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          envFrom:
            - configMapRef:
                name: settings
---
`, i, j, j, j)
		}
		text.WriteString("{{- end }}\n")
		files[fmt.Sprintf("market/templates/t%02d.yaml", i)] = text.String()
	}
	for i := range 40 {
		var text strings.Builder
		fmt.Fprintf(&text, "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: c%d.example.com\nspec:\n  group: example.com\n  versions:\n  - name: v1\n    schema:\n      openAPIV3Schema:\n        properties:\n", i)
		for j := range 400 {
			fmt.Fprintf(&text, "          field%d:\n            description: |-\n              What the field is for: it is described here at\n              some length, in two lines.\n            type: string\n", j)
		}
		files[fmt.Sprintf("market/crds/c%02d.yaml", i)] = text.String()
	}
	return files
}

// BenchmarkRender runs the program from its start to its end, and helm beside it.
func BenchmarkRender(b *testing.B) {
	post := map[string]any{"labels": map[string]any{"team": "web"}, "patches": []map[string]any{
		{"name": "p", "patch": "- {op: add, path: /spec/paused, value: true}", "target": map[string]any{"kind": "Deployment", "name": ".*-1-1|.*-shop"}}}}
	prefix := map[string]any{"namePrefix": "eu-"}
	for chart, files := range map[string]snapshot{"shop": shop(b), "market": market()} {
		root := files.write(b)
		b.Run(chart+"/helm template", func(b *testing.B) {
			for b.Loop() {
				if _, err := official(b, root, "helm", "template", "release-name", chart, "--include-crds"); err != nil {
					b.Fatal(err)
				}
			}
		})
		for name, request := range map[string]map[string]any{
			"plain":                {},
			"twice":                {"twice": true},
			"labels and patch":     {"post": post},
			"prefix":               {"post": prefix},
			"twice, labels, patch": {"post": post, "twice": true},
		} {
			request["path"], request["helm"] = chart, map[string]any{"includeCRDs": true}
			input := files.archive(b, request)
			b.Run(chart+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if got := start(b, input); got.exit != 0 || strings.Contains(string(got.stdout[len(got.stdout)-400:]), `"error":{`) {
						b.Fatalf("%s", got.stdout[len(got.stdout)-400:])
					}
				}
			})
		}
	}
}
