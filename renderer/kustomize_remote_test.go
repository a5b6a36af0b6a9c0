package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// clonable writes a snapshot to a git repository and returns its URL. Its only
// commit has the tag v1.
func clonable(t testing.TB, files snapshot) string {
	t.Helper()
	root := files.write(t)
	for _, arguments := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "x"}, {"tag", "v1"}} {
		command := exec.Command("git", arguments...)
		command.Dir = root
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + root, "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", arguments, output)
		}
	}
	return "file://" + root
}

const upstream = "https://git.example/org/repo"

// base is a repository with bases, components and files.
func base() snapshot {
	return snapshot{
		"kustomization.yaml":            "resources: [web, root.yaml]\ncommonAnnotations: {from: root}\n",
		"root.yaml":                     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: root}\n",
		"web/kustomization.yaml":        "resources: [deployment.yaml, ../shared]\nnamePrefix: web-\nconfigMapGenerator: [{name: settings, files: [key=sub/settings.txt]}]\nimages: [{name: nginx, newTag: '2'}]\n",
		"web/deployment.yaml":           "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: a, image: nginx, envFrom: [{configMapRef: {name: settings}}]}]}}}\n",
		"web/sub/settings.txt":          "a=b\n",
		"shared/kustomization.yaml":     "resources: [service.yaml]\n",
		"shared/service.yaml":           "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n",
		"part/kustomization.yaml":       "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\npatches: [{path: patch.yaml, target: {kind: Service}}]\n",
		"part/patch.yaml":               "- {op: add, path: /spec/type, value: NodePort}\n",
		"annotated/kustomization.yaml":  "resources: [../shared]\ntransformers: [label.yaml]\nnameSuffix: -annotated\n",
		"annotated/label.yaml":          "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {x: y}\nfieldSpecs: [{path: metadata/labels, create: true}]\n",
		"current":                       linkMark + "shared",
		"other/deep/kustomization.yaml": "resources: [cm.yaml]\n",
		"other/deep/cm.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\n",
	}
}

func TestRemoteBasesRenderAsKustomizeBuildDoes(t *testing.T) {
	url := clonable(t, base())
	for name, text := range map[string]string{
		"directory":      "resources: [local.yaml, 'REPO//web?ref=v1']\n",
		"root":           "resources:\n  - REPO//?ref=main # the root\n  - local.yaml\nnamePrefix: x-\n",
		"default branch": "resources: [\"REPO//shared\"]\nnamespace: ns\n",
		"bases":          "bases: ['REPO//web?version=v1&timeout=90s&submodules=false']\npatches: [{patch: '{\"kind\": \"Deployment\", \"apiVersion\": \"apps/v1\", \"metadata\": {\"name\": \"web-web\"}, \"spec\": {\"replicas\": 2}}'}]\n",
		"component":      "resources: ['REPO//shared?ref=v1']\ncomponents:\n- 'REPO//part?ref=v1'\n",
		"two of one":     "resources: ['REPO//shared?ref=v1', 'REPO//other/deep?ref=v1']\n",
		"a link in it":   "resources: ['REPO//current?ref=v1']\n",
		"origins":        "buildMetadata: [originAnnotations, transformerAnnotations]\nresources: [local.yaml, 'REPO//web?ref=v1', 'REPO//annotated']\nnamePrefix: y-\n",
		"origin of root": "buildMetadata: [originAnnotations]\nresources: ['REPO//?ref=v1']\n",
		"fields mixed":   "{components: ['REPO//part?ref=v1'], resources: ['REPO//shared?ref=v1', local.yaml]}\n",
		"JSON":           "{\"components\": [\"REPO//part?ref=v1\"],\n\"resources\": [\"REPO//shared?ref=v1\"], \"namePrefix\": \"x-\"}\n",
		"fifo":           "sortOptions: {order: fifo}\nresources: ['REPO//web?ref=v1', local.yaml]\n",
		"Windows":        "resources:\r\n- REPO//shared?ref=v1\r\nnamePrefix: über-\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := func(repository string) snapshot {
				return snapshot{"app/prod/kustomization.yaml": strings.ReplaceAll(text, "REPO", repository), "app/prod/local.yaml": configMap}
			}
			want, err := official(t, files(url).write(t), "kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", "app/prod")
			if err != nil {
				t.Fatal(err)
			}
			from := world{upstream + "@v1": {tree: base()}, upstream + "@main": {tree: base()}, upstream + "@": {tree: base()}}
			response, wants := files(upstream).rendersFetching(t, map[string]any{"path": "app/prod"}, from)
			equal(t, strings.ReplaceAll(want, url, upstream), asKustomizePrints(response))
			for _, want := range wants {
				if want.Kind != fetchGit || want.URL != upstream || want.File != "app/prod/kustomization.yaml" || want.Line == 0 || want.Field == "" || want.Pinned {
					t.Errorf("unexpected want %+v", want)
				}
			}
			for _, file := range slices.Concat(response.Read, response.Absent, response.Listed) {
				if !strings.HasPrefix(file, "app/prod/") {
					t.Errorf("%s is not of the tree", file)
				}
			}
			for _, document := range response.Documents {
				if document.File != "" && document.File != "app/prod/local.yaml" && (!strings.HasPrefix(document.File, upstream+"//") || document.Line != 0) {
					t.Errorf("unexpected place %s:%d", document.File, document.Line)
				}
			}
		})
	}
}

