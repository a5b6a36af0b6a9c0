package main

import (
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
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
func kustomizationIn(directory treePath) treePath {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if file := directory.join(name); file.isFile() {
			return file
		}
	}
	return directory
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
