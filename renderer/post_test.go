package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// canonical returns documents as Kubernetes reads them, one a line, in order.
func canonical(t testing.TB, texts ...string) []string {
	t.Helper()
	var lines []string
	for _, text := range texts {
		for _, part := range splitStream(text) {
			converted, err := yaml.YAMLToJSON([]byte(part.text))
			if err != nil {
				t.Fatalf("%v in %s", err, part.text)
			}
			lines = append(lines, string(converted))
		}
	}
	return lines
}

// textsOf returns the texts of documents, and then of hooks.
func textsOf(response *Response) []string {
	var texts []string
	for _, document := range response.Documents {
		texts = append(texts, document.YAML)
	}
	for _, hook := range response.Hooks {
		texts = append(texts, hook.YAML)
	}
	return texts
}

// app is what the tests of post set something on.
var app = snapshot{"app/a.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
---
# The web front end.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web # kept
  labels:
    tier: front
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
      - name: web
        image: nginx
        envFrom: [{configMapRef: {name: settings}}]
`, "app/b.yaml": `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: web, namespace: default}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.example.com}
spec: {group: example.com}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.example.com}
spec: {group: example.com}
---
apiVersion: example.com/v1
kind: Order
metadata: {name: first, annotations: {config.kubernetes.io/local-config: "true"}}
spec: {items: [{name: a}, {name: b}]}
`}

func TestPostSetsLabelsAndAnnotationsOnMetadataAlone(t *testing.T) {
	files := app.with(snapshot{"app/c.yaml": "kind: A\napiVersion: v1\nmetadata:\n  name: x\n  labels:\n  annotations: {}\n---\nkind: A\napiVersion: v1\nmetadata: {name: z, labels: {team: old, other: kept}}\n"})
	response := files.renders(t, map[string]any{"path": "app", "post": map[string]any{
		"labels": map[string]any{"team": "shop", "version": "1.0", "on": "1", "8080": "x"}, "annotations": map[string]any{"example.com/on": "yes"}}})
	for i, line := range canonical(t, textsOf(response)...) {
		var object struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     struct {
				Selector struct{ MatchLabels map[string]string }
				Template struct {
					Metadata struct{ Labels map[string]string }
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		if object.Metadata.Labels["team"] != "shop" || object.Metadata.Labels["version"] != "1.0" || object.Metadata.Labels["on"] != "1" || object.Metadata.Labels["8080"] != "x" || object.Metadata.Annotations["example.com/on"] != "yes" {
			t.Errorf("document %d lacks them: %s", i, line)
		}
		if object.Spec.Selector.MatchLabels["team"] != "" || object.Spec.Template.Metadata.Labels["team"] != "" {
			t.Errorf("document %d has them in the selector or the template: %s", i, line)
		}
	}
	all := strings.Join(textsOf(response), "---\n")
	for _, kept := range []string{"# The web front end.", "name: web # kept", "tier: front", "other: kept"} {
		if !strings.Contains(all, kept) {
			t.Errorf("%q is lost in\n%s", kept, all)
		}
	}
}

func TestAnEmptyPostChangesNothing(t *testing.T) {
	for _, path := range []string{"app", "overlays/prod", "shop"} {
		files := app.with(shop(t))
		for name, content := range directory(t, "testdata/overlays") {
			files["overlays/"+name] = content
		}
		plain := files.renders(t, map[string]any{"path": path})
		empty := files.renders(t, map[string]any{"path": path, "post": map[string]any{"labels": map[string]any{}, "patches": []any{}, "namePrefix": ""}})
		if !slices.Equal(textsOf(plain), textsOf(empty)) {
			t.Errorf("%s differs", path)
		}
	}
}

// postCases are settings of post, as kustomize's fields of the same name.
var postCases = map[string]map[string]any{
	"prefix": {"namePrefix": "eu-"},
	"strategic merge": {"patches": []map[string]any{
		{"name": "p", "patch": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      - name: web\n        env: [{name: A, value: \"1\"}]\n      - name: proxy\n        image: proxy\n"},
		{"name": "q", "patch": "kind: ignored\napiVersion: v1\nmetadata: {name: ignored}\nspec: {items: [{name: c}], more: {\"8080\": x}}\n", "target": map[string]any{"group": "example.com", "kind": "Ord.*"}}}},
	"deletions": {"namePrefix": "eu-", "patches": []map[string]any{
		{"name": "p", "patch": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n$patch: delete\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: null, c: d}\n"}}},
	"JSON 6902": {"namePrefix": "eu-", "patches": []map[string]any{
		{"name": "p", "patch": `[{"op": "replace", "path": "/spec/replicas", "value": 3}, {"op": "add", "path": "/metadata/annotations/x", "value": "yes"}]`, "target": map[string]any{"kind": "Deployment"}},
		{"name": "q", "patch": "- {op: remove, path: /spec/template/spec/containers/0/envFrom}\n- {op: add, path: /spec/template/spec/containers/-, value: {name: two, image: \"x:1\"}}\n", "target": map[string]any{"labelSelector": "tier=front"}}}},
	"a patch that renames": {"patches": []map[string]any{
		{"name": "p", "patch": "- {op: replace, path: /metadata/name, value: other}", "target": map[string]any{"kind": "ConfigMap|ServiceAccount"}}}},
	"one patch after another": {"patches": []map[string]any{
		{"name": "p", "patch": "- {op: add, path: /metadata/labels, value: {new: label}}", "target": map[string]any{"kind": "ServiceAccount"}},
		{"name": "q", "patch": "- {op: add, path: /automountServiceAccountToken, value: false}", "target": map[string]any{"labelSelector": "new=label"}}}},
}

// TestPostDoesWhatKustomizeDoes compares with an overlay that says the same.
func TestPostDoesWhatKustomizeDoes(t *testing.T) {
	for name, post := range postCases {
		t.Run(name, func(t *testing.T) {
			overlay := map[string]any{"resources": []string{"app/a.yaml", "app/b.yaml"}, "sortOptions": map[string]any{"order": "fifo"}}
			for key, value := range post {
				overlay[key] = value
			}
			encoded, err := json.Marshal(overlay)
			if err != nil {
				t.Fatal(err)
			}
			kustomization := string(encoded)
			for _, patch := range []string{"p", "q"} {
				kustomization = strings.ReplaceAll(kustomization, `"name":"`+patch+`",`, "")
			}
			// kustomize drops what is local to it, which is kept here.
			files := app.with(snapshot{"kustomization.yaml": kustomization})
			files["app/b.yaml"] = strings.Replace(files["app/b.yaml"], "local-config", "another-config", 1)
			want, err := official(t, files.write(t), "kustomize", "build", ".")
			if err != nil {
				t.Fatal(err)
			}
			response := files.renders(t, map[string]any{"path": "app", "post": post})
			got := canonical(t, textsOf(response)...)
			wanted := canonical(t, want)
			if len(got) != len(wanted) {
				t.Fatalf("want %d documents, got %d", len(wanted), len(got))
			}
			for i := range wanted {
				if got[i] != wanted[i] {
					t.Errorf("document %d differs:\nkustomize: %s\nrenderer:  %s", i, wanted[i], got[i])
				}
			}
		})
	}
}

func TestPostKeepsThePlaceOfEveryDocument(t *testing.T) {
	before := app.renders(t, map[string]any{"path": "app"})
	after := app.renders(t, map[string]any{"path": "app", "post": postCases["deletions"]})
	var want []Document
	for _, document := range before.Documents {
		if !strings.Contains(document.YAML, "kind: ServiceAccount\nmetadata") {
			want = append(want, document)
		}
	}
	if len(after.Documents) != len(want) {
		t.Fatalf("want %d documents, got %d", len(want), len(after.Documents))
	}
	for i, document := range after.Documents {
		if document.File != want[i].File || document.Line != want[i].Line || document.Source != want[i].Source {
			t.Errorf("want %s:%d, got %s:%d for\n%s", want[i].File, want[i].Line, document.File, document.Line, document.YAML)
		}
	}
	if namespace := after.Documents[4].YAML; namespace != want[4].YAML || !strings.Contains(namespace, "kind: Namespace") {
		t.Errorf("want the text of what does not change, got %q", namespace)
	}
	if order := after.Documents[len(want)-1].YAML; !strings.Contains(order, "eu-first") || !strings.Contains(order, `local-config: 'true'`) {
		t.Errorf("want a local object kept and renamed, got %s", order)
	}
}

func TestPostTakesListsApart(t *testing.T) {
	files := snapshot{"list.yaml": "# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: \"1e3\"}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n---\napiVersion: v1\nkind: List\nitems: []\n"}
	response := files.renders(t, map[string]any{"path": ".", "post": map[string]any{"namePrefix": "p-"}})
	if len(response.Documents) != 2 {
		t.Fatalf("want the two items, got %d documents", len(response.Documents))
	}
	single := snapshot{"list.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n", "b.yaml": configMap}
	patched := single.renders(t, map[string]any{"path": ".", "post": map[string]any{"patches": []map[string]any{{"name": "p", "patch": "data: {}\n" + configMap, "target": map[string]any{"kind": "ConfigMap"}}}}})
	if text := patched.Documents[1].YAML; strings.Contains(text, "kind: List") {
		t.Errorf("want the item of the list, got %s", text)
	}
	for i, name := range []string{"p-a", "p-b"} {
		if document := response.Documents[i]; !strings.Contains(document.YAML, "name: "+name) || document.Line != 3 {
			t.Errorf("want %s of line 3, got line %d in %s", name, document.Line, document.YAML)
		}
	}
}

func TestHooksGoThroughPostAndStayHooks(t *testing.T) {
	files := shop(t)
	before := files.renders(t, map[string]any{"path": "shop"})
	after := files.renders(t, map[string]any{"path": "shop", "post": map[string]any{"namePrefix": "eu-", "labels": map[string]any{"team": "shop"}, "patches": []map[string]any{
		{"name": "p", "patch": "- {op: replace, path: /metadata/annotations/helm.sh~1hook-weight, value: \"7\"}", "target": map[string]any{"kind": "Job", "name": "migrate"}},
		{"name": "q", "patch": "apiVersion: v1\nkind: Pod\nmetadata: {name: test-connection}\n$patch: delete\n"}}}})
	if len(after.Hooks) != len(before.Hooks)-1 || len(after.Documents) != len(before.Documents) {
		t.Fatalf("want all documents and all hooks but one, got %d and %d", len(after.Documents), len(after.Hooks))
	}
	for i, hook := range after.Hooks {
		was := slices.DeleteFunc(before.Hooks, func(h Hook) bool { return h.Kind == "Pod" })[i]
		if hook.Name != "eu-"+was.Name || hook.Source != was.Source || hook.File != was.File || !slices.Equal(hook.Events, was.Events) || !strings.Contains(hook.YAML, "team: shop") {
			t.Errorf("want %+v with prefix and label, got %+v", was, hook)
		}
		if weight := hook.Weight; hook.Name == "eu-migrate" && hook.Kind == "Job" && weight != 7 {
			t.Errorf("want the weight of the patch, got %d", weight)
		}
	}
	files.failsWith(t, map[string]any{"path": "shop", "post": map[string]any{"patches": []map[string]any{
		{"name": "p", "patch": "- {op: remove, path: /metadata/annotations/helm.sh~1hook}", "target": map[string]any{"kind": "Job", "name": "goodbye"}}}}},
		KindPost, "shop/templates/hooks.yaml", "a hook stays one")
}
