package main

import (
	"path"
	"strings"
)

// renderPlain returns the documents of all files below the path that are YAML
// or JSON by their name, in the order of their paths. Hidden files and
// directories are left out.
func renderPlain(request *Request, record *Record, response *Response) error {
	if !record.isDirectory(request.Path) {
		return missingPath(record, request.Path, "the path is no directory of the repository")
	}
	stack := []string{request.Path}
	for visited := 0; len(stack) > 0; visited++ {
		name := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if visited > maxTreeEntries {
			return failuref(KindLimit, request.Path, "symbolic links multiply the path to more than %d files", maxTreeEntries)
		}
		resolved, err := record.resolve(name)
		if err != nil {
			if isAbsent(err) {
				return failuref(KindSymlink, name, "the symbolic link leads to nothing")
			}
			return err
		}
		if record.isDirectory(resolved) {
			children, err := record.list(name)
			if err != nil {
				return err
			}
			for i := len(children) - 1; i >= 0; i-- {
				if !strings.HasPrefix(children[i], ".") {
					stack = append(stack, path.Join(name, children[i]))
				}
			}
			continue
		}
		if err := plainFile(name, record, response); err != nil {
			return err
		}
	}
	return nil
}

func plainFile(name string, record *Record, response *Response) error {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
	default:
		return nil
	}
	data, err := record.file(name)
	if err != nil {
		return err
	}
	if err := checkAliases(name, data); err != nil {
		return err
	}
	for _, part := range splitStream(string(data)) {
		response.Documents = append(response.Documents, Document{YAML: part.text, Source: name, File: name, Line: part.line})
	}
	return nil
}
