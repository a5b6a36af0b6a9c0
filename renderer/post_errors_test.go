package main

import "testing"

func TestErrorsOfPostNameThePatch(t *testing.T) {
	target := map[string]any{"kind": "Deployment", "name": "web"}
	for name, test := range map[string]struct {
		patch  string
		target map[string]any
		words  []string
	}{
		"nothing has the id":     {"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", nil, []string{"no object is Service", "change nothing"}},
		"nothing is the target":  {"apiVersion: v1\nkind: Deployment\nmetadata: {name: web}\n", map[string]any{"kind": "StatefulSet"}, []string{"(target {kind: StatefulSet})", "no object matches the target"}},
		"nothing for operations": {"- {op: remove, path: /spec}", map[string]any{"name": "we", "labelSelector": "a=b"}, []string{"(target {name: we, labelSelector: a=b})", "no object matches"}},
		"path":                   {"- {op: remove, path: /spec/none}", target, []string{"apply to Deployment web", "/spec/none"}},
		"test":                   {"- {op: test, path: /spec/replicas, value: 2}", target, []string{"/spec/replicas"}},
		"no operation":           {"- {op: change, path: /spec}", target, []string{"change"}},
		"no list of operations":  {"- remove", target, []string{"no JSON 6902 patch"}},
		"no target":              {"- {op: remove, path: /spec}", nil, []string{"needs a target"}},
		"no name":                {"spec: {replicas: 2}\n", target, []string{"metadata.name"}},
		"not YAML":               {"a: [", target, []string{"is not YAML"}},
		"empty":                  {"  \n", target, []string{"is empty"}},
		"several":                {"apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\napiVersion: v1\nkind: A\nmetadata: {name: b}\n", target, []string{"share a target"}},
		"expression":             {"- {op: remove, path: /spec}", map[string]any{"name": "("}, []string{"missing closing"}},
		"selector":               {"- {op: remove, path: /spec}", map[string]any{"labelSelector": "a in b"}, []string{"labelSelector: a in b"}},
		"name goes":              {"- {op: remove, path: /metadata/name}", target, []string{"takes kind or name away from"}},
		"laughs":                 {laughs(), nil, []string{"too many nodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			patch := map[string]any{"name": "render.patches[1]", "patch": test.patch}
			if test.target != nil {
				patch["target"] = test.target
			}
			kind := KindPatch
			if name == "laughs" {
				kind = KindLimit
			}
			failure := app.failsWith(t, map[string]any{"path": "app", "post": map[string]any{"patches": []map[string]any{patch}}}, kind, "render.patches[1]", test.words...)
			t.Log(failure.Message)
		})
	}
}

func TestWhatPostCannotBeAppliedToIsNamed(t *testing.T) {
	labels := map[string]any{"labels": map[string]any{"a": "b"}}
	for name, test := range map[string]struct {
		text string
		post map[string]any
		line int
		word string
	}{
		"no name":     {"---\nkind: A\nmetadata: {generateName: a-}\n", labels, 2, "missing metadata.name"},
		"no kind":     {"metadata: {name: a}\n", labels, 1, "missing kind"},
		"no object":   {"- a\n", labels, 1, "it is no object"},
		"labels":      {"kind: A\nmetadata: {name: a, labels: [x]}\n", labels, 1, "labels"},
		"given twice": {configMap + "---\n" + configMap + "data: {a: b}\n", map[string]any{"namePrefix": "x-"}, 5, "another object of this name is in docs/a.yaml"},
		"not YAML":    {"kind: A\n b: c\n", labels, 1, "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			failure := snapshot{"docs/a.yaml": test.text}.failsWith(t, map[string]any{"path": ".", "post": test.post}, KindPost, "docs/a.yaml", test.word)
			if failure.Line != test.line {
				t.Errorf("want line %d, got %+v", test.line, failure)
			}
			t.Log(failure.Message)
		})
	}
}
