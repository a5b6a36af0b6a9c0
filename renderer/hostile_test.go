package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// laughs is a YAML document that expands to 9^9 strings.
func laughs() string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: laughs}\nl0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n")
	for i := range 9 {
		fmt.Fprintf(&text, "l%d: &l%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i), 9), ", "))
	}
	return text.String()
}

// hiddenLaughs is one whose anchors follow signs without a blank.
func hiddenLaughs() string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  l0: {?&l0 [a, a, a, a, a, a, a, a, a] : v}\n")
	for i := range 6 {
		fmt.Fprintf(&text, "  l%d: {?&l%d [%s] : v}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d ,", i), 9), ","))
	}
	return text.String()
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func TestNothingRemoteIsUsedInOtherFields(t *testing.T) {
	for name, text := range map[string]string{
		"crds[0]":                        "resources: [a.yaml]\ncrds: ['http://example.com/crd.json']",
		"configurations[0]":              "resources: [a.yaml]\nconfigurations: ['HTTPS://example.com/c.yaml']",
		"openapi.path":                   "resources: [a.yaml]\nopenapi: {path: 'https://example.com/schema.json'}",
		"patches[0].path":                "resources: [a.yaml]\npatches: [{path: 'https://example.com/p.yaml'}]",
		"patchesStrategicMerge[0]":       "resources: [a.yaml]\npatchesStrategicMerge: ['https://example.com/p.yaml']",
		"patchesJson6902[0].path":        "resources: [a.yaml]\npatchesJson6902: [{path: 'https://example.com/p.yaml', target: {kind: ConfigMap, name: a}}]",
		"replacements[0].path":           "resources: [a.yaml]\nreplacements: [{path: 'https://example.com/r.yaml'}]",
		"configMapGenerator[0].files[1]": "configMapGenerator: [{name: b, files: [a.yaml, 'k=https://example.com/f']}]",
		"secretGenerator[0].envs[0]":     "secretGenerator: [{name: b, envs: ['https://example.com/f']}]",
		"configMapGenerator[0].env":      "configMapGenerator: [{name: b, env: 'https://example.com/f'}]",
		"generators[0]":                  "resources: [a.yaml]\ngenerators: ['https://example.com/g.yaml']",
		"transformers[0]":                "resources: [a.yaml]\ntransformers: ['ssh://git@example.com/org/repo']",
		"validators[0]":                  "resources: [a.yaml]\nvalidators: ['git::https://example.com/org/repo']",
	} {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"top/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": text + "\n", "base/a.yaml": configMap}
			words := []string{"is remote", name, "keep a copy in the repository"}
			files.failsWith(t, map[string]any{"path": "top"}, KindRemote, "base/kustomization.yaml", words...)
		})
	}
}

func TestARemoteFileInAPluginIsRefused(t *testing.T) {
	files := snapshot{"kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]\n", "a.yaml": configMap,
		"t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: https://example.com/p.yaml\n"}
	if failure := files.failsWith(t, map[string]any{"path": "."}, KindRemote, "t.yaml", "https://example.com/p.yaml"); failure.Line != 4 {
		t.Errorf("want line 4, got %+v", failure)
	}
}

func TestPluginsFunctionsAndChartsAreOff(t *testing.T) {
	function := "apiVersion: example.com/v1\nkind: Fn\nmetadata:\n  name: fn\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: /bin/sh}\n"
	for name, test := range map[string]struct{ text, file, word string }{
		"exec function":       {"transformers: [fn.yaml]", "fn.yaml", "plugin or function"},
		"generator":           {"generators: [fn.yaml]", "fn.yaml", "plugin or function"},
		"inline validator":    {"validators: [\"apiVersion: example.com/v1\\nkind: Fn\\nmetadata: {name: fn}\\n\"]", "kustomization.yaml", "plugin or function"},
		"directory":           {"generators: [plugins]", "plugins/fn.yaml", "plugin or function"},
		"charts":              {"helmCharts: [{name: redis, repo: 'https://charts.example.com'}]", "kustomization.yaml", "helmCharts[0] (redis) is off"},
		"charts, deprecated":  {"helmChartInflationGenerator: [{chartName: redis}]", "kustomization.yaml", "helmChartInflationGenerator[0] (redis) is off"},
		"charts as a builtin": {"generators: [chart.yaml]", "chart.yaml", "HelmChartInflationGenerator (redis) is off"},
	} {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"kustomization.yaml": "resources: [a.yaml]\n" + test.text + "\n", "a.yaml": configMap, "fn.yaml": function,
				"plugins/kustomization.yaml": "resources: [fn.yaml]\n", "plugins/fn.yaml": function,
				"chart.yaml": "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: c}\nname: redis\n"}
			words := []string{test.word}
			if strings.Contains(name, "charts") {
				words = append(words, "render.kustomize.helmCharts is true")
			}
			files.failsWith(t, map[string]any{"path": "."}, KindDisabled, test.file, words...)
		})
	}
}

