package main

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
)

// answer is something that the parent fetched.
type answer struct {
	Kind      string `json:"kind"`
	URL       string `json:"url"`
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Pinned    bool   `json:"pinned"`

	content string
	tree    snapshot // of a repository
}

// writeFetched adds what was fetched to the input of the renderer.
func writeFetched(answers []answer, add func(*tar.Header, string)) {
	for i, one := range answers {
		name := fmt.Sprintf("fetched/%d", i)
		if one.Kind != fetchGit {
			add(&tar.Header{Name: name, Size: int64(len(one.content))}, one.content)
			continue
		}
		for _, file := range slices.Sorted(maps.Keys(one.tree)) {
			if target, isLink := strings.CutPrefix(one.tree[file], linkMark); isLink {
				add(&tar.Header{Name: name + "/" + file, Typeflag: tar.TypeSymlink, Linkname: target}, "")
			} else {
				add(&tar.Header{Name: name + "/" + file, Size: int64(len(one.tree[file]))}, one.tree[file])
			}
		}
	}
}

// world is what can be fetched, by URL. A repository has its reference behind
// its URL, after "@". What was fetched long ago has aged behind it, and answers
// wants that are pinned.
type world map[string]answer

const aged = " long ago"

// maxRounds is how often a render may ask for more.
const maxRounds = 8

// renderFetching renders as the parent does: until nothing is wanted any more.
func (s snapshot) renderFetching(t testing.TB, request map[string]any, from world) (*Response, []Want) {
	t.Helper()
	var answers []answer
	var wants []Want
	for range maxRounds {
		all := maps.Clone(request)
		all["fetched"] = answers
		response := s.render(t, all)
		if response.Error != nil || len(response.Wants) == 0 {
			return response, wants
		}
		if len(response.Documents)+len(response.Hooks) > 0 {
			t.Fatalf("documents beside wants: %+v", response.Wants)
		}
		for _, want := range response.Wants {
			wants = append(wants, want)
			key := want.URL
			if want.Kind == fetchGit {
				key += "@" + want.Reference
			}
			found, there := from[key+aged]
			if !there || !want.Pinned {
				found, there = from[key]
			}
			if !there {
				t.Fatalf("%s is nowhere", key)
			}
			found.Kind, found.URL, found.Reference, found.Digest, found.Pinned = want.Kind, want.URL, want.Reference, want.Digest, want.Pinned
			answers = slices.DeleteFunc(answers, func(known answer) bool {
				return known.Kind == want.Kind && known.URL == want.URL && known.Reference == want.Reference && known.Digest == want.Digest
			})
			answers = append(answers, found)
		}
	}
	t.Fatalf("wants something after %d rounds: %+v", maxRounds, wants)
	return nil, nil
}

// rendersFetching fails the test unless the render succeeds.
func (s snapshot) rendersFetching(t testing.TB, request map[string]any, from world) (*Response, []Want) {
	t.Helper()
	response, wants := s.renderFetching(t, request, from)
	if response.Error != nil {
		t.Fatalf("the render failed: %+v", response.Error)
	}
	return response, wants
}

// failsFetching fails the test unless the render ends in such an error.
func (s snapshot) failsFetching(t testing.TB, request map[string]any, from world, kind, file string, words ...string) *Response {
	t.Helper()
	response, _ := s.renderFetching(t, request, from)
	if response.Error == nil {
		t.Fatalf("the render succeeded with %d documents", len(response.Documents))
	}
	if response.Error.Kind != kind || response.Error.File != file {
		t.Fatalf("want an error of kind %s in %q, got %+v", kind, file, response.Error)
	}
	for _, word := range words {
		if !strings.Contains(response.Error.Message, word) {
			t.Fatalf("want %q in the message %q", word, response.Error.Message)
		}
	}
	return response
}

// repository is a chart repository that is served for the official tools: its
// archives by path, and the index of them.
type repository struct {
	url      string
	archives map[string]string
	index    string
}

// serve serves archives, which are called NAME-VERSION.tgz.
func serve(t testing.TB, archives map[string]string) *repository {
	t.Helper()
	served := &repository{archives: archives}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/charts/")
		content, found := served.archives[name]
		if name == "index.yaml" {
			content, found = served.index, true
		}
		if !found {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(content))
	}))
	t.Cleanup(server.Close)
	served.url = server.URL + "/charts"
	served.index = indexOf(archives)
	return served
}

// indexOf returns the index of archives.
func indexOf(archives map[string]string) string {
	entries := map[string][]string{}
	for _, file := range slices.Sorted(maps.Keys(archives)) {
		name, version := chartOf(file)
		entries[name] = append(entries[name], fmt.Sprintf("  - apiVersion: v2\n    created: \"2024-01-02T03:04:05Z\"\n    description: |\n      Some text\n\n      # no comment\n    digest: %x\n    name: %s\n    type: application\n    urls:\n    - %s\n    version: %s\n",
			sha256.Sum256([]byte(archives[file])), name, file, version))
	}
	index := "apiVersion: v1\nentries:\n"
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		index += "  " + name + ":\n" + strings.Join(entries[name], "")
	}
	return index + "generated: \"2024-01-02T03:04:05Z\"\n"
}

// chartOf splits NAME-VERSION.tgz.
func chartOf(file string) (name, version string) {
	base := strings.TrimSuffix(path.Base(file), ".tgz")
	for i := range base {
		if base[i] == '-' && i+1 < len(base) && base[i+1] >= '0' && base[i+1] <= '9' {
			return base[:i], base[i+1:]
		}
	}
	return base, ""
}

// world returns what a parent would fetch from the repository.
func (r *repository) world() world {
	found := world{r.url + "/index.yaml": {content: r.index}}
	for name, content := range r.archives {
		found[r.url+"/"+name] = answer{content: content}
	}
	return found
}

// tinyChart returns the archive of a chart with one ConfigMap.
func tinyChart(t testing.TB, name, version string, more snapshot) string {
	t.Helper()
	files := snapshot{
		name + "/Chart.yaml":        "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n",
		name + "/values.yaml":       "color: red\n",
		name + "/templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-" + name + "\ndata:\n  chart: {{ .Chart.Name }} {{ .Chart.Version }}\n  color: {{ .Values.color }}\n",
	}
	for file, content := range more {
		files[name+"/"+file] = content
	}
	return packed(t, files, name)
}
