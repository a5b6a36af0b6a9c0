package main

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// repeating is a chart whose documents give keys twice.
var repeating = snapshot{
	"Chart.yaml": "apiVersion: v2\nname: twice\nversion: 0.1.0\n",
	"crds/crd.yaml": "# generated\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: a.example.com\n---\n" +
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: b.example.com\nspec:\n  scope: Cluster\n  scope: Namespaced\n",
	"templates/web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels:
    app: {{ .Chart.Name }}   # the name
    app: other
    "app": third
spec:
  replicas: 1
  template:
    spec:
      containers: [{name: a, name: b}]
  replicas: 0x10
  text: >-
    one
    two
  quoted: "yes"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: fine}
data:
  a: |
    x: 1
    x: 2
`,
	"templates/hook.yaml":   "apiVersion: v1\nkind: Pod\nmetadata:\n  name: hook\n  annotations:\n    helm.sh/hook: post-delete\n    helm.sh/hook: pre-install\n",
	"templates/anchor.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anchor}\ndata:\n  a: &x one\n  b: *x\n  a: two\n",
}

// asHelmInstallReads returns a document as JSON, read by what `helm install`
// reads manifests with: k8s.io/cli-runtime's builder goes through this decoder.
func asHelmInstallReads(t testing.TB, text string) string {
	t.Helper()
	var object map[string]any
	if err := kubeyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096).Decode(&object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestTheLastOfAKeyGivenTwiceWinsAsInHelmInstall(t *testing.T) {
	printed, err := official(t, repeating.write(t), "helm", "template", "--include-crds", "release-name", ".")
	if err != nil {
		t.Fatal(err)
	}
	response := repeating.renders(t, map[string]any{"path": ".", "helm": map[string]any{"includeCRDs": true}})
	var got []string
	for _, text := range textsOf(response) {
		for _, part := range splitStream(text) {
			got = append(got, part.text)
		}
	}
	want := splitStream(printed)
	if len(want) != len(got) {
		t.Fatalf("want %d documents, got %d", len(want), len(got))
	}
	for i := range want {
		if original, ours := asHelmInstallReads(t, want[i].text), asHelmInstallReads(t, got[i]); original != ours {
			t.Errorf("want %s\ngot  %s", original, ours)
		}
		var strict map[string]any
		if err := yaml.Unmarshal([]byte(got[i]), &strict); err != nil {
			t.Errorf("a strict reader refuses the document: %v", err)
		}
	}
	all := strings.Join(got, "\n")
	for _, line := range []string{"replicas: 0x10", `quoted: "yes"`, "helm.sh/hook: pre-install"} {
		if !strings.Contains(all, line) {
			t.Errorf("want %q kept in\n%s", line, all)
		}
	}
	if hook := response.Hooks[0]; len(hook.Events) != 1 || hook.Events[0] != "pre-install" {
		t.Errorf("want the last event, got %v", hook.Events)
	}
	warnings := strings.Join(response.Warnings, "\n")
	for _, warning := range []string{
		"twice/crds/crd.yaml", "crds/crd.yaml (twice/crds/crd.yaml):14: the key spec.scope is given twice",
		"templates/web.yaml (twice/templates/web.yaml): line 7 of what it renders: the key metadata.labels.app is given twice; the last one wins, as with helm install",
		"line 8 of what it renders: the key metadata.labels.app", "line 14 of what it renders: the key spec.replicas",
		"line 13 of what it renders: the key spec.template.spec.containers.0.name",
		"templates/hook.yaml (twice/templates/hook.yaml): line 7 of what it renders: the key metadata.annotations.helm.sh/hook",
	} {
		if !strings.Contains(warnings, warning) {
			t.Errorf("want the warning %q among\n%s", warning, warnings)
		}
	}
	for _, document := range response.Documents {
		if strings.Contains(document.YAML, "name: fine") && !strings.Contains(document.YAML, "  a: |\n    x: 1\n    x: 2\n") {
			t.Errorf("a document without duplicates was changed: %s", document.YAML)
		}
	}
}

// missed reports whether the scanner misses a key that is given twice.
func missed(text string) bool {
	if mayRepeatKeys(text) {
		return false
	}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var root yaml.Node
		if decoder.Decode(&root) != nil {
			return false
		}
		if len(repeatedKeys(&root)) > 0 {
			return true
		}
	}
}

func TestTheScannerMissesNoDuplicate(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	words := []string{"a", "b", "a", `"a"`, "'a'", "a b", "1", "0x1", "true", "yes", "#", "a#", "- a", "{a: 1, a: 2}", "[a, b]", "[{a: 1, a: 1}]", "{}", "[a, 'b', \"c\"]", "{a: 1, b: 'x'}", "{a: 1,", "b: 2}", "['a, b]", "[a, \"]\"]", "{a: b: c}", "{a}", "|", ">-", "|2", "&x", "*x", "!!str", `"a`, `a"`, "'", "it's", "'tis", "is'", "''", `\"`, "more text", `{"a":1,"a":2}`, "<<", "? a", "http://x", "a:b", "\t", "\r", "---", "...", "\u2028", "~", "-", ": a", "%a"}
	separators := []string{": ", ": ", ": ", ":", ":\n", ": |\n", ": >\n", " ", ":\t", " : ", ": # x"}
	scanned := 0
	for range 300_000 {
		var text strings.Builder
		for range 2 + random.Intn(7) {
			text.WriteString(strings.Repeat(" ", random.Intn(3)*random.Intn(3)))
			text.WriteString(strings.Repeat("- ", random.Intn(2)*random.Intn(3)))
			text.WriteString(words[random.Intn(len(words))%(3+random.Intn(len(words)))])
			if random.Intn(5) > 0 {
				text.WriteString(separators[random.Intn(len(separators))])
				text.WriteString(words[random.Intn(len(words))])
			}
			text.WriteString("\n")
		}
		if !mayRepeatKeys(text.String()) {
			scanned++
		}
		if missed(text.String()) {
			t.Fatalf("missed in %q", text.String())
		}
	}
	if scanned < 10_000 {
		t.Errorf("only %d texts were taken for safe", scanned)
	}
}

