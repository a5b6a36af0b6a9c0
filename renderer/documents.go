package main

import (
	"strings"
	"unicode/utf8"
)

// maxOutputBytes is the limit of all documents and hooks together.
const maxOutputBytes = 64 << 20

// checkOutput refuses what is too large, and what JSON cannot carry.
func checkOutput(response *Response) error {
	size := 0
	check := func(document *Document) error {
		if size += len(document.YAML); size > maxOutputBytes {
			return failuref(KindLimit, document.File, "the output has more than %d MiB up to %s", maxOutputBytes>>20, document.Source)
		}
		if !utf8.ValidString(document.YAML) {
			return failuref(KindYAML, document.File, "%s renders to something that is not UTF-8", document.Source)
		}
		return nil
	}
	for i := range response.Documents {
		if err := check(&response.Documents[i]); err != nil {
			return err
		}
	}
	for i := range response.Hooks {
		if err := check(&response.Hooks[i].Document); err != nil {
			return err
		}
	}
	for _, again := range response.Again {
		if err := check(&Document{YAML: again.YAML, Source: "the second render"}); err != nil {
			return err
		}
	}
	return nil
}

// part is one document of a stream. Line is that of its first line, from 1, and
// end is where it ends in the stream.
type part struct {
	text string
	line int
	end  int
}

// splitStream splits a YAML stream at the lines that start with "---", as
// Kubernetes' tools do, and leaves out what holds nothing but comments.
func splitStream(stream string) []part {
	var parts []part
	start, line := 0, 1
	current := 1
	flush := func(end int) {
		if text := stream[start:end]; hasContent(text) {
			parts = append(parts, part{text: text, line: line, end: end})
		}
	}
	for offset := 0; offset < len(stream); current++ {
		end := len(stream)
		if newline := strings.IndexByte(stream[offset:], '\n'); newline >= 0 {
			end = offset + newline + 1
		}
		if isSeparator(stream[offset:end]) {
			flush(offset)
			start, line = end, current+1
		}
		offset = end
	}
	flush(len(stream))
	return parts
}

// splitVerbatim splits like splitStream, but every byte of the stream is in one
// of the parts: a part starts with its separator and the comments before it.
func splitVerbatim(stream string) []part {
	parts := splitStream(stream)
	start := 0
	for i := range parts {
		end := parts[i].end
		if i+1 == len(parts) {
			end = len(stream)
		}
		parts[i].text = stream[start:end]
		start = end
	}
	return parts
}

func isSeparator(line string) bool {
	rest, found := strings.CutPrefix(line, "---")
	return found && strings.TrimSpace(rest) == "" || found && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "#")
}

// hasContent reports whether a document holds more than comments and blanks.
func hasContent(text string) bool {
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			return true
		}
	}
	return false
}
