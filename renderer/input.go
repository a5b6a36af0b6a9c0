package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Limits of the input. The parent has its own; these keep an error readable
// where the parent could only see the program die.
const (
	maxRequestBytes = 16 << 20
	maxTreeBytes    = 256 << 20
	maxTreeEntries  = 100_000
)

// readInput reads the whole stream: request.json, the tree, and what was fetched.
// A *Failure is an error of the repository, any other error one of the protocol.
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
	tree, err := readEntries(archive, request.Fetched)
	if err != nil {
		return request, tree, err
	}
	return request, tree, checkContents(request.Fetched)
}

// readEntries reads the entries below tree/, which it returns, and those below
// fetched/. Directories come out of the paths of files; an entry of a directory
// keeps an empty one.
func readEntries(archive *tar.Reader, answers []Answer) (*Tree, error) {
	tree := newTree()
	entries, size := 0, int64(0)
	what := "the repository has"
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read an entry: %w", err)
		}
		isFetched := strings.HasPrefix(header.Name, fetchedPrefix)
		if isFetched {
			what = "the repository and what was fetched for it have"
		}
		if entries++; entries > maxTreeEntries {
			return nil, failuref(KindLimit, "", "%s more than %d files; render.root narrows what is rendered from", what, maxTreeEntries)
		}
		if size += header.Size; size > maxTreeBytes {
			return nil, failuref(KindLimit, "", "%s more than %d MiB; render.root narrows what is rendered from", what, maxTreeBytes>>20)
		}
		if isFetched {
			err = addFetched(answers, archive, header)
		} else {
			err = addEntry(tree, archive, header, treePrefix)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Where entries lie.
const (
	treePrefix    = "tree/"
	fetchedPrefix = "fetched/"
)

// addEntry adds an entry below a prefix to a tree.
func addEntry(tree *Tree, archive *tar.Reader, header *tar.Header, prefix string) error {
	name, err := entryPath(header, prefix)
	if err != nil {
		return err
	}
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

// addFetched adds an entry to the answer whose number it has.
func addFetched(answers []Answer, archive *tar.Reader, header *tar.Header) error {
	text, _, inside := strings.Cut(strings.TrimPrefix(header.Name, fetchedPrefix), "/")
	index, err := strconv.Atoi(text)
	if err != nil || index < 0 || index >= len(answers) || strconv.Itoa(index) != text {
		return fmt.Errorf("entry %q is none of the %d answers", header.Name, len(answers))
	}
	answer := &answers[index]
	switch {
	case answer.tree != nil:
		return addEntry(answer.tree, archive, header, fetchedPrefix+text+"/")
	case inside || header.Typeflag != tar.TypeReg:
		return fmt.Errorf("entry %q is not the file of an answer of kind %s", header.Name, answer.Kind)
	case answer.content != nil:
		return fmt.Errorf("entry %q is there twice", header.Name)
	}
	answer.content, err = readEntry(archive, header)
	return err
}

// checkContents refuses an answer without content. A repository may be empty.
func checkContents(answers []Answer) error {
	for i := range answers {
		if answers[i].tree == nil && answers[i].content == nil {
			return fmt.Errorf("fetched[%d] has no content", i)
		}
	}
	return nil
}

// entryPath returns the path of an entry below a prefix. What is not clean is an
// error of the parent, which takes the paths out of git's tree objects.
func entryPath(header *tar.Header, prefix string) (string, error) {
	full := strings.TrimSuffix(header.Name, "/")
	if full+"/" == prefix && header.Typeflag == tar.TypeDir {
		return ".", nil
	}
	name, found := strings.CutPrefix(full, prefix)
	if !found || name == "" || path.Clean("/"+name) != "/"+name || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("entry %q is not a clean path below %s", header.Name, prefix)
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
