package main

import (
	"strings"
	"testing"
)

func TestOverlaysMayHaveWindowsLineEndsAndByteOrderMarks(t *testing.T) {
	for name, convert := range map[string]func(string) string{
		"CRLF": func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
		"BOM":  func(text string) string { return "\ufeff" + text },
	} {
		for _, overlay := range []string{"base", "prod", "legacy"} {
			t.Run(name+" "+overlay, func(t *testing.T) {
				files := snapshot{}
				for file, content := range directory(t, "testdata/overlays") {
					files[file] = content
					// kustomize itself takes no other file with a byte order mark.
					if name == "CRLF" || strings.HasSuffix(file, "deployment.yaml") {
						files[file] = convert(content)
					}
				}
				request := map[string]any{"path": overlay}
				want, err := official(t, files.write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", overlay)
				if err != nil {
					if response := files.render(t, request); response.Error == nil {
						t.Errorf("kustomize fails, and the renderer does not: %v", err)
					}
					return
				}
				equal(t, want, asKustomizePrints(files.renders(t, request)))
			})
		}
	}
}

// TestKustomizationsRenderAsKustomizeBuildDoes holds what the overlays of
// testdata do not: what kustomize accepts in odd forms, or refuses.
func TestKustomizationsRenderAsKustomizeBuildDoes(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: \"nginx:1\"}]}}}\n"
	patch := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n"
	for name, kustomization := range map[string]string{
		"nothing":                       "kind: Kustomization\n",
		"no resources":                  "resources: []\nnamePrefix: x-\n",
		"one resource twice":            "resources: [a.yaml, a.yaml]\n",
		"behaviour create twice":        "configMapGenerator: [{name: g, literals: [a=b]}, {name: g, literals: [a=b]}]\n",
		"merge into nothing":            "configMapGenerator: [{name: g, behavior: merge, literals: [a=b]}]\n",
		"replace nothing":               "configMapGenerator: [{name: g, behavior: replace, literals: [a=b]}]\n",
		"a key twice":                   "configMapGenerator: [{name: g, literals: [a=b, a=c]}]\n",
		"a literal without value":       "configMapGenerator: [{name: g, literals: [a]}]\n",
		"a patch with path and text":    "resources: [a.yaml]\npatches: [{path: p.yaml, patch: \"a: b\", target: {kind: ConfigMap}}]\n",
		"operations match nothing":      "resources: [a.yaml]\npatches: [{patch: '[{\"op\": \"remove\", \"path\": \"/data\"}]', target: {kind: Secret}}]\n",
		"a strategic patch that does":   "resources: [a.yaml]\npatchesStrategicMerge: [p.yaml]\n",
		"a list of patches with paths":  "resources: [a.yaml, d.yaml]\npatchesJson6902: [{target: {group: apps, version: v1, kind: Deployment, name: web}, path: ops.json}]\n",
		"labels in selectors":           "resources: [d.yaml]\ncommonLabels: {a: b}\n",
		"labels and templates":          "resources: [d.yaml]\nlabels: [{pairs: {a: b}, includeTemplates: true}, {pairs: {c: \"1\"}, includeSelectors: true}]\n",
		"an image with digest":          "resources: [d.yaml]\nimages: [{name: nginx, newName: other, digest: \"sha256:abc\"}]\n",
		"an image by expression":        "resources: [d.yaml]\nimages: [{name: \"ngin*\", newTag: \"2\"}]\n",
		"replicas of nothing":           "resources: [d.yaml]\nreplicas: [{name: other, count: 2}]\n",
		"a replacement from nothing":    "resources: [d.yaml]\nreplacements: [{source: {kind: Service}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.x]}]}]\n",
		"a replacement to nothing":      "resources: [d.yaml]\nreplacements: [{source: {kind: Deployment, fieldPath: metadata.name}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.none.x]}]}]\n",
		"a var of nothing":              "resources: [d.yaml]\nvars: [{name: X, objref: {apiVersion: v1, kind: Service, name: none}}]\n",
		"a component as resource":       "resources: [part]\n",
		"a component twice":             "resources: [a.yaml]\ncomponents: [part, part]\n",
		"openapi of a version":          "resources: [d.yaml]\nopenapi: {version: v1.21.2}\n",
		"openapi of no version":         "resources: [d.yaml]\nopenapi: {version: v0}\n",
		"a json resource":               "resources: [j.json]\n",
		"an empty resource":             "resources: [empty.yaml, a.yaml]\n",
		"a resource without name":       "resources: [unnamed.yaml]\n",
		"generateName":                  "resources: [generated.yaml]\n",
		"an old field":                  "resources: [a.yaml]\nimageTags: [{name: nginx, newTag: x}]\n",
		"env of a generator":            "configMapGenerator: [{name: g, env: e.env}]\n",
		"metadata":                      "metadata: {name: top}\nresources: [a.yaml]\nsortOptions: {order: fifo}\n",
		"directories like repositories": "resources: [github.com/app, 'a.b@c/d']\ncomponents: ['GitHub.com:part']\n",
		"files like repositories":       "resources: [github.com/o/f.yaml, 'git@h/f.yaml']\nconfigMapGenerator: [{name: g, files: [github.com/o/f.yaml]}]\npatches: [{path: github.com/o/p.yaml}]\n",
		"nothing like a repository":     "resources: [github.com/none]\n",
		"nothing to sort":               "resources: [a.yaml]\nsortOptions: {order: none}\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"kustomization.yaml": kustomization, "a.yaml": configMap, "d.yaml": deployment, "p.yaml": patch, "e.env": "A=b\nC\n",
				"ops.json": `[{"op": "add", "path": "/spec/paused", "value": true}]`, "j.json": `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}`,
				"empty.yaml": "# nothing\n---\n", "unnamed.yaml": "apiVersion: v1\nkind: ConfigMap\n", "generated.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n",
				"github.com/app/kustomization.yaml": "resources: [../../a.yaml]\n", "a.b@c/d/kustomization.yaml": "resources: [../../d.yaml]\n", "GitHub.com:part/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nnamePrefix: x-\n",
				"github.com/o/f.yaml": configMap, "git@h/f.yaml": deployment, "github.com/o/p.yaml": patch,
				"part/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\ncommonAnnotations: {a: b}\n"}
			want, err := official(t, files.write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", ".")
			response := files.render(t, map[string]any{"path": "."})
			if err != nil {
				if response.Error == nil {
					t.Fatal("kustomize fails, and the renderer does not")
				}
				if response.Error.File == "" || response.Error.Kind == KindInternal || strings.Contains(response.Error.Message, "0x") || strings.Contains(response.Error.Message, mountPoint+"/") {
					t.Errorf("want an error with a place in the tree, got %+v", response.Error)
				}
				t.Logf("%s: %s", response.Error.File, response.Error.Message)
				return
			}
			if response.Error != nil {
				t.Fatalf("the renderer fails, and kustomize does not: %+v", response.Error)
			}
			equal(t, want, asKustomizePrints(response))
		})
	}
}
