package main

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
)

// declared is a resource as a file declares it, before kustomize changes it.
type declared struct {
	kind, namespace, name string
	file                  string
	line                  int
}

// declarations finds where resources are declared. kustomize could note that
// itself, by its option originAnnotations, but takes twice the time with it.
type declarations map[string][]declared // by kind

// declaringFile is a file of resources. One that is not in the tree has no lines.
type declaringFile struct {
	name  string
	data  []byte
	lines bool
}

// indexDeclared reads what the files of a build declare.
func indexDeclared(check *kustomizationCheck) declarations {
	index := declarations{}
	add := func(d declared) { index[d.kind] = append(index[d.kind], d) }
	for _, d := range slices.Concat(check.generated, check.mounts.inflated) {
		add(d)
	}
	for _, file := range check.resources {
		for _, part := range splitStream(string(file.data)) {
			if d, ok := declaredBy(part); ok {
				d.file = file.name
				if !file.lines {
					d.line = 0
				}
				add(d)
			}
		}
	}
	return index
}

// of returns the declaration of a resource. Prefixes and suffixes were added to
// its name, so it is the one with the longest name within that of the resource.
// Where several files have it, the namespace decides, or else nothing is said.
func (d declarations) of(kind, namespace, name string) declared {
	var found []declared
	for _, candidate := range d[kind] {
		if candidate.name == "" || !strings.Contains(name, candidate.name) {
			continue
		}
		if len(found) > 0 && len(candidate.name) < len(found[0].name) {
			continue
		}
		if len(found) > 0 && len(candidate.name) > len(found[0].name) {
			found = found[:0]
		}
		found = append(found, candidate)
	}
	if len(found) > 1 {
		var same []declared
		for _, candidate := range found {
			if candidate.namespace == namespace {
				same = append(same, candidate)
			}
		}
		found = same
	}
	if len(found) != 1 {
		return declared{}
	}
	return found[0]
}

// declaredBy returns what a document declares. Most are written in a form that
// needs no parser, which would take longer than kustomize itself.
func declaredBy(document part) (declared, bool) {
	d, plain := scanHead(document.text)
	if !plain {
		var head struct {
			Kind     string `yaml:"kind"`
			Metadata struct {
				Name      string `yaml:"name"`
				Namespace string `yaml:"namespace"`
			} `yaml:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(document.text), &head); err != nil {
			return declared{}, false
		}
		d = declared{kind: head.Kind, name: head.Metadata.Name, namespace: head.Metadata.Namespace}
	}
	d.line = document.line + blankLines(document.text)
	return d, d.kind != ""
}

// scanHead reads kind, name and namespace out of a document in block style. It
// returns false where one of them is written otherwise.
func scanHead(text string) (declared, bool) {
	var d declared
	inMetadata, depth := false, 0
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		key, value, found := strings.Cut(trimmed, ":")
		value = strings.TrimSpace(value)
		if indent == 0 {
			if !found {
				return d, false
			}
			inMetadata, depth = key == "metadata", 0
			switch {
			case key == "kind":
				d.kind = value
			case inMetadata && value != "":
				return d, false
			}
			continue
		}
		if !inMetadata || !found {
			continue
		}
		if depth == 0 {
			depth = indent
		}
		if indent != depth {
			continue
		}
		switch key {
		case "name":
			d.name = value
		case "namespace":
			d.namespace = value
		}
	}
	return d, isPlainScalar(d.kind) && isPlainScalar(d.name) && (d.namespace == "" || isPlainScalar(d.namespace))
}

// isPlainScalar reports whether a value is a name without quotes, comments and
// anchors.
func isPlainScalar(value string) bool {
	return value != "" && !strings.ContainsAny(value, " \t'\"#&*{}[]|>!%@`\\:,")
}

// generatedBy returns what the generators of a kustomization declare.
func generatedBy(file string, data []byte, k *types.Kustomization) []declared {
	if len(k.ConfigMapGenerator)+len(k.SecretGenerator) == 0 {
		return nil
	}
	var found []declared
	add := func(kind string, arguments types.GeneratorArgs) {
		if arguments.Behavior == "merge" || arguments.Behavior == "replace" {
			return // declared by a base
		}
		found = append(found, declared{kind: kind, namespace: arguments.Namespace, name: arguments.Name, file: file, line: lineOfName(string(data), arguments.Name)})
	}
	for i := range k.ConfigMapGenerator {
		add("ConfigMap", k.ConfigMapGenerator[i].GeneratorArgs)
	}
	for i := range k.SecretGenerator {
		add("Secret", k.SecretGenerator[i].GeneratorArgs)
	}
	return found
}

// lineOfName returns the first line that gives a name to an item, or 0.
func lineOfName(text, name string) int {
	number := 0
	for line := range strings.Lines(text) {
		number++
		rest, found := strings.CutPrefix(strings.TrimLeft(line, " -"), "name:")
		if found && strings.Trim(strings.TrimSpace(rest), `"'`) == name {
			return number
		}
	}
	return 0
}
