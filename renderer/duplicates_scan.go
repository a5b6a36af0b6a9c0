package main

import (
	"math"
	"slices"
	"strings"
)

// mayRepeatKeys reports whether a document may give a key twice in a mapping.
// Parsing every document would take as long as rendering it, so this only reads
// lines, in block style as charts and generators write it. It returns true for
// what it does not understand, and false only where no key is given twice.
func mayRepeatKeys(text string) bool {
	if hasOtherBreak(text) || strings.Count(text, "\r") != strings.Count(text, "\r\n") {
		return true
	}
	var open []blockMapping // from the outermost in, each further to the right
	block := -1             // the lines of a literal or folded text are indented by more
	quote := byte(0)        // of a quoted text that goes on
	plain := noPlain        // a plain text goes on with lines that are indented by more
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		content := strings.TrimLeft(line, " ")
		column := len(line) - len(content)
		if content == "" || block >= 0 && column > block {
			continue
		}
		block = -1
		if quote != 0 {
			end := quoteEnd(content, quote)
			if column == 0 && isMarker(content) || end >= 0 && !isBlankOrComment(content[end+1:]) {
				return true
			}
			if end >= 0 {
				quote = 0
			}
			continue
		}
		if content[0] == '#' {
			plain = noPlain
			continue
		}
		if content == "---" && column == 0 && len(open) == 0 && plain == noPlain {
			continue
		}
		if strings.Contains(content, "\t") || column == 0 && isMarker(content) {
			return true
		}
		if column > plain {
			if strings.Contains(content, ": ") || content[len(content)-1] == ':' {
				return true
			}
			if strings.Contains(content, " #") {
				plain = noPlain
			}
			continue
		}
		// Each dash starts an item, and the mapping in it is a new one.
		holder := -1
		for content == "-" || strings.HasPrefix(content, "- ") {
			open = closeFrom(open, column+1)
			holder = column
			rest := strings.TrimLeft(content[1:], " ")
			column += len(content) - len(rest)
			content = rest
		}
		plain = noPlain
		if content == "" || content[0] == '#' {
			continue
		}
		key, value, isKey := cutKey(content)
		if isKey {
			holder = column
		} else {
			value = content
		}
		form := scanValue(value)
		if form == valueUnknown || holder < 0 && (form == valueBlock || form == valuePlain) {
			return true
		}
		switch form {
		case valueBlock:
			block = holder
		case valueQuoted:
			quote = value[0]
		case valuePlain:
			plain = holder
		}
		if !isKey {
			continue
		}
		if key == "" {
			return true
		}
		open = closeFrom(open, column+1)
		if len(open) == 0 || open[len(open)-1].column != column {
			open = append(open, blockMapping{column: column, keys: map[string]struct{}{}})
		}
		keys := open[len(open)-1].keys
		if _, repeated := keys[key]; repeated {
			return true
		}
		keys[key] = struct{}{}
	}
	return false
}

// noPlain is further to the right than any line.
const noPlain = math.MaxInt

// hasOtherBreak reports whether a text holds what ends a line in YAML 1.1 beside
// CR and LF, or the mark of the byte order. It searches for one after another,
// which is faster than for all at once.
func hasOtherBreak(text string) bool {
	return strings.Contains(text, "\u0085") || strings.Contains(text, "\u2028") || strings.Contains(text, "\u2029") || strings.Contains(text, "\ufeff")
}

// blockMapping is a mapping whose keys start at a column.
type blockMapping struct {
	column int
	keys   map[string]struct{}
}

// closeFrom ends the mappings from a column on.
func closeFrom(open []blockMapping, column int) []blockMapping {
	for len(open) > 0 && open[len(open)-1].column >= column {
		open = open[:len(open)-1]
	}
	return open
}

// isMarker reports whether a line at the left margin is one of a stream.
func isMarker(line string) bool {
	return strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...") || line[0] == '%'
}

