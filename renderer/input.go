package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits of the input. The parent has its own; these keep an error readable
// where the parent could only see the program die.
const (
	maxRequestBytes = 16 << 20
	maxTreeBytes    = 256 << 20
	maxTreeEntries  = 100_000
)

// readInput reads the whole stream: request.json, then the tree. A *Failure is
// an error of the repository, any other error one of the protocol.
func readInput(stdin io.Reader) (*Request, *Tree, error) {
	archive := tar.NewReader(stdin)
	header, err := archive.Next()
	if err != nil {
		return nil, nil, fmt.Errorf("read the first entry: %w", err)
	}
	if header.Name != "request.json" || header.Typeflag != tar.TypeReg {
		return nil, nil, fmt.Errorf("the first entry is %q, and has to be the file request.json", header.Name)
	}
	if header.Size > maxRequestBytes {
		return nil, nil, fmt.Errorf("request.json has %d bytes; at most %d are read", header.Size, maxRequestBytes)
	}
	data, err := readEntry(archive, header)
	if err != nil {
		return nil, nil, err
	}
	request, err := parseRequest(data)
	if err != nil {
		return nil, nil, err
	}
	tree, err := readTree(archive)
	return request, tree, err
}

// readTree reads the entries below tree/. Directories come out of the paths of
// files; an entry of a directory keeps an empty one.
func readTree(archive *tar.Reader) (*Tree, error) {
	tree := newTree()
	entries, size := 0, int64(0)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read an entry: %w", err)
		}
		if entries++; entries > maxTreeEntries {
			return nil, failuref(KindLimit, "", "the repository has more than %d files; render.root narrows what is rendered from", maxTreeEntries)
		}
		if size += header.Size; size > maxTreeBytes {
			return nil, failuref(KindLimit, "", "the repository has more than %d MiB; render.root narrows what is rendered from", maxTreeBytes>>20)
		}
		name, err := entryPath(header)
		if err != nil {
			return nil, err
		}
		if err := addEntry(tree, archive, header, name); err != nil {
			return nil, err
		}
	}
}

func addEntry(tree *Tree, archive *tar.Reader, header *tar.Header, name string) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return tree.addDirectory(name)
	case tar.TypeSymlink:
		return tree.addLink(name, header.Linkname)
	case tar.TypeReg:
		data, err := readEntry(archive, header)
		if err != nil {
			return err
		}
		return tree.addFile(name, data)
	default:
		return fmt.Errorf("entry %q has type %q; files, directories and symbolic links are known", header.Name, header.Typeflag)
	}
}

// entryPath returns the path in the tree of an entry. What is not clean is an
// error of the parent, which takes the paths out of git's tree objects.
func entryPath(header *tar.Header) (string, error) {
	full := strings.TrimSuffix(header.Name, "/")
	if full == "tree" && header.Typeflag == tar.TypeDir {
		return ".", nil
	}
	name, found := strings.CutPrefix(full, "tree/")
	if !found || name == "" || path.Clean("/"+name) != "/"+name || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("entry %q is not a clean path below tree/", header.Name)
	}
	return name, nil
}

func readEntry(archive *tar.Reader, header *tar.Header) ([]byte, error) {
	data := make([]byte, header.Size)
	if _, err := io.ReadFull(archive, data); err != nil {
		return nil, fmt.Errorf("read entry %q: %w", header.Name, err)
	}
	return data, nil
}
