package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// mountPoint is where kustomize sees the root of the tree. It is not "/", since
// that has a parent: itself. A path that leaves the tree would be read as one in it.
const mountPoint = "/tree"

// mounted is the tree as kustomize's file system, read-only. Every read is
// recorded.
type mounted struct {
	record *Record
}

var errReadOnly = errors.New("the repository is read-only")

// inTree returns the path in the tree of a path in the file system.
func (m *mounted) inTree(name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = path.Join(mountPoint, name)
	}
	name = path.Clean(name)
	if name == mountPoint {
		return ".", nil
	}
	relative, found := strings.CutPrefix(name, mountPoint+"/")
	if !found {
		err := failuref(KindOutside, "", "%s leaves the repository", name)
		if m.record.refused == nil {
			m.record.refused = err
		}
		return "", err
	}
	return relative, nil
}

// ReadFile implements filesys.FileSystem.
func (m *mounted) ReadFile(name string) ([]byte, error) {
	relative, err := m.inTree(name)
	if err != nil {
		return nil, err
	}
	data, err := m.record.file(relative)
	if err != nil {
		if isAbsent(err) && m.record.isDirectory(relative) {
			return nil, fmt.Errorf("read %s: is a directory", name)
		}
		return nil, absentAs(name, err)
	}
	if err := checkAliases(relative, data); err != nil {
		if m.record.refused == nil {
			m.record.refused = err
		}
		return nil, err
	}
	return data, nil
}

// absentAs gives an error the form that it has on a disk.
func absentAs(name string, err error) error {
	if isAbsent(err) {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return err
}

// CleanedAbs implements filesys.FileSystem: the directory without symbolic
// links, and the name of a file in it.
func (m *mounted) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	relative, err := m.inTree(name)
	if err != nil {
		return "", "", err
	}
	resolved, err := m.record.resolve(relative)
	if err != nil {
		return "", "", absentAs(name, err)
	}
	if m.record.isFile(resolved) {
		return filesys.ConfirmedDir(path.Join(mountPoint, path.Dir(resolved))), path.Base(resolved), nil
	}
	return filesys.ConfirmedDir(path.Join(mountPoint, resolved)), "", nil
}

// IsDir implements filesys.FileSystem.
func (m *mounted) IsDir(name string) bool {
	relative, err := m.inTree(name)
	return err == nil && m.record.isDirectory(relative)
}

// Exists implements filesys.FileSystem.
func (m *mounted) Exists(name string) bool {
	relative, err := m.inTree(name)
	return err == nil && (m.record.isDirectory(relative) || m.record.isFile(relative))
}

// ReadDir implements filesys.FileSystem.
func (m *mounted) ReadDir(name string) ([]string, error) {
	relative, err := m.inTree(name)
	if err != nil {
		return nil, err
	}
	names, err := m.record.list(relative)
	return names, absentAs(name, err)
}

// What building never asks for, and what would write.

// Open implements filesys.FileSystem.
func (m *mounted) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Create implements filesys.FileSystem.
func (m *mounted) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem.
func (m *mounted) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem.
func (m *mounted) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem.
func (m *mounted) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem.
func (m *mounted) WriteFile(string, []byte) error { return errReadOnly }

// Glob implements filesys.FileSystem.
func (m *mounted) Glob(string) ([]string, error) { return nil, errReadOnly }

// Walk implements filesys.FileSystem.
func (m *mounted) Walk(string, filepath.WalkFunc) error { return errReadOnly }
