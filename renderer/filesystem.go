package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// mounted are the trees of a build as kustomize's file system, read-only. Every
// read is recorded.
type mounted struct {
	*mounts
}

var errReadOnly = errors.New("the repository is read-only")

// at returns what a path names.
func (m *mounted) at(name string) (treePath, error) {
	found, ok := m.locate(name)
	if !ok {
		err := failuref(KindOutside, "", "%s leaves the repository", m.showPaths(name))
		m.tree.record.refuse(err)
		return found, err
	}
	return found, nil
}

// ReadFile implements filesys.FileSystem.
func (m *mounted) ReadFile(name string) ([]byte, error) {
	at, err := m.at(name)
	if err != nil {
		return nil, err
	}
	data, err := at.file()
	if err != nil {
		if isAbsent(err) && at.isDirectory() {
			return nil, fmt.Errorf("read %s: is a directory", name)
		}
		return nil, absentAs(name, err)
	}
	if err := checkAliases(at.show(), data); err != nil {
		m.tree.record.refuse(err)
		return nil, err
	}
	if rewritten, found := m.rewritten[at]; found {
		return rewritten, nil
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
	at, err := m.at(name)
	if err != nil {
		return "", "", err
	}
	resolved, err := at.mount.record.resolve(at.path)
	if err != nil {
		return "", "", absentAs(name, err)
	}
	if at.mount.record.isFile(resolved) {
		return filesys.ConfirmedDir(path.Join(at.mount.point, path.Dir(resolved))), path.Base(resolved), nil
	}
	return filesys.ConfirmedDir(path.Join(at.mount.point, resolved)), "", nil
}

// IsDir implements filesys.FileSystem.
func (m *mounted) IsDir(name string) bool {
	at, err := m.at(name)
	return err == nil && at.isDirectory()
}

// Exists implements filesys.FileSystem.
func (m *mounted) Exists(name string) bool {
	at, err := m.at(name)
	return err == nil && (at.isDirectory() || at.isFile())
}

// ReadDir implements filesys.FileSystem.
func (m *mounted) ReadDir(name string) ([]string, error) {
	at, err := m.at(name)
	if err != nil {
		return nil, err
	}
	names, err := at.mount.record.list(at.path)
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