// cutKey splits "key: value". The key is "" where it is not written plainly.
func cutKey(content string) (key, value string, isKey bool) {
	switch content[0] {
	case '?', '[', '{', '*', '&', '!', '|', '>', '%', '@', '`', ',', ']', '}':
		return "", content, false
	case '"', '\'':
		end := closingQuote(content)
		if end < 0 {
			return "", content, false
		}
		rest, found := strings.CutPrefix(strings.TrimLeft(content[end+1:], " "), ":")
		if !found || rest != "" && rest[0] != ' ' {
			return "", content, false
		}
		key = content[1:end]
		if strings.ContainsAny(key, `\'"`) {
			key = ""
		}
		return key, strings.TrimLeft(rest, " "), true
	}
	if content[0] == ':' {
		return "", content, true
	}
	if content[len(content)-1] == ':' && !strings.Contains(content, ": ") {
		key = content[:len(content)-1]
	} else if before, after, found := strings.Cut(content, ": "); found {
		key, value = before, strings.TrimLeft(after, " ")
	} else {
		return "", content, false
	}
	if key = strings.TrimRight(key, " "); key == "<<" || strings.Contains(key, " #") || mayBeNoText(key) {
		key = ""
	}
	return key, value, true
}

// mayBeNoText reports whether a plain key may be a number, a boolean or null,
// which can be written in several ways.
func mayBeNoText(key string) bool {
	return strings.IndexByte("0123456789+-.~", key[0]) >= 0 || isReservedWord(key)
}

// closingQuote returns where a quoted text ends that starts a line, or -1.
func closingQuote(text string) int {
	if end := quoteEnd(text[1:], text[0]); end >= 0 {
		return end + 1
	}
	return -1
}

// quoteEnd returns where the quoted text ends that a text is in, or -1.
func quoteEnd(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// isBlankOrComment reports whether what follows a value on its line is no part of
// the document.
func isBlankOrComment(rest string) bool {
	rest = strings.TrimLeft(rest, " ")
	return rest == "" || rest[0] == '#'
}

type valueForm int

const (
	valueLine    valueForm = iota // ends with the line, or is on the lines below
	valuePlain                    // is plain text, and may go on
	valueBlock                    // is a literal or folded text
	valueQuoted                   // is quoted text that goes on
	valueUnknown                  // may hold mappings, or goes on in a form that is not scanned
)

// scanValue returns how a value goes on after its line.
func scanValue(value string) valueForm {
	if value == "" || value[0] == '#' || value == "{}" || value == "[]" {
		return valueLine
	}
	switch value[0] {
	case '|', '>':
		return valueBlock
	case '"', '\'':
		end := closingQuote(value)
		if end < 0 {
			return valueQuoted
		}
		if !isBlankOrComment(value[end+1:]) {
			return valueUnknown
		}
		return valueLine
	case '[', '{':
		if isSimpleFlow(value) {
			return valueLine
		}
		return valueUnknown
	case '&', '*', '!', '?', '%', '@', '`':
		return valueUnknown
	}
	if strings.Contains(value, ": ") || value[len(value)-1] == ':' {
		return valueUnknown
	}
	if strings.Contains(value, " #") {
		return valueLine
	}
	return valuePlain
}

// isSimpleFlow reports whether a value in flow style is a list of scalars or a
// mapping of different keys to scalars that ends with its line.
func isSimpleFlow(value string) bool {
	inner, isList := strings.CutPrefix(value, "[")
	inner, isClosed := strings.CutSuffix(inner, "]")
	if !isList {
		inner, isClosed = strings.CutSuffix(value[1:], "}")
	}
	if !isClosed {
		return false
	}
	var keys []string
	for item := range strings.SplitSeq(inner, ",") {
		item = strings.Trim(item, " ")
		if !isList {
			key, after, found := strings.Cut(item, ": ")
			if !found || !isPlainText(key) || slices.Contains(keys, key) {
				return false
			}
			keys = append(keys, key)
			item = strings.Trim(after, " ")
		}
		if !isSimpleScalar(item) {
			return false
		}
	}
	return true
}

// isSimpleScalar reports whether an item of a flow collection is one scalar.
func isSimpleScalar(item string) bool {
	if item == "" {
		return false
	}
	quote := item[0]
	if quote == '"' || quote == '\'' {
		return len(item) > 1 && item[len(item)-1] == quote && !strings.ContainsAny(item[1:len(item)-1], `\'"`)
	}
	for i := range len(item) {
		if sign := item[i]; !isLetter(sign) && strings.IndexByte("0123456789_./-", sign) < 0 {
			return false
		}
	}
	return true
}
