package main

import (
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resource"
)

// yamlErrorLine returns the line that a YAML parser names in its error, or 0.
func yamlErrorLine(message string) int {
	found := yamlLine.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	line, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return line
}

// kustomizationIn returns the kustomization file of a directory, or the
// directory where it has none.
func kustomizationIn(record *Record, directory string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if file := path.Join(directory, name); record.isFile(file) {
			return file
		}
	}
	return directory
}

// declared is a document of a file: what it declares, and its first line.
type declared struct {
	kind, name string
	line       int
}

// lineIndex finds the lines of resources in the files they come from. Every file
// is read once.
type lineIndex struct {
	record    *Record
	documents map[string][]declared
}

// of returns the first line of the document of a resource, or 0 where the file
// declares none, as for what is generated. Prefixes and suffixes were added to
// names by then, so the longest name within that of the resource is taken.
func (l *lineIndex) of(file string, resource *resource.Resource) int {
	documents, known := l.documents[file]
	if !known {
		documents = l.read(file)
		l.documents[file] = documents
	}
	line, best := 0, ""
	for _, document := range documents {
		if document.kind == resource.GetKind() && len(document.name) > len(best) && strings.Contains(resource.GetName(), document.name) {
			line, best = document.line, document.name
		}
	}
	return line
}

func (l *lineIndex) read(file string) []declared {
	data, err := l.record.file(file)
	if err != nil {
		return nil
	}
	var documents []declared
	for _, part := range splitStream(string(data)) {
		var head struct {
			Kind     string `yaml:"kind"`
			Metadata struct {
				Name string `yaml:"name"`
			} `yaml:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(part.text), &head); err == nil {
			documents = append(documents, declared{kind: head.Kind, name: head.Metadata.Name, line: part.line + blankLines(part.text)})
		}
	}
	return documents
}

// blankLines counts the lines before the first that holds more than a comment.
func blankLines(text string) int {
	count := 0
	for line := range strings.Lines(text) {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			break
		}
		count++
	}
	return count
}
