package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxLinks is how many symbolic links one path may pass, as in Linux.
const maxLinks = 40

// Tree is the snapshot of the repository, in memory. Paths are relative to its
// root, clean and with slashes; "." is the root.
type Tree struct {
	files       map[string][]byte
	links       map[string]string
	directories map[string][]string // names of children, sorted by finish
}

func newTree() *Tree {
	return &Tree{files: map[string][]byte{}, links: map[string]string{}, directories: map[string][]string{".": nil}}
}

func (t *Tree) addFile(name string, data []byte) error {
	if err := t.addName(name); err != nil {
		return err
	}
	t.files[name] = data
	return nil
}

func (t *Tree) addLink(name, target string) error {
	if err := t.addName(name); err != nil {
		return err
	}
	t.links[name] = target
	return nil
}

func (t *Tree) addDirectory(name string) error {
	if _, found := t.directories[name]; found {
		return nil
	}
	if err := t.addName(name); err != nil {
		return err
	}
	t.directories[name] = nil
	return nil
}

// addName makes a name known to its parents, of which missing ones are added.
func (t *Tree) addName(name string) error {
	if t.has(name) {
		return fmt.Errorf("entry %q is there twice", name)
	}
	for {
		parent := path.Dir(name)
		siblings, found := t.directories[parent]
		if !found && t.has(parent) {
			return fmt.Errorf("entry %q lies below %q, which is no directory", name, parent)
		}
		t.directories[parent] = append(siblings, path.Base(name))
		if found {
			return nil
		}
		name = parent
	}
}

func (t *Tree) has(name string) bool {
	if _, found := t.files[name]; found {
		return true
	}
	if _, found := t.links[name]; found {
		return true
	}
	_, found := t.directories[name]
	return found
}

// children returns the sorted names in a directory that was resolved.
func (t *Tree) children(directory string) []string {
	names := t.directories[directory]
	if !slices.IsSorted(names) {
		slices.Sort(names)
	}
	return names
}

// resolution is where a path leads.
type resolution struct {
	path  string   // without symbolic links
	links []string // that were followed on the way
}

// resolve follows symbolic links. It returns fs.ErrNotExist, or a *Failure for
// a path or a link that leaves the tree.
func (t *Tree) resolve(name string) (resolution, error) {
	found := resolution{path: "."}
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if found.path == "." {
				return found, leaves(name, found.links)
			}
			found.path = path.Dir(found.path)
			continue
		}
		next := path.Join(found.path, part)
		target, isLink := t.links[next]
		if !isLink {
			if !t.has(next) {
				return found, fs.ErrNotExist
			}
			if _, isFile := t.files[next]; isFile && len(rest) > 0 {
				return found, fs.ErrNotExist
			}
			found.path = next
			continue
		}
		found.links = append(found.links, next)
		if len(found.links) > maxLinks {
			return found, failuref(KindSymlink, found.links[0], "the symbolic link leads through more than %d others", maxLinks)
		}
		if path.IsAbs(target) {
			return found, leaves(name, found.links)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return found, nil
}

// leaves returns the failure of a path that leaves the tree, by its last link
// or by itself.
func leaves(name string, links []string) *Failure {
	if len(links) == 0 {
		return failuref(KindOutside, name, "the path leaves the repository")
	}
	return failuref(KindSymlink, links[len(links)-1], "the symbolic link leaves the repository")
}

// cleanPath returns a path of the request, relative to the root of the tree.
func cleanPath(name string) (string, error) {
	cleaned := path.Clean(strings.TrimPrefix(name, "./"))
	if path.IsAbs(cleaned) || cleaned == ".." || strings.HasPrefix(cleaned, "../") {
		return "", failuref(KindOutside, name, "the path leaves the repository")
	}
	return cleaned, nil
}

// isAbsent reports whether an error says that a path is not there, rather than
// that it may not be followed.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist)
}
