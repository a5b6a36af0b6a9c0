package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kustomizeWithHelm runs kustomize as `kustomize build --enable-helm`.
func kustomizeWithHelm(t testing.TB, files snapshot, directory string) (string, error) {
	t.Helper()
	return official(t, files.write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", "--enable-helm", "--helm-command", filepath.Join(os.Getenv("TOOLS"), "helm"), directory)
}

// inflating is the request that renders charts in a kustomization.
func inflating(path string) map[string]any {
	return map[string]any{"path": path, "kustomize": map[string]any{"helmCharts": true}}
}

// stocked serves the charts tiny, shop with its dependencies, and one with a
// .helmignore and a second values file.
func stocked(t testing.TB) *repository {
	files := shop(t)
	for file := range maps.Clone(files) {
		if strings.Contains(file, "/drafts/") {
			delete(files, file)
		}
	}
	return serve(t, map[string]string{
		"tiny-1.0.0.tgz":     tinyChart(t, "tiny", "1.0.0", nil),
		"tiny-1.1.0.tgz":     tinyChart(t, "tiny", "1.1.0", nil),
		"tiny-2.0.0-rc1.tgz": tinyChart(t, "tiny", "2.0.0-rc1", nil),
		"ignoring-1.0.0.tgz": tinyChart(t, "ignoring", "1.0.0", snapshot{".helmignore": "broken.yaml\n", "templates/broken.yaml": "{{ fail \"ignored\" }}", "values-large.yaml": "color: large\n"}),
		"shop-1.2.0.tgz":     packed(t, files, "shop"),
	})
}

func TestChartsInKustomizationsRenderAsKustomizeBuildDoes(t *testing.T) {
	served := stocked(t)
	local := snapshot{}
	for name, content := range bazaar(t) {
		local["app/charts/"+name] = content
	}
	for name, content := range shop(t) {
		local["app/charts/"+name] = content
	}
	other := snapshot{
		"app/cm.yaml":                      configMap,
		"app/values.yaml":                  "color: green\nlist: [1, 2]\nmap: {a: b}\n",
		"app/more.yaml":                    "map: {a: c, d: e}\n",
		"app/generator.yaml":               "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: tiny\nrepo: " + served.url + "\nversion: 1.0.0\nreleaseName: generated\nvaluesInline: {color: inline}\n",
		"app/home/tiny/Chart.yaml":         "apiVersion: v2\nname: tiny\nversion: 7.0.0\n",
		"app/home/tiny/values.yaml":        "color: home\nlist: [0]\nmap: {z: 1}\n",
		"app/home/tiny/templates/a.yaml":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\ndata:\n  values: {{ toJson .Values | quote }}\n  kube: {{ .Capabilities.KubeVersion }}\n  has: \"{{ .Capabilities.APIVersions.Has \"a/v1\" }} {{ .Capabilities.APIVersions.Has \"b/v1\" }}\"\n  found: \"{{ lookup \"v1\" \"Secret\" \"x\" \"y\" }}\"\n",
		"app/home/novalues/Chart.yaml":     "apiVersion: v2\nname: novalues\nversion: 7.0.0\n",
		"app/base/kustomization.yaml":      "helmCharts: [{name: tiny, repo: '" + served.url + "', version: 1.1.0, releaseName: based}]\n",
		"app/component/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nhelmCharts: [{name: tiny, repo: '" + served.url + "', version: 1.0.0, releaseName: part}]\n",
	}
	home := "helmGlobals: {chartHome: home}\nhelmCharts: [{name: tiny, releaseName: r, "
	for name, text := range map[string]string{
		"local charts":                "helmCharts: [{name: bazaar, releaseName: r, includeCRDs: true, valuesInline: {fruit: {enabled: false}}}, {name: shop, namespace: s}]\n",
		"local, no hooks":             "helmCharts: [{name: bazaar, releaseName: r, skipHooks: true, valuesInline: {fruit: {enabled: false}}}, {name: shop, releaseName: q, skipTests: true}]\nnamespace: over\n",
		"of a repository":             "resources: [cm.yaml]\nhelmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}]\nnamePrefix: p-\n",
		"a newest version":            "helmCharts: [{name: tiny, repo: REPO}]\n",
		"a constraint":                "helmCharts: [{name: tiny, repo: REPO, version: '>=1.0.0 <1.1.0'}]\n",
		"devel":                       "helmCharts: [{name: tiny, repo: REPO, devel: true}]\n",
		"shop of a repository":        "helmCharts: [{name: shop, repo: REPO, version: 1.2.0, releaseName: r, namespace: n1}]\ncommonLabels: {l: m}\n",
		".helmignore":                 "helmCharts: [{name: ignoring, repo: REPO, version: 1.0.0}]\n",
		"values file of the chart":    "helmCharts: [{name: ignoring, repo: REPO, version: 1.0.0, valuesFile: charts/ignoring-1.0.0/ignoring/values-large.yaml}]\n",
		"values file":                 home + "valuesFile: values.yaml}]\n",
		"additional values files":     home + "additionalValuesFiles: [values.yaml, more.yaml]}]\n",
		"inline values":               home + "valuesInline: {color: x, list: [5], map: {y: null, q: 07}, new: {a: {b: [c]}}}}]\n",
		"merged values":               home + "valuesMerge: merge, valuesFile: values.yaml, valuesInline: {color: x, list: [5], map: {a: 1, y: 2}}, additionalValuesFiles: [more.yaml]}]\n",
		"replaced values":             home + "valuesMerge: replace, valuesInline: {color: x}}]\n",
		"another merge":               home + "valuesMerge: other, valuesInline: {color: x}}]\n",
		"capabilities":                home + "kubeVersion: 1.28.3, apiVersions: [a/v1, 'b/v1,c/v1']}]\n",
		"a kube version that is none": home + "kubeVersion: x.y}]\n",
		"two names":                   home + "nameTemplate: x}]\n",
		"a name template":             "helmGlobals: {chartHome: home}\nhelmCharts: [{name: tiny, nameTemplate: '{{ upper \"x\" | lower }}-{{ add 1 2 }}'}]\n",
		"a name that is none":         "helmGlobals: {chartHome: home}\nhelmCharts: [{name: tiny, releaseName: Upper_Case}]\n",
		"an option as name":           "helmGlobals: {chartHome: home}\nhelmCharts: [{name: tiny, releaseName: --post-renderer=x}]\n",
		"no values.yaml":              "helmGlobals: {chartHome: home}\nhelmCharts: [{name: novalues}]\n",
		"no name":                     "helmCharts: [{releaseName: x}]\n",
		"nowhere":                     "helmCharts: [{name: nowhere}]\n",
		"not in the repository":       "helmCharts: [{name: nowhere, repo: REPO}]\n",
		"namespace of the overlay":    "namespace: over\nresources: [base]\nhelmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}]\n",
		"a component":                 "resources: [cm.yaml]\ncomponents: [component]\nnamePrefix: p-\n",
		"a generator":                 "resources: [cm.yaml]\ngenerators: [generator.yaml]\n",
		"in order":                    "sortOptions: {order: fifo}\nresources: [cm.yaml, base]\nhelmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}]\ngenerators: [generator.yaml]\nconfigMapGenerator: [{name: gen, literals: [a=b]}]\n",
		"origins":                     "buildMetadata: [originAnnotations]\nresources: [cm.yaml, base]\nhelmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}]\n",
		"a conflict":                  "helmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}, {name: tiny, repo: REPO, version: 1.1.0, releaseName: r}]\n",
		"the deprecated field":        "helmChartInflationGenerator: [{chartName: tiny, chartRepoUrl: REPO, chartVersion: 1.0.0, releaseName: r, valuesLocal: {color: old}}]\n",
		"patches":                     "helmCharts: [{name: tiny, repo: REPO, version: 1.0.0, releaseName: r}]\npatches: [{patch: '[{\"op\": \"add\", \"path\": \"/data/x\", \"value\": \"y\"}]', target: {kind: ConfigMap}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := local.with(other).with(snapshot{"app/kustomization.yaml": strings.ReplaceAll(text, "REPO", served.url)})
			want, err := kustomizeWithHelm(t, files, "app")
			response, _ := files.renderFetching(t, inflating("app"), served.world())
			if err != nil {
				failure := response.Error
				if failure == nil {
					t.Fatalf("kustomize fails, and the renderer does not: %s", asHelmPrints(response))
				}
				if failure.File != "app/kustomization.yaml" || failure.Kind == KindInternal || strings.Contains(failure.Message, mountPoint+"/") {
					t.Errorf("want an error with a place in the tree, got %+v", failure)
				}
				t.Logf("%s: %s", failure.File, failure.Message)
				return
			}
			if response.Error != nil {
				t.Fatalf("the renderer fails, and kustomize does not: %+v", response.Error)
			}
			equal(t, want, asKustomizePrints(response))
			if len(response.Hooks) > 0 {
				t.Errorf("hooks of kustomize: %+v", response.Hooks)
			}
		})
	}
}

