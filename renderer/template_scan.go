package main

import (
	"strings"
	"unicode"
)

// templateNode is a node of a template, as far as templateLines looks into it.
type templateNode struct {
	kind templateNodeKind
	// text is what a text prints, and at where that starts in the template.
	text string
	at   int
	// list is what an if, a with or a range holds before an else.
	list    []*templateNode
	hasElse bool
}

type templateNodeKind int

const (
	nodeText templateNodeKind = iota
	nodeIf                    // or with
	nodeRange
	nodeAssignment // prints nothing
	nodeOther      // may print anything
)

const templateSpace = " \t\r\n"

// scanTemplate returns the nodes of a template that text/template can parse. It
// does not look into actions, and takes a tenth of the time.
func scanTemplate(source string) (nodes []*templateNode, ok bool) {
	root := &templateNode{}
	open := []*templateNode{root}
	inElse := []bool{false}
	add := func(node *templateNode) {
		if top := len(open) - 1; !inElse[top] {
			open[top].list = append(open[top].list, node)
		}
	}
	for at := 0; ; {
		start := strings.Index(source[at:], "{{")
		if start < 0 {
			if at < len(source) {
				add(&templateNode{kind: nodeText, text: source[at:], at: at})
			}
			return root.list, len(open) == 1
		}
		start += at
		text := source[at:start]
		action, end, trims := cutAction(source[start:])
		if end < 0 {
			return nil, false
		}
		if trims.left {
			text = strings.TrimRight(text, templateSpace)
		}
		if text != "" {
			add(&templateNode{kind: nodeText, text: text, at: at})
		}
		at = start + end
		if trims.right {
			at = len(source) - len(strings.TrimLeft(source[at:], templateSpace))
		}
		if strings.HasPrefix(action, "/*") {
			continue
		}
		switch firstWord(action) {
		case "if", "with", "range":
			node := &templateNode{kind: nodeIf}
			if firstWord(action) == "range" {
				node.kind = nodeRange
			}
			add(node)
			open, inElse = append(open, node), append(inElse, false)
		case "block":
			add(&templateNode{kind: nodeOther})
			open, inElse = append(open, &templateNode{}), append(inElse, false)
		case "define": // is no part of the template
			open, inElse = append(open, &templateNode{}), append(inElse, false)
		case "else":
			top := len(open) - 1
			open[top].hasElse, inElse[top] = true, true
		case "end":
			if len(open) == 1 {
				return nil, false
			}
			open, inElse = open[:len(open)-1], inElse[:len(inElse)-1]
		default:
			add(&templateNode{kind: kindOfPipeline(action)})
		}
	}
}

// trims says which text an action takes the blanks of.
type trims struct{ left, right bool }

// cutAction returns what is in the action or comment that a text starts with, and
// where it ends, or -1.
func cutAction(text string) (action string, end int, found trims) {
	start := len("{{")
	if rest := text[start:]; len(rest) > 1 && rest[0] == '-' && strings.IndexByte(templateSpace, rest[1]) >= 0 {
		found.left = true
		start += len("- ")
	}
	at := start
	if strings.HasPrefix(text[at:], "/*") {
		length := strings.Index(text[at+len("/*"):], "*/")
		if length < 0 {
			return "", -1, found
		}
		at += length + len("/**/")
	}
	for ; at < len(text); at++ {
		switch text[at] {
		case '"', '\'', '`':
			if at = skipQuoted(text, at); at < 0 {
				return "", -1, found
			}
		case '}':
			if strings.HasPrefix(text[at:], "}}") {
				found.right = at >= start+2 && text[at-1] == '-' && strings.IndexByte(templateSpace, text[at-2]) >= 0
				return strings.TrimLeft(text[start:at], templateSpace), at + len("}}"), found
			}
		}
	}
	return "", -1, found
}

// skipQuoted returns where the quoted text ends that starts there, or -1.
func skipQuoted(text string, start int) int {
	for at := start + 1; at < len(text); at++ {
		switch {
		case text[at] == '\\' && text[start] != '`':
			at++
		case text[at] == text[start]:
			return at
		}
	}
	return -1
}

// firstWord returns the word that an action starts with.
func firstWord(action string) string {
	return action[:len(action)-len(strings.TrimLeftFunc(action, isWordSign))]
}

func isWordSign(sign rune) bool {
	return sign == '_' || unicode.IsLetter(sign) || unicode.IsDigit(sign)
}

// kindOfPipeline returns the kind of an action that is a pipeline: an assignment to
// a variable, or another.
func kindOfPipeline(action string) templateNodeKind {
	rest, isVariable := strings.CutPrefix(action, "$")
	rest = strings.TrimLeft(strings.TrimLeftFunc(rest, isWordSign), templateSpace)
	if isVariable && (strings.HasPrefix(rest, ":=") || strings.HasPrefix(rest, "=")) {
		return nodeAssignment
	}
	return nodeOther
}
