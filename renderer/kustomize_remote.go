package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What an entry of resources, bases or components names by a URL is used from
// what was fetched. kustomize gets single files by HTTP, from servedFiles. It
// would clone repositories with git: they are mounted instead, and the entry is
// rewritten to the mount.

// commit is a full SHA-1, which names the same content at any time.
var commit = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// rewrite is an entry of a kustomization that is read as another one.
type rewrite struct {
	node *yaml.Node
	to   string
}

// remoteEntry uses what an entry names by a URL, or wants it. kustomize reads the
// entry as relative to root once it is rewritten.
func (c *kustomizationCheck) remoteEntry(at treePath, data []byte, entry kustomizationEntry, root treePath) error {
	node := entryNode(data, entry.field)
	fail := func(format string, arguments ...any) error {
		failure := failuref(KindRemote, at.show(), "%s: %s", entry.field, fmt.Sprintf(format, arguments...))
		failure.Line = lineOf(node)
		return failure
	}
	want := Want{File: at.show(), Line: lineOf(node), Field: entry.field}
	if isFileURL(entry) {
		// kustomize asks for the URL as Go writes it.
		parsed, err := url.Parse(entry.value)
		if err != nil {
			return fail("%s cannot be fetched: it is no URL", withoutCredentials(entry.value))
		}
		want.Remote = Remote{Kind: fetchFile, URL: parsed.String()}
		c.mounts.written.add(want.URL)
		return c.remoteFile(want)
	}
	spec, err := parseRepoSpec(entry.value)
	if err == nil {
		err = spec.check()
	}
	if err != nil {
		return fail("%s cannot be fetched: %s", withoutCredentials(entry.value), err)
	}
	want.Remote = Remote{Kind: fetchGit, URL: spec.clone, Reference: spec.ref}
	want.Pinned = commit.MatchString(spec.ref)
	answer, err := c.remote().get(want)
	if errors.Is(err, errWanted) {
		c.wanted = true
		return nil
	}
	if err != nil {
		return err
	}
	target := treePath{c.mounts.add(entry.value, spec, answer.tree), path.Clean(spec.path)}
	if !target.isDirectory() {
		if err := c.mounts.refused(); err != nil {
			return fail("%s: %s", withoutCredentials(entry.value), err)
		}
		return fail("%s is no directory of the repository", withoutCredentials(entry.value))
	}
	relative, err := filepath.Rel(path.Join(root.mount.point, root.path), path.Join(target.mount.point, target.path))
	if err != nil {
		return fail("%s", err)
	}
	if node == nil || node.Kind != yaml.ScalarNode {
		return fail("%s: write the URL in one line, without an anchor or alias", withoutCredentials(entry.value))
	}
	c.rewrites = append(c.rewrites, rewrite{node, relative})
	c.next = append(c.next, reached{treePath: target})
	return nil
}

// remoteFile uses a single file that was fetched, or wants it.
func (c *kustomizationCheck) remoteFile(want Want) error {
	answer, err := c.remote().get(want)
	if errors.Is(err, errWanted) {
		c.wanted = true
		return nil
	}
	if err != nil {
		return err
	}
	shown := withoutCredentials(want.URL)
	if err := checkAliases(shown, answer.content); err != nil {
		return err
	}
	c.mounts.files[want.URL] = answer.content
	c.resources = append(c.resources, declaringFile{name: shown, data: answer.content})
	return nil
}

func (c *kustomizationCheck) remote() *fetched { return c.mounts.tree.record.remote }

// fileURL is the URL of a YAML file by its name, and rawHost a host that has
// nothing but files.
var (
	fileURL = regexp.MustCompile(`(?i)^https?://[^?#]*\.(?:ya?ml|json)(?:[?#].*)?$`)
	rawHost = regexp.MustCompile(`(?i)^https?://(?:raw|gist)\.githubusercontent\.com/`)
)

// isFileURL reports whether an entry names a single file. kustomize gets any URL
// by HTTP and clones it where what comes is no YAML, which is not to be known
// before. A component is always a directory.
func isFileURL(entry kustomizationEntry) bool {
	if entry.isComponent() {
		return false
	}
	if fileURL.MatchString(entry.value) || rawHost.MatchString(entry.value) {
		return true
	}
	if _, err := parseRepoSpec(entry.value); err == nil {
		return false
	}
	parsed, err := url.Parse(entry.value)
	return err == nil && (parsed.Scheme == "https" || parsed.Scheme == "http")
}

// entryNode returns the node of an entry such as resources[2], or nil.
func entryNode(data []byte, field string) *yaml.Node {
	key, index, found := cutIndex(field)
	var document map[string]yaml.Node
	if !found || yaml.Unmarshal(data, &document) != nil {
		return nil
	}
	list := document[key]
	if list.Kind != yaml.SequenceNode || index >= len(list.Content) {
		return nil
	}
	return list.Content[index]
}

// cutIndex splits the name of an entry.
func cutIndex(field string) (key string, index int, found bool) {
	key, text, found := strings.Cut(strings.TrimSuffix(field, "]"), "[")
	index = number(text)
	return key, index, found
}

func lineOf(node *yaml.Node) int {
	if node == nil {
		return 0
	}
	return node.Line
}

// rewriteEntries replaces entries in the text of a kustomization and keeps all
// else of it.
func rewriteEntries(at treePath, data []byte, rewrites []rewrite) ([]byte, error) {
	lines := bytes.SplitAfter(data, []byte("\n"))
	// From the end on, since a rewrite moves what comes after it on its line.
	slices.SortFunc(rewrites, func(a, b rewrite) int {
		return -cmp.Or(cmp.Compare(a.node.Line, b.node.Line), cmp.Compare(a.node.Column, b.node.Column))
	})
	for _, one := range rewrites {
		node := one.node
		start, end, found := scalarIn(lines, node)
		if !found {
			return nil, &Failure{Kind: KindRemote, File: at.show(), Line: node.Line,
				Message: withoutCredentials(node.Value) + ": write the URL in one line, without an anchor or escapes"}
		}
		line := lines[node.Line-1]
		lines[node.Line-1] = bytes.Join([][]byte{line[:start], []byte("'" + strings.ReplaceAll(one.to, "'", "''") + "'"), line[end:]}, nil)
	}
	return bytes.Join(lines, nil), nil
}

// scalarIn returns where on its line a scalar is written, with its quotes.
func scalarIn(lines [][]byte, node *yaml.Node) (start, end int, found bool) {
	if node.Line < 1 || node.Line > len(lines) {
		return 0, 0, false
	}
	line := lines[node.Line-1]
	start = 0
	for column := 1; column < node.Column && start < len(line); column++ {
		_, size := utf8.DecodeRune(line[start:])
		start += size
	}
	text := node.Value
	switch node.Style {
	case yaml.DoubleQuotedStyle:
		text = `"` + text + `"`
	case yaml.SingleQuotedStyle:
		text = "'" + text + "'"
	case 0:
	default:
		return 0, 0, false
	}
	return start, start + len(text), bytes.HasPrefix(line[start:], []byte(text))
}

// servedFiles answers kustomize's requests with what was fetched.
type servedFiles map[string][]byte

// RoundTrip implements http.RoundTripper.
func (s servedFiles) RoundTrip(request *http.Request) (*http.Response, error) {
	content, found := s[request.URL.String()]
	if !found {
		return refusingTransport{}.RoundTrip(request)
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)), Request: request}, nil
}