func TestWantsOfChartsInKustomizations(t *testing.T) {
	served := stocked(t)
	files := snapshot{"kustomization.yaml": "helmCharts:\n- name: tiny\n  repo: " + served.url + "\n  version: 1.0.0\n- {name: tiny, repo: 'oci://r.example/c/', version: 1.0.0, releaseName: x}\n",
		"charts/local/Chart.yaml": "apiVersion: v2\nname: local\nversion: 1.0.0\n"}
	from := served.world()
	from["oci://r.example/c/tiny:1.0.0"] = answer{content: tinyChart(t, "tiny", "1.0.0", nil)}
	response, wants := files.rendersFetching(t, inflating("."), from)
	if len(wants) != 3 || wants[0].File != "kustomization.yaml" || wants[0].Line != 2 || wants[0].Field != "helmCharts[0]" || !wants[0].Pinned || wants[1].URL != "oci://r.example/c/tiny:1.0.0" || wants[1].Line != 5 || wants[2].Digest == "" {
		t.Errorf("unexpected wants %+v", wants)
	}
	if document := response.Documents[0]; document.File != served.url+"/tiny-1.0.0.tgz" || document.Line != 0 {
		t.Errorf("unexpected place %+v", document)
	}
	files.failsFetching(t, map[string]any{"path": "."}, world{}, KindDisabled, "kustomization.yaml", "helmCharts[0] (tiny) is off", "render.kustomize.helmCharts")
}

