package main

import (
	"maps"
	"strings"
	"testing"
)

// sameAsHelm compares a chart with what `helm template` prints for it.
func sameAsHelm(t *testing.T, files snapshot, chart string, settings map[string]any, arguments ...string) *Response {
	t.Helper()
	want, err := official(t, files.write(t), "helm", append([]string{"template", "release-name", chart}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	request := map[string]any{"path": chart}
	if settings != nil {
		request["helm"] = settings
	}
	response := files.renders(t, request)
	equal(t, want, asHelmPrints(response))
	request["twice"] = true
	equal(t, want, asHelmPrints(files.renders(t, request)))
	return response
}

// bazaar is a chart of what the chart shop does not have: aliases of one
// dependency, a chart of version 1 in it, hooks of subcharts, files, and most of
// the template functions.
func bazaar(t *testing.T) snapshot {
	t.Helper()
	files := snapshot{"bazaar/big.iso": strings.Repeat("0123456789abcdef", 1<<17)}
	for name, content := range directory(t, "testdata/charts/bazaar") {
		files["bazaar/"+name] = content
	}
	return files
}

func TestWhatChartsCanHoldRendersAsHelmTemplateDoes(t *testing.T) {
	for name, test := range map[string]struct {
		settings  map[string]any
		arguments []string
	}{
		"defaults":          {},
		"CRDs":              {map[string]any{"includeCRDs": true}, []string{"--include-crds"}},
		"a condition":       {map[string]any{"values": map[string]any{"old": map[string]any{"enabled": false}}}, []string{"--set", "old.enabled=false"}},
		"the second of two": {map[string]any{"values": map[string]any{"stalls": map[string]any{"enabled": false}}}, []string{"--set", "stalls.enabled=false"}},
		"the first of two":  {map[string]any{"values": map[string]any{"fruit": map[string]any{"enabled": false}}}, []string{"--set", "fruit.enabled=false"}},
		"tags":              {map[string]any{"values": map[string]any{"tags": map[string]any{"stalls": false, "nested": false}, "stalls": nil}}, []string{"--set-json", `{"tags":{"stalls":false,"nested":false},"stalls":null}`}},
		"values that delete": {map[string]any{"values": map[string]any{"fruit": map[string]any{"names": []string{"plum"}, "settings": map[string]any{"b": nil}}, "global": map[string]any{"labels": nil}}},
			[]string{"--set-json", `{"fruit":{"names":["plum"],"settings":{"b":null}},"global":{"labels":null}}`}},
		"no tests": {map[string]any{"skipTests": true}, []string{"--skip-tests"}},
	} {
		t.Run(name, func(t *testing.T) {
			sameAsHelm(t, bazaar(t), "bazaar", test.settings, test.arguments...)
		})
	}
}

func TestDependenciesMayBePackedOrNot(t *testing.T) {
	files := bazaar(t)
	for chart, archive := range map[string]string{"stall": "stall-1.5.0.tgz", "kit": "anything.tgz", "old": "old-0.9.0.tgz"} {
		files["bazaar/charts/"+archive] = packed(t, files, "bazaar/charts/"+chart)
		for name := range maps.Clone(files) {
			if strings.HasPrefix(name, "bazaar/charts/"+chart+"/") {
				delete(files, name)
			}
		}
	}
	response := sameAsHelm(t, files, "bazaar", nil)
	for _, document := range response.Documents {
		if document.Source == "bazaar/charts/bread/templates/stall.yaml" && (document.File != "bazaar/charts/stall-1.5.0.tgz" || document.Line != 0) {
			t.Errorf("want the archive and no line, got %s:%d", document.File, document.Line)
		}
	}
}

func TestFilesMayHaveWindowsLineEndsAndByteOrderMarks(t *testing.T) {
	convert := func(text func(string) string) snapshot {
		files := bazaar(t)
		for name, content := range files {
			if name != "bazaar/big.iso" && !strings.HasPrefix(name, "bazaar/conf/") {
				files[name] = text(content)
			}
		}
		return files
	}
	t.Run("CRLF", func(t *testing.T) {
		files := convert(func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") })
		files["bazaar/conf/a.conf"] = "first = 1\r\nsecond = 2\r\n"
		sameAsHelm(t, files, "bazaar", map[string]any{"includeCRDs": true}, "--include-crds")
	})
	t.Run("BOM", func(t *testing.T) {
		files := convert(func(text string) string { return "\ufeff" + text })
		sameAsHelm(t, files, "bazaar", map[string]any{"includeCRDs": true}, "--include-crds")
	})
	t.Run("plain CRLF", func(t *testing.T) {
		files := snapshot{"a.yaml": "# c\r\n---\r\nkind: A\r\n---\r\nkind: B\r\n"}
		response := files.renders(t, map[string]any{"path": "."})
		if len(response.Documents) != 2 || response.Documents[1].Line != 5 {
			t.Errorf("want two documents, the second on line 5, got %+v", response.Documents)
		}
	})
}

func TestLargeFilesAreLeftOutByHelmignoreOrRead(t *testing.T) {
	files := bazaar(t)
	files["bazaar/large.txt"] = strings.Repeat("0123456789abcde\n", 3<<16) // 3 MiB
	files["bazaar/templates/large.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata: {size: {{ .Files.Get \"large.txt\" | len | quote }}, sum: {{ .Files.Get \"large.txt\" | sha256sum }}}\n"
	response := sameAsHelm(t, files, "bazaar", nil)
	for _, read := range response.Read {
		if read == "bazaar/big.iso" || read == "bazaar/ci/test-values.yaml" {
			t.Errorf("%s was read, though .helmignore names it", read)
		}
	}
}

func TestAChartOfVersion1Renders(t *testing.T) {
	files := bazaar(t)
	sameAsHelm(t, files, "bazaar/charts/old", nil)
	files["bazaar/charts/old/requirements.lock"] = "dependencies: []\ndigest: x\ngenerated: \"2020-01-01T00:00:00Z\"\n"
	sameAsHelm(t, files, "bazaar/charts/old", map[string]any{"values": map[string]any{"older": map[string]any{"enabled": false}}}, "--set", "older.enabled=false")
	delete(files, "bazaar/charts/old/charts/older/Chart.yaml")
	delete(files, "bazaar/charts/old/charts/older/templates/o.yaml")
	files.failsWith(t, map[string]any{"path": "bazaar/charts/old"}, KindDependency, "bazaar/charts/old/requirements.lock", "the lock file (requirements.lock) is out of sync")
}

func TestAHookKeepsEveryEventAndPolicy(t *testing.T) {
	response := bazaar(t).renders(t, map[string]any{"path": "bazaar"})
	hooks := map[string]Hook{}
	for _, hook := range response.Hooks {
		hooks[hook.Name] = hook
	}
	all := hooks["everything"]
	if got := strings.Join(all.Events, ","); got != "pre-install,post-upgrade,pre-rollback,post-rollback,pre-delete" || all.Weight != 3 ||
		strings.Join(all.DeletePolicies, ",") != "hook-failed,before-hook-creation" || strings.Join(all.OutputLogPolicies, ",") != "hook-failed,hook-succeeded" {
		t.Errorf("want all events and policies, got %+v", all)
	}
	if hooks["fruit-hook"].Weight != -3 || hooks["bread-hook"].File != "bazaar/charts/stall/templates/hook.yaml" {
		t.Errorf("want the hooks of the subcharts, got %+v", hooks)
	}
	if hooks["weighs-nothing"].Weight != 0 || hooks["old-test"].Events[0] != "test" {
		t.Errorf("want what Helm makes of odd annotations, got %+v", hooks)
	}
	if _, found := hooks["unknown"]; found || !strings.Contains(strings.Join(response.Warnings, "\n"), "on-sunday") {
		t.Errorf("want a warning about the event that is not known, got %v", response.Warnings)
	}
	for _, document := range response.Documents {
		if strings.Contains(document.YAML, "resource-policy: keep") {
			return
		}
	}
	t.Error("the annotation helm.sh/resource-policy is lost")
}

func TestErrorsOfSchemasNameTheValue(t *testing.T) {
	for key, test := range map[string]struct {
		values map[string]any
		word   string
	}{
		"list.1":          {map[string]any{"list": []any{"a", "B"}}, "does not match pattern"},
		"stalls":          {map[string]any{"stalls": map[string]any{"open": true}}, "additional properties 'open' not allowed"},
		"mode":            {map[string]any{"mode": 10}, "maximum: got 10, want 9"},
		"fruit.nested.of": {map[string]any{"fruit": map[string]any{"nested": map[string]any{"of": "somebody"}}}, "maxLength: got 8, want 5"},
	} {
		t.Run(key, func(t *testing.T) {
			file := "bazaar/values.schema.json"
			if strings.Contains(key, "nested") {
				file = "bazaar/charts/stall/charts/nested/values.schema.json"
			}
			failure := bazaar(t).failsWith(t, map[string]any{"path": "bazaar", "helm": map[string]any{"values": test.values}}, KindSchema, file, test.word)
			if failure.ValuesKey != key {
				t.Errorf("want the key %s, got %+v", key, failure)
			}
		})
	}
}
