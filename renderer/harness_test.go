package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program returns a binary that a variable names. The tests compare real
// programs: without them they fail, and never pass by skipping.
func program(t testing.TB, variable, name string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Fatalf("%s is not set: run renderer/test, which builds what the tests need", variable)
	}
	return filepath.Join(file, name)
}

// snapshot is a repository: contents by path. A content that starts with
// "-> " is the target of a symbolic link.
type snapshot map[string]string

const linkMark = "-> "

// directory reads a directory of testdata as a snapshot.
func directory(t testing.TB, root string) snapshot {
	t.Helper()
	files := snapshot{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		files[filepath.ToSlash(relative)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// with returns the snapshot with some more files.
func (s snapshot) with(more snapshot) snapshot {
	merged := maps.Clone(s)
	maps.Copy(merged, more)
	return merged
}

// write writes the snapshot to a directory of its own, for the official tools.
func (s snapshot) write(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range s {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, isLink := strings.CutPrefix(content, linkMark); isLink {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// archive returns the input of the renderer.
func (s snapshot) archive(t testing.TB, request map[string]any) []byte {
	t.Helper()
	settings := map[string]any{"version": 1}
	maps.Copy(settings, request)
	encoded, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	add := func(header *tar.Header, data string) {
		header.Mode = 0o644
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "request.json", Size: int64(len(encoded))}, string(encoded))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if target, isLink := strings.CutPrefix(s[name], linkMark); isLink {
			add(&tar.Header{Name: "tree/" + name, Typeflag: tar.TypeSymlink, Linkname: target}, "")
		} else {
			add(&tar.Header{Name: "tree/" + name, Size: int64(len(s[name]))}, s[name])
		}
	}
	if answers, found := request["fetched"].([]answer); found {
		writeFetched(answers, add)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// outcome is what a run of the program left.
type outcome struct {
	stdout, stderr []byte
	exit           int
}

// start runs the renderer on some input.
func start(t testing.TB, input []byte, arguments ...string) outcome {
	t.Helper()
	command := exec.Command(program(t, "RENDERER", ""), arguments...)
	command.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return outcome{stdout.Bytes(), stderr.Bytes(), command.ProcessState.ExitCode()}
}

// response is a Response with an error that may be looked into.
func (s snapshot) render(t testing.TB, request map[string]any) *Response {
	t.Helper()
	got := start(t, s.archive(t, request))
	if got.exit != 0 || len(got.stderr) > 0 {
		t.Fatalf("exit code %d, stderr %q", got.exit, got.stderr)
	}
	response := &Response{}
	decoder := json.NewDecoder(bytes.NewReader(got.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(response); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	return response
}

// renders fails the test unless the render succeeds.
func (s snapshot) renders(t testing.TB, request map[string]any) *Response {
	t.Helper()
	response := s.render(t, request)
	if response.Error != nil {
		t.Fatalf("the render failed: %+v", response.Error)
	}
	return response
}

// failsWith fails the test unless the render ends in an error of that kind, in
// that file, whose message has all of the words.
func (s snapshot) failsWith(t testing.TB, request map[string]any, kind, file string, words ...string) *Failure {
	t.Helper()
	response := s.render(t, request)
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
	if len(response.Documents) != 0 {
		t.Fatalf("%d documents beside an error", len(response.Documents))
	}
	return response.Error
}

// official runs helm or kustomize in a directory and returns its output.
func official(t testing.TB, root, tool string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.Command(program(t, "TOOLS", tool), arguments...)
	command.Dir = root
	home := filepath.Join(root, ".home")
	command.Env = []string{"HOME=" + home, "HELM_NO_PLUGINS=1", "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if err != nil {
		t.Logf("%s: %s", tool, stderr.String())
	}
	return stdout.String(), err
}

// equal fails the test at the first line that differs.
func equal(t testing.TB, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	wanted, had := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(had)) {
		a, b := "(end)", "(end)"
		if i < len(wanted) {
			a = wanted[i]
		}
		if i < len(had) {
			b = had[i]
		}
		if a != b {
			t.Fatalf("line %d differs:\nofficial: %q\nrenderer: %q", i+1, a, b)
		}
	}
}