func TestChartsInKustomizationsLeaveNothing(t *testing.T) {
	served := stocked(t)
	for name, test := range map[string]struct{ text, kind, word string }{
		"home outside":        {"helmGlobals: {chartHome: ../../x}\nhelmCharts: [{name: tiny}]\n", KindOutside, "leaves the repository"},
		"absolute home":       {"helmGlobals: {chartHome: /tree}\nhelmCharts: [{name: tiny}]\n", KindOutside, "leaves the repository"},
		"name outside":        {"helmCharts: [{name: ../../../etc}]\n", KindOutside, "leaves the repository"},
		"values file outside": {"helmCharts: [{name: tiny, repo: REPO, valuesFile: ../../etc/passwd}]\n", KindOutside, "leaves the repository"},
		"remote values file":  {"helmCharts: [{name: tiny, repo: REPO, valuesFile: 'https://x.example/v.yaml'}]\n", KindRemote, "helmCharts[0].valuesFile"},
		"more values outside": {"helmCharts: [{name: tiny, repo: REPO, additionalValuesFiles: [/etc/passwd]}]\n", KindOutside, "additionalValuesFiles[0]"},
		"repository on disk":  {"helmCharts: [{name: tiny, repo: 'file:///etc'}]\n", KindChart, "no chart repository"},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot{"app/kustomization.yaml": strings.ReplaceAll(test.text, "REPO", served.url)}.failsFetching(t, inflating("app"), served.world(), test.kind, "app/kustomization.yaml", test.word)
		})
	}
}

