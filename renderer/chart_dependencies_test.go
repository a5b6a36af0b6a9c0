package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// outer is a chart with dependencies of a repository, of the tree, and twice by
// aliases.
func outer(url string) snapshot {
	return snapshot{
		"apps/outer/Chart.yaml": "apiVersion: v2\nname: outer\nversion: 0.1.0\ndependencies:\n" +
			"  - {name: tiny, version: ~1.0, repository: \"" + url + "\"}\n" +
			"  - {name: red, version: 1.0.0, repository: \"" + url + "\", alias: crimson, condition: crimson.enabled}\n" +
			"  - {name: red, version: ^2.0.0, repository: \"" + url + "\", tags: [reds]}\n" +
			"  - {name: near, version: '*', repository: file://../../libs/near}\n" +
			"  - {name: old, version: '>=0.1', repository: file://../old}\n",
		"apps/outer/values.yaml":                 "tiny: {color: blue}\nglobal: {size: 3}\ntags: {reds: true}\n",
		"apps/outer/templates/cm.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: outer}\ndata: {near: {{ include \"near.name\" . }}, charts: {{ keys .Subcharts | sortAlpha | join \",\" | quote }}}\n",
		"libs/near/Chart.yaml":                   "apiVersion: v2\nname: near\nversion: 3.1.0\n",
		"libs/near/templates/_n.tpl":             "{{ define \"near.name\" }}{{ .Release.Name }}-near{{ end }}\n",
		"libs/near/templates/a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: near}\ndata: {size: \"{{ .Values.global.size }}\", secret: \"{{ .Files.Get \"notes.md\" }}\"}\n",
		"libs/near/notes.md":                     "ignored\n",
		"libs/near/.helmignore":                  "*.md\n",
		"apps/old/Chart.yaml":                    "apiVersion: v1\nname: old\nversion: 0.2.0\ndependencies: [{name: lost, version: 1.0.0, repository: '', condition: lost.enabled}]\n",
		"apps/old/values.yaml":                   "inner: {enabled: false}\n",
		"apps/old/requirements.yaml":             "dependencies: [{name: inner, version: 1.0.0, repository: '', condition: inner.enabled}]\n",
		"apps/old/templates/o.yaml":              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n",
		"apps/old/charts/lost/Chart.yaml":        "apiVersion: v1\nname: lost\nversion: 1.0.0\n",
		"apps/old/charts/lost/templates/x.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost}\n",
		"apps/old/charts/inner/Chart.yaml":       "apiVersion: v1\nname: inner\nversion: 1.0.0\n",
		"apps/old/charts/inner/templates/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inner}\n",
	}
}

func reds(t *testing.T) *repository {
	return serve(t, map[string]string{
		"tiny-1.0.3.tgz": tinyChart(t, "tiny", "1.0.3", nil), "tiny-1.1.0.tgz": tinyChart(t, "tiny", "1.1.0", nil),
		"red-1.0.0.tgz": tinyChart(t, "red", "1.0.0", snapshot{"charts/deep/Chart.yaml": "apiVersion: v2\nname: deep\nversion: 1.0.0\n", "charts/deep/templates/d.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: deep-{{ .Chart.Name }}}\n"}),
		"red-2.3.4.tgz": tinyChart(t, "red", "2.3.4", nil),
	})
}

