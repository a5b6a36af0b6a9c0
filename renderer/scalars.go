package main

import (
	"bytes"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	kubeyaml "sigs.k8s.io/yaml"
)

// Kubernetes reads YAML 1.1, in which a plain yes is a boolean; the parser of
// kustomize takes it for text. These functions stand between the two, so that
// what is written means to Kubernetes what was read.

// readAsKubernetes gives the scalars of a parsed document the type that they
// have for Kubernetes. A null is written out: merging drops one that is left blank.
func readAsKubernetes(root *yaml.Node) {
	eachScalar(root, func(node *yaml.Node, _ bool) {
		if node.Tag == yaml.NodeTagNull && node.Value == "" {
			node.Value = "null"
		}
		if node.Tag != yaml.NodeTagString {
			return
		}
		if value, isText := kubernetesScalar(node); !isText {
			*node = yaml.Node{Kind: yaml.ScalarNode, Tag: plainNode(value).Tag, Value: value,
				HeadComment: node.HeadComment, LineComment: node.LineComment, FootComment: node.FootComment}
		}
	})
}

// writeForKubernetes writes a document. Text that Kubernetes would take for
// something else is quoted; folded text becomes literal, and quoted where its
// indentation could be read in two ways.
func writeForKubernetes(root *yaml.Node) (string, error) {
	eachScalar(root, func(node *yaml.Node, isKey bool) {
		if node.Tag == "" && isKey {
			node.Tag = yaml.NodeTagString // kustomize made the key out of a name
		}
		if node.Tag == yaml.NodeTagString && isPlain(node) && !isPlainText(node.Value) && !strings.ContainsAny(node.Value, " \n") {
			node.Style = textNode(node.Value).Style
		}
		exactBlock(node)
	})
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	if err := encoder.Encode(root); err != nil {
		return "", err
	}
	return out.String(), encoder.Close()
}

// eachScalar calls a function with every scalar, and whether it is a key.
func eachScalar(root *yaml.Node, visit func(node *yaml.Node, isKey bool)) {
	if root.Kind == yaml.ScalarNode {
		visit(root, false)
	}
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for i, child := range node.Content {
			if child.Kind == yaml.ScalarNode {
				visit(child, node.Kind == yaml.MappingNode && i%2 == 0)
			} else {
				stack = append(stack, child)
			}
		}
	}
}

func isPlain(node *yaml.Node) bool {
	return node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
}

var jsonNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$`)

// isPlainText reports whether no version of YAML takes a plain scalar for
// anything but text: it starts with a letter or a slash, holds nothing that has
// a meaning, and is no word that stands for a value.
func isPlainText(value string) bool {
	if value == "" || !isLetter(value[0]) && value[0] != '/' || isReservedWord(value) {
		return false
	}
	for i := range len(value) {
		sign := value[i]
		switch {
		case isLetter(sign), sign >= '0' && sign <= '9', sign == '_', sign == '.', sign == '/', sign == '-':
		case sign == ':' && i+1 < len(value): // followed by no blank, as blanks are none of these
		default:
			return false
		}
	}
	return true
}

func isLetter(sign byte) bool { return sign >= 'a' && sign <= 'z' || sign >= 'A' && sign <= 'Z' }

// isReservedWord reports whether a text is a boolean or null in some spelling.
func isReservedWord(text string) bool {
	if len(text) > len("false") {
		return false
	}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return true
	}
	return false
}

// kubernetesScalar returns a scalar as JSON, or that it is text.
func kubernetesScalar(node *yaml.Node) (value string, isText bool) {
	if !isPlain(node) {
		return "", node.Style&yaml.TaggedStyle == 0 || node.Tag == yaml.NodeTagString
	}
	if isPlainText(node.Value) || strings.ContainsAny(node.Value, " \n") {
		return "", true
	}
	if jsonNumber.MatchString(node.Value) {
		return node.Value, false
	}
	converted, err := kubeyaml.YAMLToJSON([]byte(node.Value))
	if err != nil || len(converted) == 0 || converted[0] == '"' {
		return "", true
	}
	return strings.TrimSpace(string(converted)), false
}

// textNode returns a scalar that is text to every reader.
func textNode(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value}
	switch {
	case isPlainText(value):
	case strings.Contains(value, "\n"):
		node.Style = blockStyle(value)
	default:
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}

// exactBlock gives a text of several lines a form that is read in one way alone.
func exactBlock(node *yaml.Node) {
	if node.Style&(yaml.FoldedStyle|yaml.LiteralStyle) != 0 || isPlain(node) && strings.Contains(node.Value, "\n") {
		node.Style = node.Style&^(yaml.FoldedStyle|yaml.LiteralStyle) | blockStyle(node.Value)
	}
}

// blockStyle returns the style of a text of several lines: literal, or quoted
// where it starts with a blank, has a line that starts with a tab or holds nothing
// but blanks, or ends a line in an unusual way.
func blockStyle(value string) yaml.Style {
	if value == "" || strings.IndexByte(" \t\n", value[0]) >= 0 || strings.Contains(value, "\r") || hasOtherBreak(value) {
		return yaml.DoubleQuotedStyle
	}
	for line := range strings.Lines(value) {
		if line[0] == '\t' || line[0] != '\n' && strings.TrimLeft(line, " \t\n") == "" {
			return yaml.DoubleQuotedStyle
		}
	}
	return yaml.LiteralStyle
}

// plainNode returns a number, a boolean or null.
func plainNode(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	switch {
	case value == "null":
		node.Tag = yaml.NodeTagNull
	case value == "true" || value == "false":
		node.Tag = yaml.NodeTagBool
	case strings.ContainsAny(value, ".eE"):
		node.Tag = yaml.NodeTagFloat
	default:
		node.Tag = yaml.NodeTagInt
	}
	return node
}
