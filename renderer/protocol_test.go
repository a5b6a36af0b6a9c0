package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// raw returns an input of some entries.
func raw(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, header := range headers {
		data := header.Uname // the content, in these tests
		header.Uname, header.Mode, header.Size = "", 0o644, int64(len(data))
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestABrokenProtocolExitsWith2(t *testing.T) {
	request := tar.Header{Name: "request.json", Uname: `{"version": 1, "path": "."}`}
	fetched := tar.Header{Name: "request.json", Uname: `{"version": 1, "fetched": [{"kind": "file", "url": "x"}]}`}
	for name, input := range map[string][]byte{
		"nothing":          {},
		"noise":            []byte(strings.Repeat("noise", 1000)),
		"no request":       raw(t, tar.Header{Name: "tree/a", Uname: "a"}),
		"not JSON":         raw(t, tar.Header{Name: "request.json", Uname: "{"}),
		"another version":  raw(t, tar.Header{Name: "request.json", Uname: `{"version": 2}`}),
		"unknown key":      raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "pth": "."}`}),
		"unknown renderer": raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "renderer": "jsonnet"}`}),
		"two requests":     raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1}{}`}),
		"outside":          raw(t, request, tar.Header{Name: "tree/../a", Uname: "a"}),
		"beside":           raw(t, request, tar.Header{Name: "a", Uname: "a"}),
		"twice":            raw(t, request, tar.Header{Name: "tree/a", Uname: "a"}, tar.Header{Name: "tree/a", Uname: "a"}),
		"below a file":     raw(t, request, tar.Header{Name: "tree/a", Uname: "a"}, tar.Header{Name: "tree/a/b", Uname: "a"}),
		"device":           raw(t, request, tar.Header{Name: "tree/a", Typeflag: tar.TypeChar}),
		"hard link":        raw(t, request, tar.Header{Name: "tree/a", Typeflag: tar.TypeLink, Linkname: "tree/b"}),
		"unknown answer":   raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "fetched": [{"kind": "ftp", "url": "x"}]}`}),
		"no content":       raw(t, fetched),
		"no such answer":   raw(t, fetched, tar.Header{Name: "fetched/1", Uname: "a"}),
		"odd number":       raw(t, fetched, tar.Header{Name: "fetched/00", Uname: "a"}),
		"answer as a link": raw(t, fetched, tar.Header{Name: "fetched/0", Typeflag: tar.TypeSymlink, Linkname: "x"}),
		"file as a tree":   raw(t, fetched, tar.Header{Name: "fetched/0/a", Uname: "a"}),
		"answer twice":     raw(t, fetched, tar.Header{Name: "fetched/0", Uname: "a"}, tar.Header{Name: "fetched/0", Uname: "a"}),
		"answer of errors": raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "fetched": [{"kind": "file", "url": "x", "error": "e"}]}`}, tar.Header{Name: "fetched/0", Uname: "a"}),
		"outside a tree":   raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "fetched": [{"kind": "git", "url": "x"}]}`}, tar.Header{Name: "fetched/0/../a", Uname: "a"}),
		"tree as a file":   raw(t, tar.Header{Name: "request.json", Uname: `{"version": 1, "fetched": [{"kind": "git", "url": "x"}]}`}, tar.Header{Name: "fetched/0", Uname: "a"}),
		"cut off":          raw(t, request, tar.Header{Name: "tree/a", Uname: strings.Repeat("a", 9000)})[:4000],
	} {
		t.Run(name, func(t *testing.T) {
			if got := start(t, input); got.exit != exitProtocol || len(got.stdout) > 0 || len(got.stderr) == 0 {
				t.Errorf("exit code %d, stdout %q, stderr %q", got.exit, got.stdout, got.stderr)
			}
		})
	}
	if got := start(t, nil, "--help"); got.exit != exitProtocol {
		t.Errorf("exit code %d for an unknown argument", got.exit)
	}
}

func TestTooManyFilesAreAnError(t *testing.T) {
	files := snapshot{}
	for i := range maxTreeEntries + 1 {
		files[fmt.Sprintf("d%d/f%d", i/1000, i)] = ""
	}
	files.failsWith(t, map[string]any{"path": "."}, KindLimit, "", "100000 files")
}

func TestVersionsAreThoseOfTheLibraries(t *testing.T) {
	got := start(t, nil, "--version")
	var printed struct {
		Version   int
		Libraries map[string]string
	}
	if err := json.Unmarshal(got.stdout, &printed); err != nil || got.exit != 0 {
		t.Fatalf("exit code %d, %v in %s", got.exit, err, got.stdout)
	}
	if printed.Version != protocolVersion || printed.Libraries["helm.sh/helm/v4"] == "" || printed.Libraries["sigs.k8s.io/kustomize/api"] == "" {
		t.Errorf("versions are missing in %s", got.stdout)
	}
}

func TestPlainFilesAreSplitWithTheirLines(t *testing.T) {
	files := snapshot{
		"deploy/b.yml":          "# first\n" + configMap + "---\n# nothing\n---\n" + configMap,
		"deploy/a.json":         `{"kind": "A"}`,
		"deploy/sub/c.yaml":     "---\n" + configMap + "--- # end\n",
		"deploy/README.md":      "---\nno manifest\n",
		"deploy/.hidden/d.yaml": configMap,
	}
	response := files.renders(t, map[string]any{"path": "deploy"})
	var got []string
	for _, document := range response.Documents {
		got = append(got, fmt.Sprintf("%s:%d", document.File, document.Line))
	}
	want := "deploy/a.json:1 deploy/b.yml:1 deploy/b.yml:8 deploy/sub/c.yaml:2"
	if strings.Join(got, " ") != want || response.Renderer != RendererPlain {
		t.Errorf("want %s, got %s by %s", want, got, response.Renderer)
	}
}

func TestTheResponseIsWhatItsTagsSay(t *testing.T) {
	texts := []string{"", "a: b\nc: \"d\\e\"\n", "\x00\x01\b\f\r\t\x1f\x7f", "<a> & b", "é\u2028\u2029\U0001F600\uFFFD", strings.Repeat("x: y\n", 100_000)}
	response := newResponse()
	for i, text := range texts {
		response.Documents = append(response.Documents, Document{YAML: text, Source: text + "s", File: text, Line: i})
		response.Hooks = append(response.Hooks, Hook{Document: Document{YAML: text, Source: "s"}, Events: []string{"e"}, DeletePolicies: []string{}, OutputLogPolicies: []string{}})
	}
	for _, response := range []*Response{response, newResponse()} {
		var written bytes.Buffer
		if err := writeResponse(&written, response); err != nil {
			t.Fatal(err)
		}
		if strings.Count(written.String(), "\n") != 1 || !bytes.HasSuffix(written.Bytes(), []byte("\n")) {
			t.Error("want one line")
		}
		tagged, err := json.Marshal(response)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := errors.Join(json.Unmarshal(tagged, &want), json.Unmarshal(written.Bytes(), &got)); err != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("%v: want %.300s\ngot %.300s", err, tagged, written.Bytes())
		}
	}
	if got := string(appendText(nil, "a\xffb")); got != "\"a\uFFFDb\"" {
		t.Errorf("got %q", got)
	}
}