// built runs `helm dependency update`, which writes the lock file, and returns
// what the chart renders to with it.
func built(t *testing.T, files snapshot, chart string, arguments ...string) (want, lock string) {
	t.Helper()
	root := files.write(t)
	if _, err := official(t, root, "helm", "dependency", "update", chart); err != nil {
		t.Fatal(err)
	}
	want, err := official(t, root, "helm", append([]string{"template", "release-name", chart}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return want, directory(t, root+"/"+chart)["Chart.lock"]
}

func TestDependenciesThatAreNotVendoredRenderAsAfterHelmDependencyBuild(t *testing.T) {
	served := reds(t)
	for name, test := range map[string]struct {
		values    map[string]any
		arguments []string
	}{
		"defaults":  {},
		"condition": {map[string]any{"crimson": map[string]any{"enabled": false}}, []string{"--set", "crimson.enabled=false"}},
		"tags":      {map[string]any{"tags": map[string]any{"reds": false}, "crimson": map[string]any{"enabled": true}}, []string{"--set", "tags.reds=false,crimson.enabled=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := outer(served.url)
			want, lock := built(t, files, "apps/outer", test.arguments...)
			files["apps/outer/Chart.lock"] = lock
			response, wants := files.rendersFetching(t, map[string]any{"path": "apps/outer", "helm": map[string]any{"values": test.values}}, served.world())
			equal(t, want, asHelmPrints(response))
			var urls []string
			for _, want := range wants {
				urls = append(urls, strings.TrimPrefix(want.URL, served.url+"/"))
				if !want.Pinned || want.File != "apps/outer/Chart.lock" || want.Line == 0 || !strings.HasPrefix(want.Field, "dependencies[") {
					t.Errorf("unexpected want %+v", want)
				}
			}
			if !slices.Equal(urls, []string{"index.yaml", "tiny-1.0.3.tgz", "red-1.0.0.tgz", "red-2.3.4.tgz"}) {
				t.Errorf("unexpected wants %v", urls)
			}
			for _, document := range response.Documents {
				if strings.Contains(document.Source, "/near/") && (document.File != "libs/near/templates/a.yaml" || document.Line != 1) {
					t.Errorf("unexpected place %+v", document)
				}
			}
		})
	}
}

func TestWhatIsVendoredIsNotFetched(t *testing.T) {
	served := reds(t)
	files := outer(served.url)
	_, lock := built(t, files, "apps/outer")
	files["apps/outer/Chart.lock"] = lock
	files["apps/outer/charts/tiny-1.0.0.tgz"] = tinyChart(t, "tiny", "1.0.0", nil)
	files["apps/outer/charts/red-2.0.0.tgz"] = tinyChart(t, "red", "2.0.0", nil)
	response, wants := files.rendersFetching(t, map[string]any{"path": "apps/outer"}, served.world())
	if len(wants) != 2 || !strings.HasSuffix(wants[1].URL, "/red-1.0.0.tgz") || !strings.Contains(asHelmPrints(response), "tiny 1.0.0") {
		t.Errorf("want the vendored chart, got %+v", wants)
	}
}

func TestDependenciesWithoutALock(t *testing.T) {
	served := reds(t)
	chart := func(dependency string) snapshot {
		return snapshot{"Chart.yaml": "apiVersion: v2\nname: outer\nversion: 0.1.0\ndependencies:\n  # The first.\n  - " + dependency + "\n"}
	}
	request := map[string]any{"path": "."}
	files := chart("{name: tiny, version: 1.0.3, repository: '" + served.url + "'}")
	want, _ := built(t, files, ".")
	response, wants := files.rendersFetching(t, request, served.world())
	equal(t, want, asHelmPrints(response))
	if want := wants[0]; want.File != "Chart.yaml" || want.Line != 6 || want.Field != "dependencies[0]" || !want.Pinned {
		t.Errorf("unexpected want %+v", want)
	}

	oci := world{"oci://r.example/c/tiny:1.0.3_x": {content: tinyChart(t, "tiny", "1.0.3+x", nil)}}
	chart("{name: tiny, version: 1.0.3+x, repository: oci://r.example/c}").rendersFetching(t, request, oci)

	for name, test := range map[string]struct{ dependency, kind, word string }{
		"range":        {"{name: tiny, version: ^1.0.0, repository: '" + served.url + "'}", KindDependency, "commit the Chart.lock"},
		"registry":     {"{name: tiny, version: '*', repository: 'oci://r.example'}", KindDependency, "commit the Chart.lock"},
		"alias":        {"{name: tiny, version: 1.0.3, repository: '@stable'}", KindDependency, "write its URL"},
		"other alias":  {"{name: tiny, version: 1.0.3, repository: 'alias:stable'}", KindDependency, "write its URL"},
		"no URL":       {"{name: tiny, version: 1.0.3, repository: stable}", KindDependency, "is no URL"},
		"no version":   {"{name: tiny, version: newest, repository: '" + served.url + "'}", KindDependency, "invalid version/constraint"},
		"not there":    {"{name: tiny, version: 7.0.0, repository: '" + served.url + "'}", KindDependency, "not found in"},
		"unknown":      {"{name: none, version: 7.0.0, repository: '" + served.url + "'}", KindDependency, "not found in"},
		"no directory": {"{name: tiny, version: 1.0.3, repository: 'file://tiny'}", KindDependency, "directory tiny not found"},
		"outside":      {"{name: tiny, version: 1.0.3, repository: 'file://../tiny'}", KindOutside, "leaves the repository"},
		"absolute":     {"{name: tiny, version: 1.0.3, repository: 'file:///etc'}", KindOutside, "leaves the repository"},
	} {
		t.Run(name, func(t *testing.T) {
			failure := chart(test.dependency).failsFetching(t, request, served.world(), test.kind, "Chart.yaml", test.word).Error
			if failure.Line != 6 || !strings.Contains(failure.Message, "dependencies[0]") {
				t.Errorf("want the entry, got %+v", failure)
			}
		})
	}
	chart("{name: tiny, version: 1.0.3}").failsFetching(t, request, world{}, KindDependency, "Chart.yaml", "missing in charts/ directory: tiny")
}

func TestALockThatDoesNotFitIsAnError(t *testing.T) {
	served := reds(t)
	files := outer(served.url)
	_, lock := built(t, files, "apps/outer")
	files["apps/outer/Chart.lock"] = lock
	changed := maps.Clone(files)
	changed["apps/outer/Chart.yaml"] = strings.Replace(files["apps/outer/Chart.yaml"], "~1.0", "~1.1", 1)
	if _, err := official(t, changed.write(t), "helm", "dependency", "build", "apps/outer"); err == nil {
		t.Fatal("helm takes the lock file")
	}
	request := map[string]any{"path": "apps/outer"}
	changed.failsFetching(t, request, served.world(), KindDependency, "apps/outer/Chart.lock", "the lock file (Chart.lock) is out of sync with the dependencies file (Chart.yaml). Please update the dependencies with 'helm dependency update'")

	changed = maps.Clone(files)
	changed["libs/near/Chart.yaml"] = "apiVersion: v2\nname: near\nversion: 3.2.0\n"
	changed.failsFetching(t, request, served.world(), KindDependency, "apps/outer/Chart.lock", "can't get a valid version for dependency near")
}

func TestChartsOfTheTreeThatNameEachOther(t *testing.T) {
	chart := func(name string, dependencies ...string) string {
		text := "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n"
		for i, dependency := range dependencies {
			if i == 0 {
				text += "dependencies:\n"
			}
			text += "  - {name: " + dependency + ", version: 1.0.0, repository: 'file://../" + dependency + "'}\n"
		}
		return text
	}
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}}\n"
	files := snapshot{"a/Chart.yaml": chart("a", "b"), "b/Chart.yaml": chart("b", "c"), "c/Chart.yaml": chart("c"), "c/templates/c.yaml": manifest}
	// Helm packs b as it is, so b has to be built first.
	root := files.write(t)
	for _, name := range []string{"b", "a"} {
		if _, err := official(t, root, "helm", "dependency", "build", name); err != nil {
			t.Fatal(err)
		}
	}
	want, err := official(t, root, "helm", "template", "release-name", "a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, want, asHelmPrints(files.renders(t, map[string]any{"path": "a"})))

	files["c/Chart.yaml"] = chart("c", "b")
	files.failsWith(t, map[string]any{"path": "a"}, KindDependency, "c/Chart.yaml", "a -> b -> c -> b")
	files["c/Chart.yaml"] = chart("d")
	files.failsWith(t, map[string]any{"path": "a"}, KindDependency, "b/Chart.yaml", "is called d")

	forks := snapshot{}
	names := "abcdefghijklmnopqrstuvwxyz"
	for i := range 20 {
		next := names[i+1 : i+2]
		forks[names[i:i+1]+"/Chart.yaml"] = strings.Replace(chart(names[i:i+1], next, next), "{name: "+next+",", "{name: "+next+", alias: x"+next+",", 1)
	}
	forks["u/Chart.yaml"] = chart("u")
	if failure := forks.render(t, map[string]any{"path": "a"}).Error; failure == nil || !strings.Contains(failure.Message, "so often") {
		t.Errorf("want an end of what forks, got %+v", failure)
	}
}
