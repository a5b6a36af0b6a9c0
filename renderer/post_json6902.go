package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// JSON 6902 patches are applied by the library that kustomize uses. What differs
// is the way from YAML to JSON and back: kustomize's own goes through float64,
// which turns 1.0 into 1 and loses the digits of large numbers.

// decodeJSONPatch reads a list of operations.
func decodeJSONPatch(operations *yaml.Node) (jsonpatch.Patch, error) {
	var text bytes.Buffer
	if err := writeJSON(&text, operations); err != nil {
		return nil, err
	}
	return jsonpatch.DecodePatch(text.Bytes())
}

// applyJSONPatch changes an object. Its comments are lost.
func applyJSONPatch(object *yaml.Node, patch jsonpatch.Patch) error {
	var before bytes.Buffer
	if err := writeJSON(&before, object); err != nil {
		return err
	}
	after, err := patch.Apply(before.Bytes())
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(after))
	decoder.UseNumber()
	changed, err := readJSON(decoder)
	if err != nil {
		return err
	}
	if changed.Kind != yaml.MappingNode {
		return errors.New("it leaves no object")
	}
	*object = *changed
	return nil
}

// writeJSON writes a node as JSON, with numbers as they are written. It goes as
// deep as the parser of YAML let the document be.
func writeJSON(out *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.DocumentNode:
		return writeJSON(out, node.Content[0])
	case yaml.AliasNode:
		return writeJSON(out, node.Alias)
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range node.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i+1 < len(node.Content); i += 2 {
			if i > 0 {
				out.WriteByte(',')
			}
			if node.Content[i].Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: a key is no text", node.Content[i].Line)
			}
			writeJSONText(out, node.Content[i].Value)
			out.WriteByte(':')
			if err := writeJSON(out, node.Content[i+1]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	default:
		return writeJSONScalar(out, node)
	}
	return nil
}

func writeJSONScalar(out *bytes.Buffer, node *yaml.Node) error {
	value, isText := kubernetesScalar(node)
	if isText {
		writeJSONText(out, node.Value)
		return nil
	}
	if !json.Valid([]byte(value)) {
		return fmt.Errorf("line %d: JSON has no %s", node.Line, node.Value)
	}
	out.WriteString(value)
	return nil
}

func writeJSONText(out *bytes.Buffer, text string) {
	encoded, _ := json.Marshal(text) //nolint:errchkjson // a string has no value that JSON lacks
	out.Write(encoded)
}

// readJSON reads a value as a node.
func readJSON(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		return readJSONCollection(decoder, token)
	case string:
		return textNode(token), nil
	case json.Number:
		return plainNode(token.String()), nil
	case bool:
		return plainNode(fmt.Sprint(token)), nil
	default:
		return plainNode("null"), nil
	}
}

// readJSONCollection reads what follows the start of a list or an object.
func readJSONCollection(decoder *json.Decoder, start json.Delim) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: yaml.NodeTagSeq}
	if start == '{' {
		node.Kind, node.Tag = yaml.MappingNode, yaml.NodeTagMap
	}
	for decoder.More() {
		child, err := readJSON(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle // [] and {}
	}
	if _, err := decoder.Token(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return node, nil
}
