package main

import (
	"path"
	"strconv"
	"strings"

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

// lineOf returns the first line of the document of a resource in its file, or 0
// where the file declares none of that kind and name, as for what is generated.
func lineOf(record *Record, file string, resource *resource.Resource) int {
	data, err := record.file(file)
	if err != nil {
		return 0
	}
	id := resource.OrgId()
	for _, part := range splitStream(string(data)) {
		if declares(part.text, "kind:", id.Kind) && declares(part.text, "name:", id.Name) {
			return part.line + blankLines(part.text)
		}
	}
	return 0
}

// declares reports whether a line of a document gives a key that value.
func declares(text, key, value string) bool {
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(strings.TrimSpace(line), key)
		if !found {
			continue
		}
		rest, _, _ = strings.Cut(rest, " #")
		if strings.Trim(strings.TrimSpace(rest), `"'`) == value {
			return true
		}
	}
	return false
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
