package main

import (
	"slices"
	"strings"
	"testing"
)

// TestLinkedDirectoriesRenderAsKustomizeBuildDoes holds directories that are
// reached by symbolic links: the paths in them are relative to where they are.
func TestLinkedDirectoriesRenderAsKustomizeBuildDoes(t *testing.T) {
	url := clonable(t, base())
	remote := "resources: ['REPO//web?ref=v1']\n"
	chart := snapshot{"real/hidden/charts/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "real/hidden/charts/c/values.yaml": "a: 1\n", "real/hidden/charts/c/templates/a.yaml": configMap,
		"app/kustomization.yaml": "resources: [link]\n", "app/link": linkMark + "../real/deep"}
	for name, test := range map[string]struct {
		path  string
		files snapshot
		file  string // of the first document
	}{
		"the path": {"current", snapshot{"current": linkMark + "overlays/prod", "overlays/prod/kustomization.yaml": "resources: [../../base]\n",
			"base/kustomization.yaml": "resources: [cm.yaml]\n", "base/cm.yaml": configMap}, "base/cm.yaml"},
		"the path, with a URL": {"current", snapshot{"current": linkMark + "app/prod", "app/prod/kustomization.yaml": remote}, ""},
		"a base, with a URL": {"app/prod", snapshot{"app/prod/kustomization.yaml": "resources: [base]\n", "app/prod/base": linkMark + "../../shared/deep/base",
			"shared/deep/base/kustomization.yaml": remote}, ""},
		"a base as deep, with a URL": {"app/prod", snapshot{"app/prod/kustomization.yaml": "resources: [../base]\n", "app/base": linkMark + "real", "app/real/kustomization.yaml": remote}, ""},
		"a base by two ways": {"app", snapshot{"app/kustomization.yaml": "resources: [a, b]\n", "app/a/kustomization.yaml": "nameSuffix: -a\nresources: [../link]\n",
			"app/b/kustomization.yaml": "nameSuffix: -b\nresources: [../real/x]\n", "app/link": linkMark + "real/x", "app/real/x/kustomization.yaml": remote}, ""},
		"a kustomization, with a URL": {"app", snapshot{"app/kustomization.yaml": linkMark + "../common/k.yaml", "common/k.yaml": remote}, ""},
		"beside a base": {"app", snapshot{"app/kustomization.yaml": "resources: [link]\n", "app/link": linkMark + "../real/deep", "real/deep/kustomization.yaml": "resources: [../hidden]\nnamePrefix: x-\n",
			"real/hidden/kustomization.yaml": "resources: [cm.yaml]\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n", "real/hidden/cm.yaml": configMap}, "real/hidden/cm.yaml"},
		"a file":       {"app", snapshot{"app/kustomization.yaml": "resources: [l/cm.yaml]\n", "app/l": linkMark + "../o", "o/cm.yaml": configMap}, "app/l/cm.yaml"},
		"a chart home": {"app", chart.with(snapshot{"real/deep/kustomization.yaml": "helmGlobals: {chartHome: ../hidden/charts}\nhelmCharts: [{name: c, releaseName: r}]\n"}), "real/hidden/charts/c/templates/a.yaml"},
		"a values file": {"app", chart.with(snapshot{"real/deep/kustomization.yaml": "helmGlobals: {chartHome: ../hidden/charts}\nhelmCharts: [{name: c, releaseName: r, valuesFile: ../v.yaml}]\n",
			"real/v.yaml": "a: b\n"}), "real/hidden/charts/c/templates/a.yaml"},
		"a plugin": {"app", snapshot{"app/kustomization.yaml": "resources: [link]\n", "app/link": linkMark + "../real/deep", "real/deep/kustomization.yaml": "resources: [cm.yaml]\ntransformers: [../t/t.yaml]\n",
			"real/deep/cm.yaml": configMap, "real/t/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\ntarget: {kind: ConfigMap}\npath: ../t/p.json\n",
			"real/t/p.json": `[{"op": "add", "path": "/data", "value": {"a": "b"}}]`}, "real/deep/cm.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			files := func(repository string) snapshot {
				all := snapshot{}
				for file, content := range test.files {
					all[file] = strings.ReplaceAll(content, "REPO", repository)
				}
				return all
			}
			want, err := kustomizeWithHelm(t, files(url), test.path)
			if err != nil {
				t.Fatal(err)
			}
			response, _ := files(upstream).rendersFetching(t, inflating(test.path), world{upstream + "@v1": {tree: base()}})
			equal(t, strings.ReplaceAll(want, url, upstream), asKustomizePrints(response))
			if document := response.Documents[0]; test.file != "" && document.File != test.file {
				t.Errorf("want %s, got %+v", test.file, document)
			}
		})
	}
}

func TestWhatALinkedDirectoryLeadsToIsChecked(t *testing.T) {
	files := snapshot{"app/kustomization.yaml": "resources: [link]\n", "app/link": linkMark + "../real/deep", "real/deep/kustomization.yaml": "resources: [../hidden]\n"}
	for name, test := range map[string]struct{ text, kind string }{
		"a chart":       {"helmCharts: [{name: c}]\n", KindDisabled},
		"a URL":         {"crds: ['https://x.example/crd.json']\n", KindRemote},
		"outside":       {"resources: [../../../etc/passwd]\n", KindOutside},
		"too many":      {laughs(), KindLimit},
		"a plugin":      {"transformers: [\"{apiVersion: x.example/v1, kind: X, metadata: {name: x}}\"]\n", KindDisabled},
		"a wrong field": {"resource: []\n", KindKustomize},
	} {
		t.Run(name, func(t *testing.T) {
			files.with(snapshot{"real/hidden/kustomization.yaml": test.text}).failsWith(t, map[string]any{"path": "app"}, test.kind, "real/hidden/kustomization.yaml")
			files.with(snapshot{"real/deep/kustomization.yaml": test.text}).failsWith(t, map[string]any{"path": "app"}, test.kind, "app/link/kustomization.yaml")
		})
	}
	response := files.with(snapshot{"real/hidden/kustomization.yaml": "resources: ['" + upstream + "']\n"}).render(t, map[string]any{"path": "app"})
	if len(response.Wants) != 1 || response.Wants[0].File != "real/hidden/kustomization.yaml" || !slices.Contains(response.Read, "app/link") {
		t.Errorf("unexpected wants %+v, read %v", response.Wants, response.Read)
	}
}
