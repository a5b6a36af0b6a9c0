package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	kubeyaml "sigs.k8s.io/yaml"
)

// dropDuplicateKeys rewrites a document of a chart that gives a key twice in a
// mapping, which `helm install` accepts: it reads with sigs.k8s.io/yaml, where the
// last one wins. Any other document keeps its text. It returns what to warn of.
func dropDuplicateKeys(document *Document) (warnings []string, err error) {
	if !mayRepeatKeys(document.YAML) {
		return nil, nil
	}
	parts := splitStream(document.YAML)
	if len(parts) != 1 {
		return nil, nil // nothing but comments
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(parts[0].text), &root); err != nil {
		return nil, nil //nolint:nilerr // whoever applies it reports it with its place
	}
	repeated := repeatedKeys(&root)
	if len(repeated) == 0 {
		return nil, nil
	}
	text, err := withoutRepeated(document.File, parts[0].text, &root)
	if err != nil {
		return nil, &Failure{Kind: KindYAML, File: document.File, Template: document.Source,
			Message: fmt.Sprintf("line %d of what %s renders: the key %s is given twice, and taking one away failed: %s", repeated[0].line, document.Source, repeated[0].path, err)}
	}
	// A document of a file of CRDs starts with its separator.
	end := parts[0].end
	document.YAML = document.YAML[:end-len(parts[0].text)] + text + document.YAML[end:]
	for _, key := range repeated {
		warnings = append(warnings, duplicateWarning(document, key))
	}
	return warnings, nil
}

func duplicateWarning(document *Document, key repeatedKey) string {
	place := document.Source
	if document.File != "" && document.File != document.Source {
		place = document.File + " (" + document.Source + ")"
	}
	if document.verbatim {
		return fmt.Sprintf("%s:%d: the key %s is given twice; the last one wins, as with helm install", place, document.Line+key.line-1, key.path)
	}
	return fmt.Sprintf("%s: line %d of what it renders: the key %s is given twice; the last one wins, as with helm install", place, key.line, key.path)
}

// repeatedKey is a key that its mapping had before.
type repeatedKey struct {
	path string // dotted
	line int    // in the document, from 1
}

// place is a node with the way to it.
type place struct {
	node   *yaml.Node
	parent *place
	key    string
}

// path returns the dotted path of a place.
func (p *place) path() string {
	var keys []string
	for ; p.parent != nil; p = p.parent {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	slices.Reverse(keys)
	return strings.Join(keys, ".")
}

// repeatedKeys finds the keys that are given twice, in the order of the document,
// up to as many as are warned of.
func repeatedKeys(root *yaml.Node) []repeatedKey {
	var found []repeatedKey
	stack := []*place{{node: root}}
	for len(stack) > 0 && len(found) < maxWarnings {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		var children []*place
		seen := map[string]bool{}
		for i, child := range at.node.Content {
			switch {
			case at.node.Kind == yaml.SequenceNode:
				children = append(children, &place{child, at, strconv.Itoa(i)})
			case at.node.Kind == yaml.MappingNode && i%2 == 0:
				value := &place{at.node.Content[i+1], at, child.Value}
				children = append(children, value)
				identity := keyIdentity(child)
				if identity != "" && seen[identity] {
					found = append(found, repeatedKey{path: value.path(), line: child.Line})
				}
				seen[identity] = true
			case at.node.Kind != yaml.MappingNode:
				children = append(children, &place{child, at, ""})
			}
		}
		slices.Reverse(children)
		stack = append(stack, children...)
	}
	return found
}

// keyIdentity returns what makes two keys the same, and "" for a key that may be
// given twice, which << is.
func keyIdentity(key *yaml.Node) string {
	if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
		return ""
	}
	if value, isText := kubernetesScalar(key); !isText {
		return "value " + value
	}
	return "text " + key.Value
}

// withoutRepeated writes a document with the last of each key, and checks that
// Kubernetes reads the same out of it.
func withoutRepeated(file, document string, root *yaml.Node) (string, error) {
	if strings.Contains(document, "*") {
		// What is taken away may hold an anchor that is referred to.
		if err := checkAliases(file, []byte(document)); err != nil {
			return "", err
		}
		if err := kyaml.NewRNode(root).DeAnchor(); err != nil {
			return "", err
		}
	}
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if node.Kind == yaml.MappingNode {
			keepLast(node)
		}
		if node.Kind == yaml.ScalarNode {
			exactBlock(node)
		}
		stack = append(stack, node.Content...)
	}
	text, err := kyaml.String(root)
	if err != nil {
		return "", err
	}
	before, err := kubeyaml.YAMLToJSON([]byte(document))
	if err != nil {
		return "", err
	}
	after, err := kubeyaml.YAMLToJSON([]byte(text))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(before, after) {
		return "", errors.New("it would change more than that")
	}
	return text, nil
}

// keepLast takes the pairs out of a mapping whose key is given again.
func keepLast(mapping *yaml.Node) {
	last := map[string]int{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		last[keyIdentity(mapping.Content[i])] = i
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if identity := keyIdentity(mapping.Content[i]); identity == "" || last[identity] == i {
			kept = append(kept, mapping.Content[i], mapping.Content[i+1])
		}
	}
	mapping.Content = kept
}
