package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of what a file may hold. SOPS recurses without a limit, expands aliases
// without one, and takes quadratic time for some formats.
const (
	maxNodes         = 250_000
	maxExpandedBytes = 4 * maxFileBytes
	maxDepth         = 500
	maxIndicators    = 600_000
)

// inspection is what a look at a file says before SOPS reads it.
type inspection struct {
	// encrypted is the answer of the detector that README.md describes.
	encrypted bool
	// leading says that the first document has metadata, where SOPS reads them.
	leading bool
	// problem is why the file cannot be read, or is too large to be.
	problem *Failure
}

// inspect bounds a file and detects whether SOPS encrypted it, in time linear in
// its size. Most files are not parsed for it.
func inspect(format string, data []byte) inspection {
	if !bytes.Contains(data, []byte("sops")) || !bytes.Contains(data, []byte("lastmodified")) {
		return inspection{}
	}
	if !utf8.Valid(data) {
		return inspection{problem: failuref(KindFormat, "the file is not UTF-8 text")}
	}
	switch format {
	case FormatYAML:
		return inspectYAML(data)
	case FormatJSON:
		return inspectJSON(data)
	case FormatDotenv:
		return inspectDotenv(data)
	case FormatINI:
		return inspectINI(data)
	default:
		return inspectBinary(data)
	}
}

// remnant says that a file has a value that SOPS encrypted.
func remnant(data []byte) bool { return bytes.Contains(data, []byte("ENC[AES256_GCM,data:")) }

// inspectYAML looks for a top-level mapping sops with mac and lastmodified in any
// document.
func inspectYAML(data []byte) inspection {
	indicators := 0
	for _, character := range data {
		switch character {
		case ',', ':', '-', '?', '[', '{', '\n':
			indicators++
		}
	}
	if indicators > maxIndicators {
		return inspection{problem: failuref(KindLimit, "the file has more than %d entries", maxNodes)}
	}
	var found inspection
	total := extent{}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for first := true; ; first = false {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			return inspection{problem: failuref(KindFormat, "the file is not YAML%s", yamlPlace(err))}
		}
		total = total.with(measure(&document))
		if total.exceeded() {
			return inspection{problem: failuref(KindLimit,
				"the file has more than %d entries, %d MiB or %d levels once its aliases are expanded", maxNodes, maxExpandedBytes>>20, maxDepth)}
		}
		if hasMetadata(&document) {
			found.encrypted = true
			found.leading = found.leading || first
		}
	}
}

// yamlPlace returns the line of an error of the YAML library, whose own text may
// quote the file.
func yamlPlace(err error) string {
	_, rest, found := strings.Cut(err.Error(), "line ")
	if !found {
		return ""
	}
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	if digits == "" || len(digits) > 9 {
		return ""
	}
	return " (line " + digits + ")"
}

func hasMetadata(document *yaml.Node) bool {
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return false
	}
	metadata := valueOf(document.Content[0], "sops")
	return valueOf(metadata, "mac") != nil && valueOf(metadata, "lastmodified") != nil
}

// valueOf returns the value of a key of a mapping, or nil.
func valueOf(node *yaml.Node, key string) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Kind == yaml.ScalarNode && node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// extent is the size of a node with all below it.
type extent struct{ nodes, bytes, depth int }

func (e extent) with(part extent) extent {
	return extent{e.nodes + part.nodes, e.bytes + part.bytes, max(e.depth, part.depth+1)}
}

func (e extent) exceeded() bool {
	return e.nodes > maxNodes || e.bytes > maxExpandedBytes || e.depth > maxDepth
}

// endless is the extent of an alias that contains itself.
var endless = extent{nodes: maxNodes + 1}

