package main

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// randomObjects are objects of a few names that refer to each other, or seem to.
func randomObjects(random *rand.Rand, count int) []string {
	name := func() string {
		return []string{"a", "b", "c", "x-a", "x-x-a", "x-b", "d", "e", "f", "default", "Role"}[random.Intn(11)]
	}
	kinds := []string{
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {other: OTHER}\n",
		"apiVersion: v1\nkind: Secret\nmetadata:\n  name: NAME # kept\n",
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: NAME, namespace: OTHER}\nsecrets: [{name: OTHER}]\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {selector: {app: OTHER}}\n",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: NAME}\nspec: {serviceName: OTHER, selector: {matchLabels: {app: OTHER}, matchExpressions: [{key: a, operator: In, values: [OTHER]}]}, template: {metadata: {labels: {app: OTHER}}}}\n",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: NAME}\n",
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: NAME}\nspec: {conversion: {webhook: {clientConfig: {service: {name: OTHER}}}}}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME}\nspec:\n  template:\n    spec:\n      serviceAccountName: OTHER\n      containers:\n        - env: [{valueFrom: {configMapKeyRef: {name: OTHER, key: k}}}]\n" +
			"          envFrom: [{secretRef: {name: OTHER}}]\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: NAME}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: OTHER}\nsubjects: [{kind: ServiceAccount, name: OTHER, namespace: OTHER}]\n",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: NAME}\nrules: [{resources: [secrets], resourceNames: [OTHER, OTHER]}]\n",
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: NAME}\nspec: {tls: [{secretName: OTHER}], defaultBackend: {service: {name: OTHER}}}\n",
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: NAME}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: OTHER}}\n",
	}
	var texts []string
	known := map[string]bool{}
	for range count {
		text := strings.Replace(kinds[random.Intn(len(kinds))], "NAME", name(), 1)
		if random.Intn(2) == 0 {
			text = strings.Replace(text, "metadata: {name: ", "metadata: {labels: {app: OTHER, instance: OTHER}, name: ", 1)
		}
		for strings.Contains(text, "OTHER") {
			text = strings.Replace(text, "OTHER", name(), 1)
		}
		head, _ := declaredBy(part{text: text})
		if id := head.kind + head.name; !known[id] {
			known[id] = true
			texts = append(texts, text)
		}
	}
	return texts
}

func TestBatchesArePrefixedAsAllAtOnce(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	batches := 0
	for range 400 {
		texts := randomObjects(random, 2+random.Intn(16))
		prefixed := func(size int) ([]string, error) {
			run := &postRun{}
			response := newResponse()
			for _, text := range texts {
				response.Documents = append(response.Documents, Document{YAML: text})
			}
			if err := run.parse(response); err != nil {
				t.Fatal(err)
			}
			parts := [][]*postObject{run.objects}
			if size > 0 {
				parts = prefixBatches("x-", nameReferences{}, run.objects, size)
				batches += len(parts)
			}
			for _, part := range parts {
				if err := prefixBatch("x-", nameReferences{}, part); err != nil {
					return nil, err
				}
			}
			for _, object := range run.objects {
				if err := object.write(); err != nil {
					t.Fatal(err)
				}
			}
			run.fill(response)
			return canonical(t, textsOf(response)...), nil
		}
		want, wantErr := prefixed(0)
		got, err := prefixed(1)
		if (wantErr != nil) != (err != nil) {
			t.Fatalf("want %v, got %v for\n%s", wantErr, err, strings.Join(texts, "---\n"))
		}
		if !slices.Equal(want, got) {
			t.Fatalf("want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
	if batches < 600 {
		t.Errorf("only %d batches", batches)
	}
}

func TestObjectsThatReferToEachOtherAreInOneBatch(t *testing.T) {
	var texts []string
	for i := range 200 {
		texts = append(texts, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\n", i),
			fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\nspec: {volumes: [{configMap: {name: c%d}}]}\n", i, 199-i))
	}
	texts = append(texts, "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: alone}\nspec: {a:   'b'}\n")
	response := snapshot{"a.yaml": strings.Join(texts, "---\n")}.renders(t, map[string]any{"path": ".", "post": map[string]any{"namePrefix": "x-"}})
	got := textsOf(response)
	if len(got) != len(texts) || got[len(got)-1] != texts[len(texts)-1] {
		t.Fatalf("got %d documents, %s", len(got), got[len(got)-1])
	}
	for i := range 200 {
		if !strings.Contains(got[2*i+1], fmt.Sprintf("name: x-p%d}", i)) || !strings.Contains(got[2*i+1], fmt.Sprintf("name: x-c%d}", 199-i)) {
			t.Fatalf("got %s", got[2*i+1])
		}
	}
}

func TestALabelJoinsNoObjects(t *testing.T) {
	run := &postRun{}
	response := newResponse()
	for i := range 200 {
		response.Documents = append(response.Documents, Document{YAML: fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d, labels: {instance: c0}}\n", i)})
	}
	response.Documents = append(response.Documents, Document{YAML: "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: s, labels: {a: &x c1, b: c2}}\nsecrets: [{name: *x}]\n"})
	if err := run.parse(response); err != nil {
		t.Fatal(err)
	}
	if batches := prefixBatches("x-", nameReferences{}, run.objects, 1); len(batches) != 200 {
		t.Errorf("want a batch for each object but two, got %d", len(batches))
	}
	if batches := prefixBatches("x-", nameReferences{configurations: []string{"a.yaml"}}, run.objects, 1); len(batches) != 1 {
		t.Errorf("want one batch where labels may be references, got %d", len(batches))
	}
}
