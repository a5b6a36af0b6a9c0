package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

func TestURLsAreShownWithoutCredentials(t *testing.T) {
	for value, want := range map[string]string{
		"https://h.example/o/r//x?ref=v1":            "https://h.example/o/r//x",
		"https://bob:pw@h.example:8443/a?sig=x#y":    "https://h.example:8443/a",
		"HTTPS://token@h.example":                    "HTTPS://h.example",
		"https://bob:s3cr%et@h.example/x.yaml":       "https://h.example/x.yaml",
		"https://bob:p/w@h.example/x":                "https://h.example/x",
		"https://bob:p?w#@h.example/x?a=b":           "https://h.example/x",
		"https://bob:p@w@h.example/x":                "https://h.example/x",
		"https://bob:p w'\"@h.example/x":             "https://h.example/x",
		"https:/bob:pw@h.example/x":                  "https:/h.example/x",
		"https:///bob:pw@h.example/x":                "https:///h.example/x",
		"git::https://bob:pw@h.example/o/r?ref=v1":   "git::https://h.example/o/r",
		"git::https://bob:p%w@h.example/o/r":         "git::https://h.example/o/r",
		"ssh://git@h.example/o/r":                    "ssh://git@h.example/o/r",
		"ssh://git:pw@h.example/o/r":                 "ssh://h.example/o/r",
		"git@h.example:o/r.git?ref=v1":               "git@h.example:o/r.git",
		"bob:pw@h.example:o/r":                       "h.example:o/r",
		"https:bob:pw@h.example":                     "h.example",
		"//bob:pw@h.example/x":                       "//h.example/x",
		"oci://bob:pw@h.example":                     "oci://h.example",
		"ftp://bob:pw@h.example:21x/a":               "ftp://h.example:21x/a",
		"https://h.example/o/r@v1":                   "https://h.example/o/r@v1",
		"https://h.example/schema.json#/definitions": "https://h.example/schema.json#/definitions",
		"@stable":      "@stable",
		"../a@b/c":     "../a@b/c",
		"":             "",
		"alias:stable": "alias:stable",
	} {
		if got := withoutCredentials(value); got != want {
			t.Errorf("%s: want %s, got %s", value, want, got)
		}
	}
	for message, want := range map[string]string{
		"from 'https://bob:pw@h.example/x?a=b': no":           "from 'https://h.example/x': no",
		`get "git::https://b'ob:p'w@h.example/x", or`:         `get "git::https://h.example/x", or`,
		"open app/ftp:/bob:pw@h.example/x: no such file":      "open app/ftp:/h.example/x: no such file",
		"a: b/c, git@h.example:o/r, mail@example.com: c?d#e":  "a: b/c, git@h.example:o/r, mail@example.com: c?d#e",
		"file:///values.schema.json#/properties/a is invalid": "file:///values.schema.json#/properties/a is invalid",
	} {
		if got := withoutURLCredentials(message); got != want {
			t.Errorf("%s: want %s, got %s", message, want, got)
		}
	}
}

