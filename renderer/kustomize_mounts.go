package main

import (
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// mountPoint is where kustomize sees the root of the tree. It is not "/", since
// that has a parent: itself. A path that leaves the tree would be read as one in it.
const mountPoint = "/tree"

// fetchedMounts is where kustomize sees the repositories that were fetched, each
// below its number.
const fetchedMounts = "/.fetched"

// mount is a tree that kustomize sees: that of the repository, or of another one
// that was fetched for it.
type mount struct {
	point  string
	record *Record
	spec   *repoSpec // nil for the tree of the repository itself
}

// show names a file as errors and documents do.
func (m *mount) show(name string) string {
	if m.spec == nil {
		return name
	}
	return m.spec.show(name)
}

// treePath is a file or directory that kustomize sees.
type treePath struct {
	mount *mount
	path  string
}

func (l treePath) show() string { return l.mount.show(l.path) }

func (l treePath) isFile() bool { return l.mount.record.isFile(l.path) }

func (l treePath) isDirectory() bool { return l.mount.record.isDirectory(l.path) }

func (l treePath) file() ([]byte, error) { return l.mount.record.file(l.path) }

// resolve returns where it leads to by symbolic links.
func (l treePath) resolve() (treePath, error) {
	resolved, err := l.mount.record.resolve(l.path)
	return treePath{l.mount, resolved}, err
}

// join returns what a path names in a directory.
func (l treePath) join(name string) treePath { return treePath{l.mount, path.Join(l.path, name)} }

// mounts are all trees of a build.
type mounts struct {
	tree    *mount
	fetched []*mount
	byValue map[string]*mount // by the entry that names them
	// rewritten are the kustomizations that name mounts instead of URLs, in their
	// directories without symbolic links.
	rewritten map[treePath][]byte
	// files are those that were fetched one by one, by their URL.
	files map[string][]byte
	// charts are those of chart repositories that kustomizations name.
	charts map[pulledChart]*foundChart
	// written are the URLs that the kustomizations name.
	written writtenURLs
	// inflated is what charts declare, and failed what was wrong with one.
	inflated []declared
	failed   error
}

func newMounts(record *Record) *mounts {
	return &mounts{tree: &mount{point: mountPoint, record: record}, byValue: map[string]*mount{},
		rewritten: map[treePath][]byte{}, files: map[string][]byte{}, charts: map[pulledChart]*foundChart{}, written: writtenURLs{}}
}

// add mounts a repository for an entry. Two entries that are written otherwise
// have mounts of their own, as they have clones of their own in kustomize: a base
// may name another directory of its own repository.
func (m *mounts) add(value string, spec *repoSpec, tree *Tree) *mount {
	if found, known := m.byValue[value]; known {
		return found
	}
	added := &mount{point: path.Join(fetchedMounts, strconv.Itoa(len(m.fetched))), record: newRecord(tree, m.tree.record.remote), spec: spec}
	added.record.show = spec.show
	m.fetched = append(m.fetched, added)
	m.byValue[value] = added
	return added
}

// locate returns what a path in the file system of kustomize names.
func (m *mounts) locate(name string) (treePath, bool) {
	if !filepath.IsAbs(name) {
		name = path.Join(mountPoint, name)
	}
	name = path.Clean(name)
	for _, candidate := range m.fetched {
		if relative, found := below(candidate.point, name); found {
			return treePath{candidate, relative}, true
		}
	}
	relative, found := below(mountPoint, name)
	return treePath{m.tree, relative}, found
}

// below returns a path relative to a directory that it is in.
func below(directory, name string) (string, bool) {
	if name == directory {
		return ".", true
	}
	return strings.CutPrefix(name, directory+"/")
}

// refused returns the first path that may not be followed.
func (m *mounts) refused() error {
	for _, at := range append([]*mount{m.tree}, m.fetched...) {
		if at.record.refused != nil {
			return at.record.refused
		}
	}
	return nil
}

// mountedPath is a path in a mount, as kustomize writes it in an error or an
// annotation.
var mountedPath = regexp.MustCompile(`(?:(?:\.\./)+|/)\.fetched/(\d+)((?:/[^\s'",;()]*[^\s'",;():.])?)`)

// showPaths writes the paths of a message as they are in the tree, or by URL, and
// URLs as they may be shown.
func (m *mounts) showPaths(message string) string {
	message = mountedPath.ReplaceAllStringFunc(message, func(found string) string {
		parts := mountedPath.FindStringSubmatch(found)
		if number, err := strconv.Atoi(parts[1]); err == nil && number < len(m.fetched) {
			return m.fetched[number].show(path.Clean(strings.TrimPrefix(parts[2], "/")))
		}
		return found
	})
	message = strings.ReplaceAll(message, mountPoint+"/", "")
	return m.written.hide(strings.ReplaceAll(message, "'"+mountPoint+"'", "'.'"))
}
