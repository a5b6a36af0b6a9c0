package main

import (
	"slices"
	"strings"
	"testing"
)

func TestResourcesNameTheFileAndLineTheyAreWrittenAt(t *testing.T) {
	response := directory(t, "testdata/overlays").renders(t, map[string]any{"path": "prod"})
	type place struct {
		file string
		line int
	}
	want := map[string]place{
		"kind: Deployment":           {"base/deployment.yaml", 2},
		"kind: Service\n":            {"base/service.yaml", 1},
		"kind: ResourceQuota":        {"shared/quota.yaml", 1},
		"kind: ServiceMonitor":       {"components/metrics/monitor.yaml", 1},
		"name: prod-fixed-v1":        {"prod/kustomization.yaml", 45},
		"name: prod-credentials-v1-": {"base/kustomization.yaml", 12},
	}
	for _, document := range response.Documents {
		for mark, at := range want {
			if strings.Contains(document.YAML, mark) && (mark != "name: prod-credentials-v1-" || strings.Contains(document.YAML, "kind: Secret")) {
				if document.File != at.file || document.Line != at.line {
					t.Errorf("want %v for %q, got %s:%d", at, mark, document.File, document.Line)
				}
				delete(want, mark)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("documents are missing: %v", want)
	}
}

func TestWhatABuildDependsOnIsRecorded(t *testing.T) {
	response := directory(t, "testdata/overlays").renders(t, map[string]any{"path": "prod"})
	for _, read := range []string{"prod/kustomization.yaml", "base/app.env", "base/files/motd.txt", "shared/quota.yaml", "prod/patches/port.json", "prod/names.yaml"} {
		if !slices.Contains(response.Read, read) {
			t.Errorf("%s is not among what was read", read)
		}
	}
	if slices.Contains(response.Read, "legacy/kustomization.yaml") {
		t.Error("another overlay was read")
	}
	// A second kustomization beside the first would be an error.
	if !slices.Contains(response.Absent, "base/Kustomization") {
		t.Errorf("base/Kustomization is not among what is absent: %v", response.Absent)
	}
}

func TestDeprecatedFieldsAreWarnedOfWithTheirFile(t *testing.T) {
	response := directory(t, "testdata/overlays").renders(t, map[string]any{"path": "legacy"})
	found := strings.Join(response.Warnings, "\n")
	for _, want := range []string{"legacy/kustomization.yaml: 'bases' is deprecated", "legacy/kustomization.yaml: 'vars' is deprecated"} {
		if !strings.Contains(found, want) {
			t.Errorf("want %q among the warnings %q", want, found)
		}
	}
}

func TestErrorsOfKustomizationsKeepTheirPlace(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
	cases := map[string]struct {
		files      snapshot
		kind, file string
		line       int
		word       string
	}{
		"unknown field":    {snapshot{"base/kustomization.yaml": "resources: [a.yaml]\nnamepsace: x\n"}, KindKustomize, "base/kustomization.yaml", 2, `unknown field "namepsace"`},
		"wrong type":       {snapshot{"base/kustomization.yaml": "resources:\n  - a.yaml\nimages: nginx\n"}, KindKustomize, "base/kustomization.yaml", 3, "cannot unmarshal string"},
		"not YAML":         {snapshot{"base/kustomization.yaml": "resources:\n- a.yaml\n b: c\n"}, KindYAML, "base/kustomization.yaml", 3, "yaml: line 3"},
		"empty":            {snapshot{"base/kustomization.yaml": ""}, KindKustomize, "base/kustomization.yaml", 0, "empty"},
		"missing file":     {snapshot{"base/kustomization.yaml": "resources: [a.yaml, gone.yaml]\n"}, KindKustomize, "base/kustomization.yaml", 0, "base/gone.yaml"},
		"broken file":      {snapshot{"base/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "base/b.yaml": "kind: A\n  b: c\n"}, KindYAML, "base/b.yaml", 2, "b.yaml"},
		"no target":        {snapshot{"base/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n", "base/p.yaml": deployment}, KindKustomize, "base/kustomization.yaml", 0, "no matches for Id"},
		"bad patch":        {snapshot{"base/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n", "base/p.yaml": "- {op: remove, path: /none}\n"}, KindKustomize, "base/kustomization.yaml", 0, "none"},
		"missing patch":    {snapshot{"base/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: gone.yaml, target: {kind: ConfigMap}}]\n"}, KindKustomize, "base/kustomization.yaml", 0, "gone.yaml"},
		"two files":        {snapshot{"base/kustomization.yaml": "resources: [a.yaml]\n", "base/Kustomization": "resources: [a.yaml]\n"}, KindKustomize, "base/kustomization.yaml", 0, "multiple kustomization files"},
		"no kustomization": {snapshot{"base/x.yaml": configMap}, KindKustomize, "base", 0, "unable to find one of"},
		"cycle":            {snapshot{"base/kustomization.yaml": "resources: [../top]\n"}, KindKustomize, "base/kustomization.yaml", 0, "cycle detected"},
		"twice":            {snapshot{"base/kustomization.yaml": "resources: [a.yaml, c.yaml]\n", "base/c.yaml": configMap}, KindKustomize, "base/c.yaml", 0, "may not add resource with an already registered id"},
		"component":        {snapshot{"base/kustomization.yaml": "components: [../other]\n", "other/kustomization.yaml": "resources: [a.yaml]\n"}, KindKustomize, "base/kustomization.yaml", 0, "expected kind 'Component'"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"top/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": configMap}.with(test.files)
			failure := files.failsWith(t, map[string]any{"path": "top"}, test.kind, test.file, test.word)
			if failure.Line != test.line {
				t.Errorf("want line %d, got %+v", test.line, failure)
			}
			if strings.Contains(failure.Message, mountPoint+"/") {
				t.Errorf("the message has a path that is not in the repository: %s", failure.Message)
			}
		})
	}
}