func TestTheScannerReadsTextOfSeveralLines(t *testing.T) {
	for text, mayRepeat := range map[string]bool{
		"a: 'one: two\n  three''s\n\n  b: four'  # end\nb: 1\n":       false,
		"a: \"one \\\n  \\\" two\n  b: three\"\nb: 1\n":               false,
		"a:\n  - 'one\n\n    b: two'\n  - c: \"x\n      c: y\"\n":     false,
		"a:\n  'one\n   two'\nb: 1\n":                                 false,
		"a: one\n  `two` [three]\n\n  'tis & more\nb: 1\n":            false,
		"a: one\n  - two\nb: 1\n":                                     false,
		"- one\n  'tis\n- a: 1\n":                                     false,
		"a: one # two\n# three\nb: isn't\n":                           false,
		"a: 'one\n  two'\na: 1\n":                                     true,
		"a: one\n  'tis\na: isn't\n":                                  true,
		"a:\n  one\n  'tis\nb: 1\nc: x'\nb: 2\n":                      true,
		"a: one\n  two: three\n":                                      true,
		"a: 'one\n  two' : three\n":                                   true,
		"a: 'one\n---\na: 1\n":                                        true,
		"k:\n  -\n    text\n  - {\"a\":1,\"a\":2}\n":                  true,
		"a: one # two\n  'tis\nb: 1\n":                                false, // no YAML at all
		"description: |\n  'one\nb: \"x\n  y\"\nc: >-\n  \"z\nd: 1\n": false,
	} {
		if got := mayRepeatKeys(text); got != mayRepeat {
			t.Errorf("want %v for %q", mayRepeat, text)
		}
	}
}

// TestTheScannerKnowsOrdinaryManifests keeps it fast: what it does not know has
// to be parsed.
func TestTheScannerKnowsOrdinaryManifests(t *testing.T) {
	known, all := 0, 0
	err := filepath.WalkDir("testdata", func(name string, entry os.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil || strings.Contains(string(data), "{") {
			return err
		}
		if all++; !mayRepeatKeys(string(data)) {
			known++
		} else {
			t.Log(name)
		}
		return nil
	})
	if err != nil || known*10 < all*8 {
		t.Errorf("%d of %d files are known, %v", known, all, err)
	}
}

func TestACommentedCopyOfADocumentStaysAsItIs(t *testing.T) {
	text := `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a"}, "spec": {"scope": "Cluster", "scope": "Namespaced"}}` + "\n"
	files := snapshot{"Chart.yaml": repeating["Chart.yaml"], "crds/a.yaml": "# " + text + "---\n" + text}
	response := files.renders(t, map[string]any{"path": ".", "helm": map[string]any{"includeCRDs": true}})
	if got := response.Documents[0].YAML; !strings.HasPrefix(got, "# "+text+"---\n") || strings.HasSuffix(got, text) {
		t.Errorf("want the document without its first scope, got %s", got)
	}
}
