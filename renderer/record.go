package main

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
)

// Record reads the tree and keeps in mind what was read, so that the parent
// knows which changes of the repository cannot change the output.
type Record struct {
	tree   *Tree
	read   map[string]struct{}
	absent map[string]struct{}
	listed map[string]struct{}
	// refused is the first path that may not be followed. A library that tried
	// several may report another error.
	refused error
	// remote is what lies outside of the tree.
	remote *fetched
	// show names the files of a tree that was fetched; nil for the repository.
	show func(string) string
}

func newRecord(tree *Tree, remote *fetched) *Record {
	return &Record{tree: tree, remote: remote, read: map[string]struct{}{}, absent: map[string]struct{}{}, listed: map[string]struct{}{}}
}

// resolve follows symbolic links and records them, or that the path is absent.
func (r *Record) resolve(name string) (string, error) {
	found, err := r.tree.resolve(name)
	for _, link := range found.links {
		r.read[link] = struct{}{}
	}
	if err != nil {
		if isAbsent(err) {
			r.absent[name] = struct{}{}
		} else {
			var failure *Failure
			if r.show != nil && errors.As(err, &failure) {
				failure.File = r.show(failure.File)
			}
			r.refuse(err)
		}
		return "", err
	}
	return found.path, nil
}

// refuse keeps the first reason.
func (r *Record) refuse(err error) {
	if r.refused == nil {
		r.refused = err
	}
}

// file returns the content of a file. It is fs.ErrNotExist for a directory.
func (r *Record) file(name string) ([]byte, error) {
	resolved, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	data, found := r.tree.files[resolved]
	if !found {
		return nil, fs.ErrNotExist
	}
	r.read[resolved] = struct{}{}
	return data, nil
}

// isDirectory reports whether there is a directory.
func (r *Record) isDirectory(name string) bool {
	resolved, err := r.resolve(name)
	if err != nil {
		return false
	}
	_, found := r.tree.directories[resolved]
	return found
}

// isFile reports whether there is a file, without reading it.
func (r *Record) isFile(name string) bool {
	resolved, err := r.resolve(name)
	if err != nil {
		return false
	}
	_, found := r.tree.files[resolved]
	return found
}

// list returns the sorted names in a directory.
func (r *Record) list(name string) ([]string, error) {
	resolved, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	if _, found := r.tree.directories[resolved]; !found {
		return nil, fs.ErrNotExist
	}
	r.listed[resolved] = struct{}{}
	return r.tree.children(resolved), nil
}

// sorted returns the paths that were read, absent and listed.
func (r *Record) sorted() (read, absent, listed []string) {
	names := func(set map[string]struct{}) []string {
		sorted := slices.AppendSeq(make([]string, 0, len(set)), maps.Keys(set))
		slices.Sort(sorted)
		return sorted
	}
	return names(r.read), names(r.absent), names(r.listed)
}