func TestInlinePluginsAreCheckedWhateverBreaksTheirLines(t *testing.T) {
	chart := snapshot{"charts/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "charts/c/values.yaml": "a: 1\n", "charts/c/templates/a.yaml": configMap}
	for name, lineBreak := range map[string]string{"LF": `\n`, "CR": `\r`, "CRLF": `\r\n`, "NEL": `\N`, "LS": `\L`, "PS": `\P`} {
		t.Run(name, func(t *testing.T) {
			inline := func(lines ...string) string { return `["` + strings.Join(lines, lineBreak) + lineBreak + `"]` + "\n" }
			files := chart.with(snapshot{"kustomization.yaml": "generators: " + inline("apiVersion: builtin", "kind: HelmChartInflationGenerator", "metadata:", "  name: x", "name: c", "releaseName: r")})
			files.failsWith(t, map[string]any{"path": "."}, KindDisabled, "kustomization.yaml", "HelmChartInflationGenerator (c) is off")
			files.renders(t, inflating("."))
			files = chart.with(snapshot{"kustomization.yaml": "generators: " + inline("apiVersion: builtin", "kind: ConfigMapGenerator", "metadata:", "  name: x", "files:", "- https://x.example/f")})
			files.failsWith(t, map[string]any{"path": "."}, KindRemote, "kustomization.yaml", "is remote")
		})
	}
}

func TestChartsAreOffForKustomizeItself(t *testing.T) {
	files := snapshot{"kustomization.yaml": "helmCharts: [{name: c}]\n", "charts/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "charts/c/values.yaml": ""}
	tree := newTree()
	for name, content := range files {
		if err := tree.addFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	mounts := newMounts(newRecord(tree, newFetched(nil)))
	_, err := runKustomize(mounts, ".", false)
	if err != nil {
		err = kustomizeFailure(mounts, ".", err)
	}
	if failure := asFailure(err); failure.Kind != KindDisabled || failure.File != "kustomization.yaml" || !strings.Contains(failure.Message, "helmCharts (c): it is off") {
		t.Errorf("want it to be off, got %+v", failure)
	}
}

func TestNoPathLeavesTheTree(t *testing.T) {
	for name, text := range map[string]string{
		"parent":              "resources: ['../../../../../../etc/hostname']",
		"parent, and back":    "resources: ['../../../tree/a.yaml']",
		"absolute":            "resources: [/etc/hostname]",
		"absolute, mounted":   "resources: [/tree/a.yaml]",
		"file of a generator": "configMapGenerator: [{name: b, files: ['../../../etc/passwd']}]",
		"patch":               "resources: [../a.yaml]\npatches: [{path: '../../p.yaml'}]",
	} {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"top/kustomization.yaml": text + "\n", "a.yaml": configMap}
			files.failsWith(t, map[string]any{"path": "top"}, KindOutside, "top/kustomization.yaml", "leaves the repository")
		})
	}
	files := snapshot{"kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]\n", "a.yaml": configMap,
		"t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: ../../../etc/passwd\n"}
	files.failsWith(t, map[string]any{"path": "."}, KindOutside, "t.yaml", "leaves the repository")
	files.failsWith(t, map[string]any{"path": "../x"}, KindOutside, "../x", "leaves the repository")
}

