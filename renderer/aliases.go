package main

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// maxExpandedNodes is how large a document may become once its aliases are
// replaced by what they stand for. kustomize does so without a limit.
const maxExpandedNodes = 400_000

// checkAliases refuses a "billion laughs": a few lines that expand to more than
// a machine can hold. What is not YAML is for others to judge.
func checkAliases(file string, data []byte) error {
	if !mayHaveAliases(data) {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return nil //nolint:nilerr // kustomize reports it with its own words
		}
		if expandedNodes(&document) > maxExpandedNodes {
			return &Failure{Kind: KindLimit, File: file, Line: firstAlias(&document),
				Message: "the aliases of the document expand to too many nodes, or contain themselves"}
		}
	}
}

// mayHaveAliases reports whether a text may have an anchor, and an alias of it. Both
// signs are common in descriptions, where they start no node.
func mayHaveAliases(text []byte) bool {
	if bytes.IndexByte(text, '*') < 0 {
		return false
	}
	for start := 0; ; {
		length := bytes.IndexByte(text[start:], '&')
		if length < 0 {
			return false
		}
		at := start + length
		if at+1 < len(text) && isAnchorSign(text[at+1]) && (at == 0 || mayEndToken(text[at-1])) {
			return true
		}
		start = at + 1
	}
}

func isAnchorSign(sign byte) bool {
	return isLetter(sign) || sign >= '0' && sign <= '9' || sign == '_' || sign == '-'
}

// mayEndToken reports whether what follows a byte may be an anchor: blanks, and
// the signs that need none behind them in flow style. The last byte of anything but
// ASCII may be that of a line break.
func mayEndToken(sign byte) bool {
	return sign >= 0x80 || bytes.IndexByte([]byte(" \t\r\n[]{},:?"), sign) >= 0
}

// expandedNodes counts the nodes of a document with every alias expanded, in
// time linear in the nodes that are written. It stops counting past the limit.
func expandedNodes(root *yaml.Node) int {
	const open = -1
	sizes := map[*yaml.Node]int{}
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		size, seen := sizes[node]
		if seen && size != open {
			stack = stack[:len(stack)-1]
			continue
		}
		parts := node.Content
		if node.Kind == yaml.AliasNode {
			parts = []*yaml.Node{node.Alias}
		}
		if !seen {
			sizes[node] = open
			for _, part := range parts {
				if partSize, partSeen := sizes[part]; !partSeen {
					stack = append(stack, part)
				} else if partSize == open {
					return maxExpandedNodes + 1 // it contains itself
				}
			}
			continue
		}
		total := 1
		for _, part := range parts {
			if partSize := sizes[part]; partSize > 0 {
				total += partSize
			}
			if total > maxExpandedNodes {
				return total
			}
		}
		sizes[node] = total
		stack = stack[:len(stack)-1]
	}
	return sizes[root]
}

// firstAlias returns the line of the first alias.
func firstAlias(root *yaml.Node) int {
	stack := []*yaml.Node{root}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if node.Kind == yaml.AliasNode {
			return node.Line
		}
		for i := len(node.Content) - 1; i >= 0; i-- {
			stack = append(stack, node.Content[i])
		}
	}
	return 0
}
