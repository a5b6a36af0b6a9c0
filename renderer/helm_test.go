package main

import (
	"slices"
	"strings"
	"testing"
)

func TestHooksAreNoDocumentsAndKeepTheirOrder(t *testing.T) {
	response := shop(t).renders(t, map[string]any{"path": "shop", "helm": map[string]any{"skipTests": true}})
	var names []string
	for _, hook := range response.Hooks {
		names = append(names, hook.Kind+"/"+hook.Name)
	}
	if want := []string{"ServiceAccount/migrate", "Job/migrate", "Job/goodbye"}; !slices.Equal(names, want) {
		t.Fatalf("want the hooks %v, got %v", want, names)
	}
	job := response.Hooks[1]
	if !slices.Equal(job.Events, []string{"pre-install", "pre-upgrade"}) || job.Weight != -5 ||
		!slices.Equal(job.DeletePolicies, []string{"before-hook-creation", "hook-succeeded"}) {
		t.Errorf("want events, weight and policies of the chart, got %+v", job)
	}
	if job.File != "shop/templates/hooks.yaml" || job.Source != "shop/templates/hooks.yaml" {
		t.Errorf("want the file of the hook, got %+v", job)
	}
	for _, document := range response.Documents {
		if strings.Contains(document.YAML, "helm.sh/hook") || strings.Contains(document.Source, "NOTES.txt") {
			t.Errorf("%s is no manifest", document.Source)
		}
	}
	all := shop(t).renders(t, map[string]any{"path": "shop"})
	if len(all.Hooks) != 4 {
		t.Errorf("want the test as a fourth hook, got %d", len(all.Hooks))
	}
}

func TestEveryDocumentNamesItsFileInTheTree(t *testing.T) {
	response := shop(t).renders(t, map[string]any{"path": "shop", "helm": map[string]any{
		"includeCRDs": true, "valuesFiles": []string{"shop/values-prod.yaml"}}})
	want := map[string]string{
		"shop/crds/coupons.yaml":                                "shop/crds/coupons.yaml",
		"shop/charts/sessions/crds/caches.yaml":                 "shop/charts/cache/crds/caches.yaml",
		"shop/charts/sessions/templates/statefulset.yaml":       "shop/charts/cache/templates/statefulset.yaml",
		"shop/charts/search/templates/service.yaml":             "shop/charts/search-2.0.0.tgz",
		"shop/charts/search/charts/index/templates/config.yaml": "shop/charts/search-2.0.0.tgz",
	}
	for _, document := range response.Documents {
		if document.File == "" {
			t.Errorf("%s has no file", document.Source)
		}
		if file, found := want[document.Source]; found {
			if document.File != file {
				t.Errorf("want the file %s of %s, got %s", file, document.Source, document.File)
			}
			delete(want, document.Source)
		}
	}
	if len(want) > 0 {
		t.Errorf("documents are missing: %v", want)
	}
	for _, read := range []string{"shop/values-prod.yaml", "shop/Chart.yaml", "shop/charts/search-2.0.0.tgz", "shop/.helmignore"} {
		if !slices.Contains(response.Read, read) {
			t.Errorf("%s is not among what was read", read)
		}
	}
	if !slices.Contains(response.Listed, "shop") || slices.Contains(response.Read, "search/Chart.yaml") {
		t.Errorf("want the chart and nothing beside it, got %v and %v", response.Listed, response.Read)
	}
}

// lookedUp returns a field of the ConfigMap that shows what was looked up.
func lookedUp(t *testing.T, response *Response, key string) string {
	t.Helper()
	for _, document := range response.Documents {
		if document.Source != "shop/templates/lookup.yaml" {
			continue
		}
		for line := range strings.Lines(document.YAML) {
			if value, found := strings.CutPrefix(strings.TrimSpace(line), key+": "); found {
				return strings.Trim(value, `"`)
			}
		}
	}
	t.Fatalf("nothing was looked up for %s", key)
	return ""
}