func TestErrorsOfChartsInKustomizationsKeepTheirPlace(t *testing.T) {
	chart := snapshot{"charts/bad/Chart.yaml": "apiVersion: v2\nname: bad\nversion: 1.0.0\n", "charts/bad/values.yaml": "a: b\n",
		"charts/bad/templates/a.yaml": "a: b\nb: {{ required \"set it\" .Values.none }}\n", "kustomization.yaml": "components: [part]\n",
		"part/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nhelmGlobals: {chartHome: ../charts}\nhelmCharts: [{name: bad}]\n"}
	if failure := chart.failsFetching(t, inflating("."), world{}, KindTemplate, "charts/bad/templates/a.yaml", "set it").Error; failure.Line != 2 {
		t.Errorf("want line 2, got %+v", failure)
	}
	remote := snapshot{"kustomization.yaml": "resources: ['" + upstream + "//?ref=v1']\n"}
	remote.failsFetching(t, inflating("."), world{upstream + "@v1": {tree: chart}}, KindTemplate, upstream+"//charts/bad/templates/a.yaml?ref=v1", "set it")

	good := chart.with(snapshot{"charts/bad/templates/a.yaml": configMap})
	response, _ := remote.rendersFetching(t, inflating("."), world{upstream + "@v1": {tree: good}})
	if document := response.Documents[0]; document.File != upstream+"//charts/bad/templates/a.yaml?ref=v1" || document.Line != 0 {
		t.Errorf("unexpected place %+v", document)
	}
	response, _ = good.rendersFetching(t, inflating("."), world{})
	if document := response.Documents[0]; document.File != "charts/bad/templates/a.yaml" || document.Line != 1 {
		t.Errorf("unexpected place %+v", document)
	}
}

func TestATemplateBelowADirectoryCalledCRDsIsNoDefinitionFile(t *testing.T) {
	definition := func(name string) string {
		return "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: " + name + "\nspec: {group: x}\n"
	}
	chart := snapshot{
		"app/kustomization.yaml":   "helmCharts: [{name: c, releaseName: r, includeCRDs: true}]\n",
		"app/charts/c/Chart.yaml":  "apiVersion: v2\nname: c\nversion: 0.1.0\n",
		"app/charts/c/values.yaml": "a: 1\n",
	}
	for name, more := range map[string]snapshot{
		"templates/crds": {"app/charts/c/templates/crds/all.yaml": "---\n" + definition("a.x") + "---\n" + definition("b.x") + "---\n" + configMap},
		"both":           {"app/charts/c/templates/crds/all.yaml": definition("a.x") + "---\n" + definition("b.x"), "app/charts/c/crds/all.yaml": definition("c.x") + "---\n" + definition("d.x")},
		"a subchart": {"app/charts/c/charts/crds/Chart.yaml": "apiVersion: v2\nname: crds\nversion: 0.1.0\n",
			"app/charts/c/charts/crds/templates/a.yaml": configMap + "---\n" + strings.Replace(configMap, "name: a", "name: b", 1), "app/charts/c/charts/crds/crds/a.yaml": definition("e.x") + "---\n" + definition("f.x")},
	} {
		t.Run(name, func(t *testing.T) {
			files := chart.with(more)
			want, err := kustomizeWithHelm(t, files, "app")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, want, asKustomizePrints(files.renders(t, inflating("app"))))
			if want, err = official(t, files.write(t), "helm", "template", "release-name", "app/charts/c", "--include-crds"); err != nil {
				t.Fatal(err)
			}
			equal(t, want, asHelmPrints(files.renders(t, map[string]any{"path": "app/charts/c", "helm": map[string]any{"includeCRDs": true}})))
		})
	}
}