func TestNoSymbolicLinkLeavesTheTree(t *testing.T) {
	chart := snapshot{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n"}
	for name, target := range map[string]string{"absolute": "/etc/passwd", "relative": "../../../etc/passwd", "through another": "up/x", "to itself": "link"} {
		t.Run(name, func(t *testing.T) {
			at := "templates/link"
			if name == "through another" {
				at = "templates/up"
			}
			files := chart.with(snapshot{"templates/link": linkMark + target, "templates/up": linkMark + "../.."})
			if name != "through another" {
				delete(files, "templates/up")
			}
			files.failsWith(t, map[string]any{"path": "."}, KindSymlink, at)
			overlay := snapshot{"o/kustomization.yaml": "resources: [templates/link]\n", "o/templates/link": linkMark + target, "o/templates/up": linkMark + "../../.."}
			overlay.failsWith(t, map[string]any{"path": "o"}, KindSymlink, "o/"+at)
		})
	}
	files := snapshot{"deploy/a.yaml": configMap, "deploy/b.yaml": linkMark + "nothing.yaml"}
	files.failsWith(t, map[string]any{"path": "deploy"}, KindSymlink, "deploy/b.yaml", "leads to nothing")
}

func TestLinksThatMultiplyATreeEnd(t *testing.T) {
	files := snapshot{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n"}
	for i := range 20 {
		for j := range 4 {
			files[fmt.Sprintf("c/d%d/l%d", i, j)] = linkMark + fmt.Sprintf("../d%d", i+1)
		}
	}
	files["c/d20/x"] = "x"
	files.failsWith(t, map[string]any{"path": "c"}, KindLimit, "c", "multiply")
}

func TestABillionLaughsEnd(t *testing.T) {
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(laughs()), "\n", "\n    ")
	for name, files := range map[string]snapshot{
		"resource":      {"kustomization.yaml": "resources: [bad.yaml]\n", "bad.yaml": laughs()},
		"kustomization": {"kustomization.yaml": laughs()},
		"patch":         {"kustomization.yaml": "resources: [a.yaml]\npatches: [{path: bad.yaml}]\n", "a.yaml": configMap, "bad.yaml": laughs()},
		"inline patch":  {"kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: |-\n" + indented + "\n", "a.yaml": configMap},
		"plain":         {"bad.yaml": laughs()},
		"in flow style": {"kustomization.yaml": "resources: [bad.yaml]\n", "bad.yaml": hiddenLaughs()},
		"in itself":     {"kustomization.yaml": "resources: [bad.yaml]\n", "bad.yaml": configMap + "data: &d\n  a: *d\n"},
		"chart":         {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "templates/bad.yaml": laughs()},
		"values":        {"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "values.yaml": laughs()},
	} {
		t.Run(name, func(t *testing.T) {
			response := files.render(t, map[string]any{"path": "."})
			if response.Error == nil || response.Error.File == "" {
				t.Fatalf("want an error with a file, got %+v", response.Error)
			}
			t.Logf("%+v", response.Error)
		})
	}
}

func TestASchemaReadsNoFileAndNoHost(t *testing.T) {
	files := snapshot{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n", "templates/a.yaml": configMap,
		"values.schema.json": `{"properties": {"a": {"$ref": "file:///etc/passwd"}}}`}
	files.failsWith(t, map[string]any{"path": "."}, KindSchema, "values.schema.json", "file:///etc/passwd", "not read")
	files["values.schema.json"] = `{"properties": {"a": {"$ref": "other.json"}}}`
	files.failsWith(t, map[string]any{"path": "."}, KindSchema, "values.schema.json", "not read")
	files["values.schema.json"] = `{"properties": {"a": {"$ref": "https://example.com/schema.json#/definitions/a"}, "b": {"type": "string"}}}`
	response := files.renders(t, map[string]any{"path": ".", "helm": map[string]any{"values": map[string]any{"a": 1}}})
	if len(response.Warnings) != 1 || !strings.Contains(response.Warnings[0], "https://example.com/schema.json") {
		t.Errorf("want a warning about the schema, got %v", response.Warnings)
	}
}

func TestAnArchiveInArchivesWithoutEndIsRefused(t *testing.T) {
	inner := snapshot{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n"}
	inner["c/big"] = strings.Repeat("a", 90<<20)
	archive := packed(t, inner, "c")
	files := snapshot{"Chart.yaml": "apiVersion: v2\nname: top\nversion: 0.1.0\n"}
	for i := range 4 {
		files[fmt.Sprintf("charts/c%d.tgz", i)] = archive
	}
	files.failsWith(t, map[string]any{"path": "."}, KindLimit, "charts/c2.tgz", "256 MiB")
}

func TestTooMuchOutputIsRefused(t *testing.T) {
	files := snapshot{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
		"templates/a.yaml": "kind: A\ntext: {{ repeat 70000000 \"a\" }}\n"}
	files.failsWith(t, map[string]any{"path": "."}, KindLimit, "templates/a.yaml", "64 MiB")
}

func TestKeysGivenTwiceWithoutEndAreWarnedOfWithMeasure(t *testing.T) {
	deep := "a:\n"
	for depth := range 3000 {
		deep += strings.Repeat(" ", depth+1) + "a:\n"
	}
	files := snapshot{"Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
		"templates/a.yaml": configMap + "data:\n" + strings.Repeat("  a: b\n", 50_000),
		"templates/b.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: b}\nx: 1\nx: 2\n" + deep}
	response := files.renders(t, map[string]any{"path": "."})
	if len(response.Warnings) != maxWarnings {
		t.Errorf("want %d warnings, got %d", maxWarnings, len(response.Warnings))
	}
	files.renders(t, map[string]any{"path": ".", "post": map[string]any{"namePrefix": "x-", "labels": map[string]any{"a": "b"}}})
}

func TestAnchorsAreTakenForSuch(t *testing.T) {
	for text, may := range map[string]bool{
		"a: &x 1\nb: *x\n": true, "&x a: *x\n": true, "[&x 1,*x]": true, "{\"a\":&x 1, b: *x}": true, "- &x-1 a\n- *x-1\n": true, "a:\r&_ b\rc: *_": true, "a:\u2028&x 1\nb: *x": true,
		"{?&x a: 1, b: *x}": true, "[?&x a, *x]": true,
		"a: 1\n": false, "rule: self.a && self.b # *\n": false, "url: http://h/?a=1&b=2 *\n": false, "a: &x 1\n": false, "a: R&D, *bold*\n": false, "a: * & b": false,
	} {
		if got := mayHaveAliases([]byte(text)); got != may {
			t.Errorf("want %v for %q", may, text)
		}
	}
}

// TestNoSignHidesAnAnchor holds every sign that may stand before an anchor.
func TestNoSignHidesAnAnchor(t *testing.T) {
	frames := []string{"[%s&x c], *x]", "[%s&x c : d}, *x]", "{a: [b]%s&x c, d: *x}", "[%s&x c : d, *x]", "[a %s&x c, *x]", "{%s&x c : d, e: *x}", "{a%s&x c, e: *x}", "{\"a\"%s&x c, e: *x}", "{'a': 'b'%s&x c, e: *x}", "[*y%s&x c, *x]", "{*y %s&x c, *x}",
		"a%s&x b\nc: *x\n", "%s&x b: c\nd: *x\n", "a: %s&x b\nd: *x\n", "- a\n%s&x b\n- *x\n", "? a%s&x b\n: *x\n", "!t%s&x a: *x\n", "!<t>%s&x a: *x\n", "a: |%s&x\n", "--- %s&x a\n--- *x\n", "---%s&x {a: 1, b: *x}\n", "&y {a: 1}\n...%s&x {b: *y}\n"}
	var signs []string
	for sign := range 0x100 {
		signs = append(signs, string(rune(sign)))
	}
	signs = append(signs, "\u2028", "\u2029", "\u3000", "\ufeff", "\r\n", "", "- ", "-\t", "?\t", ":\t", "!", "! ", "#\n", "%", "\"\"", "''")
	found := map[string]bool{}
	for _, sign := range signs {
		for _, frame := range frames {
			text := fmt.Sprintf(frame, sign)
			var document yaml.Node
			if yaml.Unmarshal([]byte(text), &document) != nil || !hasAnchor(&document, "x") {
				continue
			}
			found[sign] = true
			if !mayHaveAliases([]byte(text)) {
				t.Errorf("the anchor in %q is overlooked", text)
			}
		}
	}
	if !found["?"] || !found[":"] || !found["\u2028"] || !found["["] {
		t.Errorf("the frames find anchors behind %d signs", len(found))
	}
}

func hasAnchor(root *yaml.Node, name string) bool {
	return root.Anchor == name || slices.ContainsFunc(root.Content, func(node *yaml.Node) bool { return hasAnchor(node, name) })
}