func TestLookupIsAnsweredByTheRequest(t *testing.T) {
	files := shop(t)
	first := files.renders(t, map[string]any{"path": "shop", "helm": map[string]any{"namespace": "shops"}})
	want := []Lookup{
		{LookupQuestion{"v1", "Secret", "shops", "shop-token"}, false},
		{LookupQuestion{"v1", "Node", "", ""}, false},
	}
	if !slices.Equal(first.Lookups, want) {
		t.Fatalf("want the questions %v, got %v", want, first.Lookups)
	}
	if token := lookedUp(t, first, "token"); token != "none" {
		t.Errorf("want an empty answer, got %q", token)
	}

	second := files.renders(t, map[string]any{"path": "shop", "helm": map[string]any{"namespace": "shops"}, "lookups": []map[string]any{
		{"apiVersion": "v1", "kind": "Secret", "namespace": "shops", "name": "shop-token",
			"object": map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"token": "c2VjcmV0"}}},
		{"apiVersion": "v1", "kind": "Node", "items": []map[string]any{{"kind": "Node"}, {"kind": "Node"}}},
	}})
	if token, nodes := lookedUp(t, second, "token"), lookedUp(t, second, "nodes"); token != "c2VjcmV0" || nodes != "2" {
		t.Errorf("want the answers, got %q and %q", token, nodes)
	}
	for _, lookup := range second.Lookups {
		if !lookup.Answered {
			t.Errorf("%v was answered", lookup)
		}
	}

	absent := files.renders(t, map[string]any{"path": "shop", "helm": map[string]any{"namespace": "shops"}, "lookups": []map[string]any{
		{"apiVersion": "v1", "kind": "Secret", "namespace": "shops", "name": "shop-token", "object": nil}}})
	if !absent.Lookups[0].Answered || lookedUp(t, absent, "token") != "none" {
		t.Errorf("want it answered that there is none, got %v", absent.Lookups[0])
	}
	files.failsWith(t, map[string]any{"path": "shop", "helm": map[string]any{"namespace": "shops"}, "lookups": []map[string]any{
		{"apiVersion": "v1", "kind": "Secret", "namespace": "shops", "name": "shop-token", "error": "secrets is forbidden"}}},
		KindTemplate, "shop/templates/lookup.yaml", "secrets is forbidden")
}

func TestNoHostIsLookedUp(t *testing.T) {
	response := shop(t).renders(t, map[string]any{"path": "shop"})
	if host := lookedUp(t, response, "dns"); host != "" {
		t.Errorf("getHostByName returned %q", host)
	}
}

func TestValuesFromTheClusterLieBetweenFilesAndTheSync(t *testing.T) {
	response := shop(t).renders(t, map[string]any{"path": "shop", "helm": map[string]any{
		"valuesFiles": []string{"shop/values-prod.yaml"},
		"extraValues": []map[string]any{{"name": "ConfigMap shop/values key values.yaml", "yaml": "replicas: 11\ngreeting: from the cluster\n"}},
		"values":      map[string]any{"greeting": "from the sync"},
	}})
	all := asHelmPrints(response)
	for _, want := range []string{"replicas: 11\n", `greeting: "from the sync"`, "shop:4.1.3\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("want %q in the output", want)
		}
	}
}

func TestExactVersionsReplaceThoseThatHelmKnows(t *testing.T) {
	response := shop(t).renders(t, map[string]any{"path": "shop", "helm": map[string]any{"apiVersionsExact": true, "apiVersions": []string{"v1"}}})
	if all := asHelmPrints(response); !strings.Contains(all, `policy: "false"`) {
		t.Error("policy/v1 is served though it was not named")
	}
}