// TestNoErrorShowsCredentials holds every way into an error that a URL has.
func TestNoErrorShowsCredentials(t *testing.T) {
	chart := snapshot{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap}
	dependency := func(repository string) snapshot {
		quoted, _ := json.Marshal(repository)
		return snapshot{"Chart.yaml": "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies: [{name: b, version: 1.0.0, repository: " + string(quoted) + "}]\n"}
	}
	kustomization := func(text string) func(string) snapshot {
		return func(value string) snapshot {
			quoted, _ := json.Marshal(value)
			return chart.with(snapshot{"kustomization.yaml": strings.ReplaceAll(text, "URL", string(quoted)) + "\n"})
		}
	}
	const tests = "https://bob:s3cret@h.example/o/r//x?sig=s3cret&ref=--upload-pack|https://bob:s3cret%zz@h.example/o/r.yaml|https://bob:s3c/ret@h.example/a/b/s3cret@h|" +
		"https://bob:s3cret@h.example/o/r//../x|git::https://bob:s3cret@h.example/o/r//../../x?token=s3cret|ssh://bob:s3cret@-h.example/o/r|https:/bob:s3cret@h.example|https://bob:s3cret'\" x@h.example/o/r//..|" +
		"ftp://bob:s3cret@h.example/a.yaml?x=s3cret|//bob:s3cret@h.example/a|bob:s3cret@h.example:o/r|bob:s3cret@h.example/../../../../x|oci://bob:s3cret@h.example|oci://bob:s3cret@h.example/a:tag?s3cret|" +
		"file://bob:s3cret@h.example/x?s3cret|alias:https://bob:s3cret@h.example|@https://bob:s3cret@h.example|s3://h.example/x?sig=s3cret'\"s3cret|https://bob:s3cret@h.example:port/o/r//x"
	for place, files := range map[string]func(string) snapshot{
		"resource":      kustomization("resources: [URL]"),
		"base":          kustomization("bases: [URL]"),
		"component":     kustomization("resources: [a.yaml]\ncomponents: [URL]"),
		"field":         kustomization("resources: [a.yaml]\ncrds: [URL]"),
		"configuration": kustomization("resources: [a.yaml]\nconfigurations: [URL]"),
		"openapi":       kustomization("resources: [a.yaml]\nopenapi: {path: URL}"),
		"patch":         kustomization("resources: [a.yaml]\npatches: [{path: URL}]"),
		"old patch":     kustomization("resources: [a.yaml]\npatchesStrategicMerge: [URL]"),
		"replacement":   kustomization("resources: [a.yaml]\nreplacements: [{path: URL}]"),
		"generator":     kustomization("configMapGenerator: [{name: a, files: [URL], envs: [URL]}]"),
		"plugin":        kustomization("resources: [a.yaml]\ngenerators: [URL]"),
		"transformer":   kustomization("resources: [a.yaml]\ntransformers: [URL]"),
		"inline":        kustomization("generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, files: [URL]}']"),
		"chart":         kustomization("helmCharts: [{name: x, repo: URL, version: 1.0.0}]"),
		"chart's name":  kustomization("helmCharts: [{name: URL, repo: 'https://h.example'}]"),
		"values":        kustomization("helmCharts: [{name: x, repo: 'https://h.example', valuesFile: URL}]"),
		"dependency":    dependency,
		"lookup":        func(value string) snapshot { return dependency("https://h.example") },
		"key":           kustomization("{resources: [a.yaml], URL: x}"),
		"template": func(value string) snapshot {
			quoted, _ := json.Marshal(value)
			return snapshot{"Chart.yaml": "apiVersion: v2\nname: a\nversion: 1.0.0\n", "templates/a.yaml": "{{ fail (printf \"see %s\" " + string(quoted) + ") }}\n"}
		},
		"schema": func(value string) snapshot {
			quoted, _ := json.Marshal(value)
			return snapshot{"Chart.yaml": "apiVersion: v2\nname: a\nversion: 1.0.0\n", "values.schema.json": `{"properties": {"a": {"$ref": ` + string(quoted) + `}}}`}
		},
	} {
		t.Run(place, func(t *testing.T) {
			for url := range strings.SplitSeq(tests, "|") {
				isText := place == "template" || place == "schema" || place == "key"
				if isText && (strings.ContainsAny(url, "'\"") || !strings.Contains(url, ":/")) {
					continue // nobody can tell where it starts and ends
				}
				if place == "inline" && strings.Contains(url, "?x=") {
					continue // kustomize takes what comes after the = for a path
				}
				response := files(url).render(t, inflating("."))
				shown, _ := json.Marshal(map[string]any{"error": response.Error, "warnings": response.Warnings, "again": response.AgainError})
				if strings.Contains(string(shown), "s3c") {
					t.Errorf("%s: %s", url, shown)
				}
			}
		})
	}
	t.Run("index", func(t *testing.T) {
		for url := range strings.SplitSeq(tests, "|") {
			quoted, _ := json.Marshal(url)
			index := "apiVersion: v1\nentries:\n  tiny:\n  - {name: tiny, version: 1.0.0, urls: [" + string(quoted) + "]}\n"
			request := map[string]any{"helm": map[string]any{"repository": "https://bob:s3cret@h.example?x=s3cret", "chart": "tiny"}}
			response := snapshot{}.render(t, request)
			for range 3 {
				if response.Error != nil || len(response.Wants) == 0 {
					break
				}
				want := response.Wants[0]
				all := maps.Clone(request)
				all["fetched"] = append([]answer{{Kind: fetchIndex, URL: "https://bob:s3cret@h.example/index.yaml?x=s3cret", content: index}}, answer{Kind: want.Kind, URL: want.URL, content: "no archive"})
				response = snapshot{}.render(t, all)
			}
			shown, _ := json.Marshal(map[string]any{"error": response.Error, "warnings": response.Warnings})
			if response.Error == nil || strings.Contains(string(shown), "s3c") {
				t.Errorf("%s: %s", url, shown)
			}
		}
	})
}