// measure returns the extent of a node with every alias expanded, in time linear
// in the nodes that are written. It stops past the limits.
func measure(root *yaml.Node) extent {
	open := extent{nodes: -1}
	sizes := map[*yaml.Node]extent{}
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
					return endless
				}
			}
			continue
		}
		total := extent{1, len(node.Value) + len(node.HeadComment) + len(node.LineComment) + len(node.FootComment), 1}
		for _, part := range parts {
			total = total.with(sizes[part])
			if total.exceeded() {
				return total
			}
		}
		sizes[node] = total
		stack = stack[:len(stack)-1]
	}
	return sizes[root]
}

// inspectJSON looks for an object sops with mac and lastmodified in the object
// that the file is.
func inspectJSON(data []byte) inspection {
	found, _ := walkJSON(data)
	return found
}

// inspectBinary is as inspectJSON, and wants a text data beside the metadata.
func inspectBinary(data []byte) inspection {
	found, hasData := walkJSON(data)
	found.encrypted = found.encrypted && hasData
	found.leading = found.encrypted
	return found
}

// walkJSON reads a file token by token.
func walkJSON(data []byte) (found inspection, hasData bool) {
	// SOPS takes a file that ends early for one that does not.
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		line := 1
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line += bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		}
		return inspection{problem: failuref(KindFormat, "the file is not JSON (line %d)", line)}, false
	}
	type level struct {
		object bool
		key    string
		value  bool // a key of an object was read, and not yet its value
	}
	var levels []level
	nodes, metadata := 0, map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		if nodes++; nodes > maxNodes || len(levels) > maxDepth {
			return inspection{problem: failuref(KindLimit, "the file has more than %d entries or %d levels", maxNodes, maxDepth)}, false
		}
		delimiter, isDelimiter := token.(json.Delim)
		if isDelimiter && (delimiter == '}' || delimiter == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if len(levels) > 0 {
			top := &levels[len(levels)-1]
			if top.object && !top.value {
				top.key, _ = token.(string)
				top.value = true
				continue
			}
			top.value = false
			_, text := token.(string)
			switch {
			case len(levels) == 1 && top.object && top.key == "data" && text:
				hasData = true
			case len(levels) == 2 && top.object && levels[0].object && levels[0].key == "sops":
				metadata[top.key] = true
			}
		}
		if isDelimiter {
			levels = append(levels, level{object: delimiter == '{'})
		}
	}
	found.encrypted = metadata["mac"] && metadata["lastmodified"]
	found.leading = found.encrypted
	return found, hasData
}

// inspectDotenv looks for a line that starts with sops_mac= and one that starts
// with sops_lastmodified=.
func inspectDotenv(data []byte) inspection {
	lines, mac, modified := 0, false, false
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		lines++
		mac = mac || bytes.HasPrefix(line, []byte("sops_mac="))
		modified = modified || bytes.HasPrefix(line, []byte("sops_lastmodified="))
		if len(line) > 0 && line[0] != '#' && !bytes.ContainsRune(line, '=') {
			return inspection{problem: failuref(KindFormat, "line %d of the file is neither NAME=VALUE nor a comment", lines)}
		}
		if lines > maxNodes {
			return inspection{problem: failuref(KindLimit, "the file has more than %d lines", maxNodes)}
		}
	}
	return inspection{encrypted: mac && modified, leading: mac && modified}
}

// inspectINI looks for a section sops with the keys mac and lastmodified.
func inspectINI(data []byte) inspection {
	lines, inside, mac, modified := 0, false, false, false
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if lines++; lines > maxNodes {
			return inspection{problem: failuref(KindLimit, "the file has more than %d lines", maxNodes)}
		}
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("[")) {
			inside = bytes.Equal(line, []byte("[sops]"))
			continue
		}
		if end := bytes.IndexAny(line, "=:"); inside && end >= 0 {
			key := string(bytes.TrimSpace(line[:end]))
			mac = mac || key == "mac"
			modified = modified || key == "lastmodified"
		}
	}
	return inspection{encrypted: mac && modified, leading: mac && modified}
}
