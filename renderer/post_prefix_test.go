package main

import (
	"slices"
	"strings"
	"testing"
)

func TestAnObjectThatIsThereTwiceIsPrefixedTwice(t *testing.T) {
	files := snapshot{"a.yaml": configMap + "---\n" + configMap}
	response := files.renders(t, map[string]any{"path": ".", "post": map[string]any{"namePrefix": "x-"}})
	for _, document := range response.Documents {
		if !strings.Contains(document.YAML, "name: x-a") {
			t.Errorf("want the prefix, got %s", document.YAML)
		}
	}
	response = shop(t).renders(t, map[string]any{"path": "shop", "helm": map[string]any{"includeCRDs": true}, "post": map[string]any{"namePrefix": "x-"}})
	if count := strings.Count(strings.Join(textsOf(response), ""), "name: caches.example.com"); count != 2 {
		t.Errorf("want the CRD of both aliases, got %d", count)
	}
}

func TestPostOfAnOverlayDoesWhatAnotherOverlayDoes(t *testing.T) {
	files := directory(t, "testdata/overlays").with(snapshot{"top/kustomization.yaml": "resources: [../prod]\nnamePrefix: top-\nlabels: [{pairs: {enabled: \"yes\"}}]\n" +
		"patches: [{target: {kind: Deployment}, patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 9}]'}]\n"})
	want, err := official(t, files.write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", "top")
	if err != nil {
		t.Fatal(err)
	}
	response := files.renders(t, map[string]any{"path": "prod", "post": map[string]any{"namePrefix": "top-", "labels": map[string]any{"enabled": "yes"},
		"patches": []map[string]any{{"name": "p", "patch": "- {op: replace, path: /spec/replicas, value: 9}", "target": map[string]any{"kind": "Deployment"}}}}})
	if wanted, got := canonical(t, want), canonical(t, textsOf(response)...); !slices.Equal(wanted, got) {
		t.Errorf("want\n%s\ngot\n%s", strings.Join(wanted, "\n"), strings.Join(got, "\n"))
	}
}

func TestReferencesThatAnOverlayDeclaresFollowThePrefix(t *testing.T) {
	files := directory(t, "testdata/overlays").with(snapshot{"both/kustomization.yaml": "resources: [../stack]\nconfigurations: [../stack/config.yaml]\n"})
	response := files.renders(t, map[string]any{"path": "both", "post": map[string]any{"namePrefix": "top-"}})
	all := strings.Join(textsOf(response), "---\n")
	// The field is one of the CRD of Game, and no field of Kubernetes.
	if strings.Count(all, "name: top-tls-blue-") != 2 || !strings.Contains(all, "name: top-chess-blue") {
		t.Errorf("the reference does not follow in\n%s", all)
	}
}

func TestALabelThatAnOverlayDeclaresAReferenceFollowsThePrefix(t *testing.T) {
	files := snapshot{"kustomization.yaml": "resources: [a.yaml]\nconfigurations: [c.yaml]\n", "c.yaml": "nameReference: [{kind: ConfigMap, fieldSpecs: [{kind: Secret, path: metadata/labels/of}]}]\n",
		"a.yaml": configMap + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: b, labels: {of: a}}\n"}
	response := files.renders(t, map[string]any{"path": ".", "post": map[string]any{"namePrefix": "x-"}})
	if all := strings.Join(textsOf(response), "---\n"); !strings.Contains(all, "of: x-a") {
		t.Errorf("the label does not follow in\n%s", all)
	}
}
