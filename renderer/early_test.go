package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// earlyRender renders a chart with documents sent early: those, and the response.
func (s snapshot) earlyRender(t *testing.T, request map[string]any) (early []Document, response *Response) {
	t.Helper()
	request["early"] = true
	got := start(t, s.archive(t, request))
	if got.exit != 0 || len(got.stderr) > 0 || !bytes.HasSuffix(got.stdout, []byte("}\n")) {
		t.Fatalf("exit code %d, stderr %q", got.exit, got.stderr)
	}
	lines := bytes.Split(bytes.TrimSuffix(got.stdout, []byte("\n")), []byte("\n"))
	decode := func(line []byte, into any) {
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
	}
	for _, line := range lines[:len(lines)-1] {
		var sent struct {
			Early []Document `json:"early"`
		}
		decode(line, &sent)
		if len(sent.Early) == 0 {
			t.Errorf("nothing is sent by %s", line)
		}
		early = append(early, sent.Early...)
	}
	response = &Response{}
	decode(lines[len(lines)-1], response)
	return early, response
}

const definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.com}\n"

// earlyChart has definitions, a hook and something random.
func earlyChart() snapshot {
	return snapshot{
		"Chart.yaml":            "apiVersion: v2\nname: c\nversion: 1.0.0\n",
		"crds/a.yaml":           definition + "---\n" + definition,
		"templates/a.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: {{ randAlphaNum 9 }}}\n",
		"templates/b.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: {{ .Values.b | default \"b\" }}}\n",
		"templates/hook.yaml":   "apiVersion: v1\nkind: Pod\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n",
		"templates/_helper.tpl": "",
	}
}

func TestDocumentsThatAreSentEarlyAreTheFirstOnesOfTheResponse(t *testing.T) {
	request := func() map[string]any {
		return map[string]any{"renderer": "helm", "path": ".", "twice": true, "helm": map[string]any{"includeCRDs": true}}
	}
	files := earlyChart()
	delete(files, "templates/a.yaml") // the rest is not random
	whole := files.renders(t, request())
	early, rest := files.earlyRender(t, request())
	if rest.Sent != len(early) || len(early) != 3 || len(rest.Documents) != 0 {
		t.Errorf("%d documents were sent early, %d by the response, which says %d", len(early), len(rest.Documents), rest.Sent)
	}
	rest.Documents, rest.Sent = append(early, rest.Documents...), 0
	if !reflect.DeepEqual(rest, whole) {
		t.Errorf("want %+v\ngot  %+v", whole, rest)
	}

	early, rest = earlyChart().earlyRender(t, request())
	if len(early) != 4 || rest.Sent != 4 || len(rest.Again) != 1 || rest.Again[0].Index != 2 || len(rest.Hooks) != 1 {
		t.Errorf("want the second render of document 2 of 4, got %+v of %d", rest.Again, len(early))
	}
}

func TestWhatIsSentEarlyCountsForNothingBesideAnError(t *testing.T) {
	for name, template := range map[string]string{
		"in the first render":  "{{ fail \"no\" }}",
		"no YAML":              "a: [",
		"in the second render": "{{ if ne (now | unixEpoch) \"0\" }}{{ end }}{{ include \"missing\" . }}",
	} {
		t.Run(name, func(t *testing.T) {
			files := earlyChart().with(snapshot{"templates/z.yaml": template})
			early, rest := files.earlyRender(t, map[string]any{"renderer": "helm", "path": ".", "twice": true, "helm": map[string]any{"includeCRDs": true}})
			if rest.Error == nil || rest.Sent != 0 || len(rest.Documents) != 0 {
				t.Errorf("want an error and nothing else, got %+v", rest)
			}
			for _, document := range early {
				if !strings.Contains(document.YAML, "CustomResourceDefinition") {
					t.Errorf("%s was sent", document.Source)
				}
			}
		})
	}
}

func TestNothingIsSentEarlyThatPostMayChange(t *testing.T) {
	early, rest := earlyChart().earlyRender(t, map[string]any{"renderer": "helm", "path": ".", "twice": true,
		"helm": map[string]any{"includeCRDs": true}, "post": map[string]any{"labels": map[string]string{"a": "b"}}})
	if len(early) != 0 || rest.Sent != 0 || len(rest.Documents) != 4 {
		t.Errorf("%d documents were sent early, and %d at the end", len(early), len(rest.Documents))
	}
}
