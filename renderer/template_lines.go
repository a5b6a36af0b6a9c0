package main

import (
	"strings"
	"unicode"
)

// Where in its template a document starts is not known to Helm. It can be
// proven for most templates: static text between separators is printed whenever
// what is around it is. So each part of the template that starts with static
// text makes at least one document, and where there are as many documents as
// parts, they are the parts in their order.

// templateLines returns the first line of the documents of a template by their
// text, as far as that is certain.
func templateLines(source, rendered string) map[string]int {
	documents := splitManifests(rendered)
	if len(documents) == 0 {
		return nil
	}
	parts := staticParts(source)
	if len(parts) != len(documents) {
		return nil
	}
	lines := map[string]int{}
	for i, part := range parts {
		text := documents[i]
		if _, repeated := lines[text]; repeated || !hasContent(text) {
			part = 0
		}
		lines[text] = part
	}
	return lines
}

// splitManifests splits as Helm's SplitManifests does, in a tenth of its time.
func splitManifests(rendered string) []string {
	var documents []string
	add := func(text string) {
		if text = strings.TrimLeftFunc(text, unicode.IsSpace); text != "" {
			documents = append(documents, text)
		}
	}
	rest := strings.TrimLeftFunc(rendered, unicode.IsSpace)
	if after, found := strings.CutPrefix(rest, "---"); found {
		rest = after
	}
	for {
		before, after, found := strings.Cut(rest, "\n---")
		if !found {
			add(rest)
			return documents
		}
		add(before + "\n")
		rest = after
	}
}

// staticParts returns the line on which the content of each part of a template
// starts, from 1, and 0 for a part that is nothing but comments. It returns
// nothing for a template of which that cannot be said.
func staticParts(source string) []int {
	all, ok := scanTemplate(source)
	if !ok {
		return nil
	}
	nodes, repeats := insideOfGuards(all)
	reader := partReader{source: source, line: 1, fresh: true, lines: []int{0}, blank: true}
	for _, node := range nodes {
		if !reader.node(node) {
			return nil
		}
	}
	if reader.blank {
		reader.lines = reader.lines[:len(reader.lines)-1]
	}
	if repeats && len(reader.lines) > 1 {
		return nil // a turn may be left in the middle
	}
	return reader.lines
}

// insideOfGuards returns what a template holds inside of an if, with or range
// around all of it: where a document comes out, it was entered. repeats says that
// one of them is a range.
func insideOfGuards(all []*templateNode) (nodes []*templateNode, repeats bool) {
	for nodes = all; ; nodes = nodes[0].list {
		for len(nodes) > 0 && nodes[0].isSilent() {
			nodes = nodes[1:]
		}
		for len(nodes) > 0 && nodes[len(nodes)-1].isSilent() {
			nodes = nodes[:len(nodes)-1]
		}
		if len(nodes) != 1 || nodes[0].kind != nodeIf && nodes[0].kind != nodeRange || nodes[0].hasElse {
			return nodes, repeats
		}
		repeats = repeats || nodes[0].kind == nodeRange
	}
}

// isSilent reports whether a node prints nothing but blanks.
func (n *templateNode) isSilent() bool {
	return n.kind == nodeAssignment || n.kind == nodeText && strings.TrimSpace(n.text) == ""
}

// partReader reads the nodes of a template in their order.
type partReader struct {
	source  string
	counted int // where in the source the lines are counted up to
	line    int // that is there, from 1
	lines   []int
	blank   bool // the part has nothing but blanks yet
	started bool // its content has started
	fresh   bool // the output is at the start of a line, but for blanks
}

// node reads one node, and returns false where it is not certain what it prints.
func (r *partReader) node(node *templateNode) bool {
	if node.kind == nodeText {
		r.line += strings.Count(r.source[r.counted:node.at], "\n")
		r.counted = node.at
		return r.text(node.text, r.line)
	}
	if node.isSilent() {
		return true
	}
	// It may print anything, also separators: then there are more documents than
	// parts. Only what the part starts with has to be known.
	r.fresh = false
	return r.started
}

func (r *partReader) text(text string, line int) bool {
	for i, piece := range strings.Split(text, "\n") {
		if i > 0 {
			r.fresh = true
		}
		rest, isSeparator := strings.CutPrefix(piece, "---")
		switch {
		case isSeparator && i == 0 && !(r.blank && len(r.lines) == 1):
			return false // what comes before it on its line may be anything
		case isSeparator:
			if !r.blank {
				r.lines = append(r.lines, 0)
			}
			r.blank, r.started = true, false
			piece = rest
		}
		trimmed := strings.TrimSpace(piece)
		if trimmed == "" {
			continue
		}
		isComment := r.fresh && trimmed[0] == '#'
		if !r.started && !r.fresh {
			return false
		}
		r.blank, r.fresh = false, false
		if !r.started && !isComment {
			r.started = true
			r.lines[len(r.lines)-1] = line + i
		}
	}
	return true
}