func TestRemoteFilesRenderAsKustomizeBuildDoes(t *testing.T) {
	contents := map[string]string{"/o/r/install.yaml": configMap + "---\n" + strings.ReplaceAll(configMap, "a}", "b}"), "/o/r/v1.json": `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, contents[r.URL.Path])
	}))
	defer server.Close()
	files := snapshot{"kustomization.yaml": "buildMetadata: [originAnnotations]\nresources:\n- " + server.URL + "/o/r/install.yaml\n- " + server.URL + "/o/r/v1.json?x=y%20z\nnamePrefix: p-\n"}
	want, err := official(t, files.write(t), "kustomize", "build", ".")
	if err != nil {
		t.Fatal(err)
	}
	from := world{server.URL + "/o/r/install.yaml": {content: contents["/o/r/install.yaml"]}, server.URL + "/o/r/v1.json?x=y%20z": {content: contents["/o/r/v1.json"]}}
	response, wants := files.rendersFetching(t, map[string]any{"path": "."}, from)
	equal(t, want, asKustomizePrints(response))
	if len(wants) != 2 || wants[1].Kind != fetchFile || wants[1].Line != 4 || wants[1].Field != "resources[1]" {
		t.Errorf("unexpected wants %+v", wants)
	}
	if document := response.Documents[0]; document.File != wants[0].URL || document.Line != 0 {
		t.Errorf("unexpected place %+v", document)
	}
	from[wants[0].URL] = answer{content: "kind: A\n  b: c\n"}
	files.failsFetching(t, map[string]any{"path": "."}, from, KindYAML, wants[0].URL)
	from[wants[0].URL] = answer{content: laughs()}
	files.failsFetching(t, map[string]any{"path": "."}, from, KindLimit, wants[0].URL)
}

func TestARemoteBaseMayNameOthers(t *testing.T) {
	const other = "git@git.example:other/repo.git"
	tree := base().with(snapshot{"web/kustomization.yaml": "resources:\n- deployment.yaml\n- " + other + "//x?ref=0123456789012345678901234567890123456789\n- https://git.example/org/repo//shared?ref=v1\n- https://git.example/o/r/f.yaml\n"})
	from := world{upstream + "@v1": {tree: tree}, other + "@0123456789012345678901234567890123456789": {tree: snapshot{"x/kustomization.yaml": "resources: [a.yaml]\n", "x/a.yaml": configMap}},
		"https://git.example/o/r/f.yaml": {content: strings.ReplaceAll(configMap, "a}", "f}")}}
	files := snapshot{"kustomization.yaml": "resources: ['" + upstream + "//web?ref=v1']\n"}
	response, wants := files.rendersFetching(t, map[string]any{"path": "."}, from)
	if len(wants) != 3 || wants[1].URL != other || !wants[1].Pinned || wants[1].File != upstream+"//web/kustomization.yaml?ref=v1" || wants[1].Line != 3 || wants[1].Field != "resources[1]" {
		t.Errorf("unexpected wants %+v", wants)
	}
	if len(response.Documents) != 4 {
		t.Errorf("want 4 documents, got %d", len(response.Documents))
	}

	cycle := base().with(snapshot{"web/kustomization.yaml": "resources: ['" + upstream + "//web?ref=v1']\n"})
	files.failsFetching(t, map[string]any{"path": "."}, world{upstream + "@v1": {tree: cycle}}, KindKustomize, upstream+"//web/kustomization.yaml?ref=v1", "cycle detected")
}

func TestARemoteBaseReadsNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		files snapshot
		kind  string
		file  string
		word  string
	}{
		"the tree by ..":       {snapshot{"web/kustomization.yaml": "resources: [../../../tree/secret.yaml]\n"}, KindOutside, "web/kustomization.yaml", "leaves the repository"},
		"the tree, absolute":   {snapshot{"web/kustomization.yaml": "resources: [/tree/secret.yaml]\n"}, KindOutside, "web/kustomization.yaml", "leaves the repository"},
		"a generator":          {snapshot{"web/kustomization.yaml": "configMapGenerator: [{name: x, files: [../../../tree/secret.yaml]}]\n"}, KindOutside, "web/kustomization.yaml", "leaves the repository"},
		"a plugin":             {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\ntransformers: [t.yaml]\n", "web/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: ../../../tree/secret.yaml\n"}, KindOutside, "web/t.yaml", "leaves the repository"},
		"a plugin, absolute":   {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\ntransformers: [t.yaml]\n", "web/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: /tree/secret.yaml\n"}, KindOutside, "web/t.yaml", "leaves the repository"},
		"a plugin, by alias":   {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\ntransformers: [t.yaml]\n", "web/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p, annotations: {x: &x ../../../tree/secret.yaml}}\npath: *x\n"}, KindOutside, "web/t.yaml", "leaves the repository"},
		"an inline generator":  {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\ngenerators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: p}\n  name: c\n  files: [a=../../../tree/secret.yaml]\n"}, KindOutside, "web/kustomization.yaml", "leaves the repository"},
		"plugins in a place":   {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\ngenerators: [../plugins/deep/er]\n", "plugins/deep/er/kustomization.yaml": "resources: [g.yaml]\n", "plugins/deep/er/g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: p}\nname: c\nfiles: [a=../../../tree/secret.yaml]\n"}, KindOutside, "plugins/deep/er/g.yaml", "leaves the repository"},
		"a link":               {snapshot{"web/deployment.yaml": linkMark + "../../../tree/secret.yaml"}, KindSymlink, "web/deployment.yaml", "leaves the repository"},
		"a link to a place":    {snapshot{"web/deployment.yaml": linkMark + "/tree/secret.yaml"}, KindSymlink, "web/deployment.yaml", "leaves the repository"},
		"a file beside it":     {snapshot{"web/kustomization.yaml": "resources: [../root.yaml]\n"}, KindOutside, "web/kustomization.yaml", "not in or below"},
		"a link beside it":     {snapshot{"web/deployment.yaml": linkMark + "../root.yaml"}, KindOutside, "web/kustomization.yaml", "not in or below"},
		"no kustomization":     {snapshot{"web/kustomization.yaml": "resources: [../part/none]\n"}, KindKustomize, "web/kustomization.yaml", "not a valid directory"},
		"a patch by URL":       {snapshot{"web/kustomization.yaml": "resources: [deployment.yaml]\npatches: [{path: 'https://x.example/p.yaml'}]\n"}, KindRemote, "web/kustomization.yaml", "patches[0].path"},
		"a broken resource":    {snapshot{"web/deployment.yaml": "kind: A\n  b: c\n"}, KindYAML, "web/deployment.yaml", "yaml"},
		"a chart":              {snapshot{"web/kustomization.yaml": "helmCharts: [{name: x}]\n"}, KindDisabled, "web/kustomization.yaml", "helmCharts"},
		"a broken base":        {snapshot{"web/kustomization.yaml": "resource: []\n"}, KindKustomize, "web/kustomization.yaml", "unknown field"},
		"a file on this disk":  {snapshot{"web/kustomization.yaml": "resources: ['file:///etc//x']\n"}, KindRemote, "web/kustomization.yaml", "on a disk"},
		"an option of git":     {snapshot{"web/kustomization.yaml": "resources: ['ssh://-oProxyCommand=x/a/b']\n"}, KindRemote, "web/kustomization.yaml", "characters"},
		"a ref that is option": {snapshot{"web/kustomization.yaml": "resources: ['https://x.example/a/b?ref=--upload-pack']\n"}, KindRemote, "web/kustomization.yaml", "characters"},
	} {
		t.Run(name, func(t *testing.T) {
			files := snapshot{"kustomization.yaml": "resources: ['" + upstream + "//web?ref=v1']\n", "secret.yaml": configMap}
			file := upstream + "//" + test.file + "?ref=v1"
			response, _ := files.renderFetching(t, map[string]any{"path": "."}, world{upstream + "@v1": {tree: base().with(test.files)}})
			failure := response.Error
			if failure == nil || failure.Kind != test.kind || failure.File != file || !strings.Contains(failure.Message, test.word) {
				t.Fatalf("want %s in %s, got %+v", test.kind, file, failure)
			}
			if strings.Contains(failure.Message, ".fetched") || strings.Contains(failure.File, ".fetched") {
				t.Errorf("the error names the mount: %+v", failure)
			}
		})
	}
	files := snapshot{"kustomization.yaml": "resources: ['" + upstream + "//web?ref=v1', '../.fetched/0/root.yaml']\n"}
	files.failsFetching(t, map[string]any{"path": "."}, world{upstream + "@v1": {tree: base()}}, KindOutside, "kustomization.yaml", "leaves the repository")
}

func TestRemoteEntriesThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct{ text, word string }{
		"not there":       {"resources: ['" + upstream + "//none?ref=v1']\n", "is no directory of the repository"},
		"component":       {"components: ['https://git.example/a.yaml']\n", "failed to parse repo path"},
		"a folded scalar": {"resources:\n- >-\n  " + upstream + "//web?ref=v1\n", "in one line"},
		"an alias":        {"commonAnnotations: {x: &x '" + upstream + "//web?ref=v1'}\nresources: [*x]\n", "in one line"},
		"an anchor":       {"resources: [&x '" + upstream + "//web?ref=v1']\n", "in one line"},
		"path exits":      {"resources: ['ssh://git@git.example/o/r//../x']\n", "exits repo"},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot{"kustomization.yaml": test.text}.failsFetching(t, map[string]any{"path": "."}, world{upstream + "@v1": {tree: base()}}, KindRemote, "kustomization.yaml", test.word)
		})
	}
}

func TestAllWantsOfOneRunAreGathered(t *testing.T) {
	files := snapshot{
		"kustomization.yaml":   "resources: [a, b, 'https://x.example/o/r//p?ref=v1', 'HTTPS://x.example/f.yaml']\ncomponents: [github.com/o/c]\n",
		"a/kustomization.yaml": "resources: ['https://x.example/o/r//q?ref=v1', 'ssh://git@x.example/o/r2']\n",
		"b/kustomization.yaml": "bases: ['git::https://x.example/o/r3.git//q?ref=v1']\n",
	}
	var got []string
	for _, want := range files.render(t, map[string]any{"path": "."}).Wants {
		got = append(got, want.Kind+" "+want.URL+" "+want.Reference)
	}
	slices.Sort(got)
	want := []string{"file https://x.example/f.yaml ", "git https://github.com/o/c ", "git https://x.example/o/r v1", "git https://x.example/o/r3.git v1", "git ssh://git@x.example/o/r2 "}
	if !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
}