func TestErrorsOfChartsKeepTheirPlace(t *testing.T) {
	files := directory(t, "testdata/charts/errors").with(snapshot{
		"badvalues/Chart.yaml":                  "apiVersion: v2\nname: badvalues\nversion: 0.1.0\n",
		"badvalues/values.yaml":                 "a: 1\nb: [\n",
		"badchart/Chart.yaml":                   "apiVersion: v2\nname: badchart\n  version: 0.1.0\n",
		"noversion/Chart.yaml":                  "apiVersion: v2\nname: noversion\n",
		"empty/README.md":                       "no chart\n",
		"library/Chart.yaml":                    "apiVersion: v2\nname: library\nversion: 0.1.0\ntype: library\n",
		"prod.yaml":                             "a: {b: [1, 2}\n",
		"list.yaml":                             "- a\n",
		"outer/Chart.yaml":                      "apiVersion: v2\nname: outer\nversion: 0.1.0\n",
		"outer/charts/inner/Chart.yaml":         "apiVersion: v2\nname: inner\nversion: 0.1.0\n",
		"outer/charts/inner/templates/in.yaml":  "kind: {{ .Values.a.b.c }}\n",
		"outer/charts/inner/values.schema.json": `{"properties":{"size":{"type":"integer"}}}`,
		"tpl/Chart.yaml":                        "apiVersion: v2\nname: tpl\nversion: 0.1.0\n",
		"tpl/templates/a.yaml":                  "kind: A\n\nname: {{ tpl \"{{ .Values.x.y.z }}\" . }}\n",
		"deep/Chart.yaml":                       "apiVersion: v2\nname: deep\nversion: 0.1.0\n",
		"deep/templates/a.yaml":                 "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}\n",
		"bytes/Chart.yaml":                      "apiVersion: v2\nname: bytes\nversion: 0.1.0\n",
		"bytes/data.bin":                        "\xff\xfe",
		"bytes/templates/a.yaml":                "kind: A\n# {{ .Files.Get \"data.bin\" }}\n",
	})
	cases := []struct {
		path, kind, file, message string
		line, column              int
		template, chart, key      string
		helm                      map[string]any
	}{
		{path: "parse", kind: KindTemplate, file: "parse/templates/broken.yaml", message: "missing value for if", line: 3, template: "parse-chart/templates/broken.yaml", chart: "parse-chart"},
		{path: "exec", kind: KindTemplate, file: "exec/templates/exec.yaml", message: "nil pointer", line: 3, column: 18, template: "exec-chart/templates/exec.yaml", chart: "exec-chart", key: "database.host.name"},
		{path: "nested", kind: KindTemplate, file: "nested/templates/_parts.tpl", message: "nil pointer", line: 2, column: 11, template: "nested-chart/templates/service.yaml", chart: "nested-chart", key: "service.port.number"},
		{path: "failing", kind: KindTemplate, file: "failing/templates/x.yaml", message: "choose a size: small or large", line: 1, column: 3, template: "failing-chart/templates/x.yaml", chart: "failing-chart"},
		{path: "required", kind: KindTemplate, file: "required/templates/x.yaml", message: "name has to be set", line: 3, column: 11, template: "required-chart/templates/x.yaml", chart: "required-chart"},
		{path: "tpl", kind: KindTemplate, file: "tpl/templates/a.yaml", message: "nil pointer", line: 3, column: 9, template: "tpl/templates/a.yaml", chart: "tpl", key: "x.y.z"},
		{path: "deep", kind: KindTemplate, file: "deep/templates/a.yaml", message: "nested reference name", line: 1, template: "deep/templates/a.yaml", chart: "deep"},
		{path: "outer", kind: KindTemplate, file: "outer/charts/inner/templates/in.yaml", message: "nil pointer", line: 1, column: 16, template: "outer/charts/inner/templates/in.yaml", chart: "inner", key: "a.b.c"},
		{path: "outer", kind: KindSchema, file: "outer/charts/inner/values.schema.json", message: "got string, want integer", chart: "inner", key: "inner.size", helm: map[string]any{"values": map[string]any{"inner": map[string]any{"size": "big"}}}},
		{path: "notyaml", kind: KindYAML, file: "notyaml/templates/x.yaml", message: "YAML parse error on notyaml-chart/templates/x.yaml", template: "notyaml-chart/templates/x.yaml", chart: "notyaml-chart"},
		{path: "bytes", kind: KindYAML, file: "bytes/templates/a.yaml", message: "UTF-8", template: "bytes/templates/a.yaml", chart: "bytes"},
		{path: "missing", kind: KindDependency, file: "missing/Chart.yaml", message: "postgresql has the version \"16.x.x\", which is not a single one", line: 5, chart: "missing-chart"},
		{path: "v3", kind: KindChart, file: "v3/Chart.yaml", message: `apiVersion "v3"`},
		{path: "oldkube", kind: KindVersion, file: "oldkube/Chart.yaml", message: "incompatible with Kubernetes v1.35.0", chart: "oldkube-chart", helm: map[string]any{"kubeVersion": "v1.35.0"}},
		{path: "badvalues", kind: KindChart, file: "badvalues/values.yaml", message: "cannot load values.yaml", line: 2},
		{path: "badchart", kind: KindChart, file: "badchart/Chart.yaml", message: "cannot load Chart.yaml", line: 3},
		{path: "noversion", kind: KindChart, file: "noversion/Chart.yaml", message: "chart.metadata.version is required"},
		{path: "library", kind: KindChart, file: "library/Chart.yaml", message: "library charts are not installable", chart: "library"},
		{path: "empty", kind: KindChart, file: "empty", message: "Chart.yaml file is missing"},
		{path: "nowhere", kind: KindPath, file: "nowhere", message: "not in the repository"},
		{path: "exec", kind: KindValues, file: "prod.yaml", message: "did not find expected", helm: map[string]any{"valuesFiles": []string{"prod.yaml"}}},
		{path: "exec", kind: KindValues, file: "list.yaml", message: "cannot unmarshal", helm: map[string]any{"valuesFiles": []string{"list.yaml"}}},
		{path: "exec", kind: KindPath, file: "none.yaml", message: "not in the repository", helm: map[string]any{"valuesFiles": []string{"none.yaml"}}},
		{path: "exec", kind: KindOutside, file: "../secrets.yaml", message: "leaves the repository", helm: map[string]any{"valuesFiles": []string{"../secrets.yaml"}}},
		{path: "exec", kind: KindSettings, message: "release name", helm: map[string]any{"releaseName": "Not A Name"}},
		{path: "exec", kind: KindSettings, message: "kubeVersion", helm: map[string]any{"kubeVersion": "new"}},
	}
	for _, test := range cases {
		t.Run(test.path+" "+test.kind, func(t *testing.T) {
			request := map[string]any{"path": test.path, "renderer": "helm"}
			if test.helm != nil {
				request["helm"] = test.helm
			}
			failure := files.failsWith(t, request, test.kind, test.file, test.message)
			if failure.Line != test.line || test.column != 0 && failure.Column != test.column ||
				failure.Template != test.template || failure.Chart != test.chart || failure.ValuesKey != test.key {
				t.Errorf("want line %d, column %d, template %q, chart %q, key %q, got %+v", test.line, test.column, test.template, test.chart, test.key, failure)
			}
			request["twice"] = true
			if again := files.failsWith(t, request, test.kind, test.file); *again != *failure {
				t.Errorf("want %+v with a second render, too, got %+v", failure, again)
			}
		})
	}
}

func TestASchemaErrorNamesTheValueInHelmsWords(t *testing.T) {
	files := shop(t)
	failure := files.failsWith(t, map[string]any{"path": "shop", "helm": map[string]any{"values": map[string]any{"replicas": 0}}},
		KindSchema, "shop/values.schema.json", "minimum: got 0, want 1")
	if failure.ValuesKey != "replicas" || failure.Chart != "shop" {
		t.Errorf("want the key and the chart, got %+v", failure)
	}
}

func TestErrorsDoNotShowSecretValues(t *testing.T) {
	failure := shop(t).failsWith(t, map[string]any{"path": "shop", "helm": map[string]any{
		"extraValues": []map[string]any{{"name": "Secret shop/values key values.yaml", "yaml": "hunter2"}}}},
		KindValues, "Secret shop/values key values.yaml")
	if strings.Contains(failure.Message, "hunter2") {
		t.Errorf("the message shows the value: %s", failure.Message)
	}
}
