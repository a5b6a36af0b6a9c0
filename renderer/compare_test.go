package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// asKustomizePrints joins a response as `kustomize build` does.
func asKustomizePrints(response *Response) string {
	var texts []string
	for _, document := range response.Documents {
		texts = append(texts, document.YAML)
	}
	return strings.Join(texts, "---\n")
}

// definitionFile matches the source of a document of crds/, which is no template.
var definitionFile = regexp.MustCompile(`^[^/]+(?:/charts/[^/]+)*/crds/`)

// asHelmPrints joins a response as `helm template` does.
func asHelmPrints(response *Response) string {
	for i := range response.Documents {
		response.Documents[i].verbatim = definitionFile.MatchString(response.Documents[i].Source)
	}
	return printed(response)
}

// packed returns a part of a snapshot as the archive of a chart.
func packed(t testing.TB, files snapshot, directory string) string {
	t.Helper()
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	writer := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		relative, found := strings.CutPrefix(name, directory+"/")
		if !found {
			continue
		}
		if err := writer.WriteHeader(&tar.Header{Name: path.Base(directory) + "/" + relative, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

// shop is the chart of the tests with its packed dependency, which has a packed
// dependency itself.
func shop(t testing.TB) snapshot {
	t.Helper()
	files := directory(t, "testdata/charts")
	index := packed(t, files, "search/charts/index")
	for name := range maps.Clone(files) {
		if strings.HasPrefix(name, "search/charts/index/") {
			delete(files, name)
		}
	}
	files["search/charts/index-0.1.0.tgz"] = index
	files["shop/charts/search-2.0.0.tgz"] = packed(t, files, "search")
	return files
}

func TestChartsRenderAsHelmTemplateDoes(t *testing.T) {
	cases := map[string]struct {
		helm      map[string]any
		arguments []string
	}{
		"defaults": {},
		"values files": {
			helm:      map[string]any{"valuesFiles": []string{"shop/values-prod.yaml"}},
			arguments: []string{"-f", "shop/values-prod.yaml"},
		},
		"values over values files": {
			helm:      map[string]any{"valuesFiles": []string{"shop/values-prod.yaml"}, "values": map[string]any{"replicas": 7, "ports": []int{1}, "image": map[string]any{"tag": nil}}},
			arguments: []string{"-f", "shop/values-prod.yaml", "--set-json", `{"replicas":7,"ports":[1],"image":{"tag":null}}`},
		},
		"CRDs, and no tests": {
			helm:      map[string]any{"includeCRDs": true, "skipTests": true},
			arguments: []string{"--include-crds", "--skip-tests"},
		},
		"name, namespace, versions": {
			helm: map[string]any{"releaseName": "europe", "namespace": "shops", "kubeVersion": "v1.29.4-eks-1234567", "isUpgrade": true,
				"apiVersions": []string{"monitoring.coreos.com/v1"}},
			arguments: []string{"europe", "--namespace", "shops", "--kube-version", "v1.29.4-eks-1234567", "--is-upgrade", "--api-versions", "monitoring.coreos.com/v1"},
		},
		"condition off": {
			helm:      map[string]any{"values": map[string]any{"cache": map[string]any{"enabled": false}}},
			arguments: []string{"--set", "cache.enabled=false"},
		},
		"tag off": {
			helm:      map[string]any{"values": map[string]any{"tags": map[string]any{"stateful": false}, "migrations": map[string]any{"enabled": false}}},
			arguments: []string{"--set", "tags.stateful=false,migrations.enabled=false"},
		},
		"global values and a packed dependency": {
			helm:      map[string]any{"values": map[string]any{"global": map[string]any{"region": "eu"}, "search": map[string]any{"enabled": true, "index": map[string]any{"shards": 9}}}},
			arguments: []string{"--set", "global.region=eu,search.enabled=true,search.index.shards=9"},
		},
	}
	files := shop(t)
	root := files.write(t)
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			arguments := []string{"template"}
			if len(test.arguments) == 0 || strings.HasPrefix(test.arguments[0], "-") {
				arguments = append(arguments, "release-name")
			}
			arguments = append(append(arguments, test.arguments...), "shop")
			if len(test.arguments) > 0 && !strings.HasPrefix(test.arguments[0], "-") {
				arguments = append([]string{"template", test.arguments[0], "shop"}, test.arguments[1:]...)
			}
			want, err := official(t, root, "helm", arguments...)
			if err != nil {
				t.Fatal(err)
			}
			request := map[string]any{"path": "shop"}
			if test.helm != nil {
				request["helm"] = test.helm
			}
			equal(t, want, asHelmPrints(files.renders(t, request)))
			request["twice"] = true
			equal(t, want, asHelmPrints(files.renders(t, request)))
		})
	}
}

func TestAPackedChartRendersAsHelmTemplateDoes(t *testing.T) {
	files := shop(t)
	files["shop-1.2.0.tgz"] = packed(t, files, "shop")
	want, err := official(t, files.write(t), "helm", "template", "shop-1.2.0.tgz", "--name-template", "packed")
	// .helmignore is not looked at in an archive, so the drafts in it fail.
	if err == nil {
		t.Fatalf("helm rendered %q", want)
	}
	files.failsWith(t, map[string]any{"path": "shop-1.2.0.tgz"}, KindTemplate, "shop-1.2.0.tgz", "never rendered")

	files["search-2.0.0.tgz"] = files["shop/charts/search-2.0.0.tgz"]
	want, err = official(t, files.write(t), "helm", "template", "packed", "search-2.0.0.tgz")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, want, asHelmPrints(files.renders(t, map[string]any{"path": ".", "renderer": "helm",
		"helm": map[string]any{"chart": "search-2.0.0.tgz", "releaseName": "packed"}})))
}

func TestOverlaysRenderAsKustomizeBuildDoes(t *testing.T) {
	files := directory(t, "testdata/overlays")
	root := files.write(t)
	for _, overlay := range []string{"base", "prod", "legacy", "builtin", "origins", "stack", "transformers"} {
		t.Run(overlay, func(t *testing.T) {
			want, err := official(t, root, "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", overlay)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, want, asKustomizePrints(files.renders(t, map[string]any{"path": overlay})))
		})
	}
}

func TestASymbolicLinkInsideOfTheTreeIsFollowed(t *testing.T) {
	files := directory(t, "testdata/overlays").with(snapshot{
		"current":                   linkMark + "prod",
		"linked/kustomization.yaml": "resources: [web.yaml, ../current]\nnameSuffix: -linked\n",
		"linked/web.yaml":           linkMark + "../base/../shared/quota.yaml",
		"linked/unused":             linkMark + "/etc/passwd",
	})
	files["linked/web.yaml"] = linkMark + "../shared/other.yaml"
	files["shared/other.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
	want, err := official(t, files.write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", "linked")
	if err != nil {
		t.Fatal(err)
	}
	response := files.renders(t, map[string]any{"path": "linked"})
	equal(t, want, asKustomizePrints(response))
	for _, read := range []string{"current", "linked/web.yaml", "shared/other.yaml", "prod/kustomization.yaml"} {
		if !slices.Contains(response.Read, read) {
			t.Errorf("%s is not among what was read: %v", read, response.Read)
		}
	}
}
