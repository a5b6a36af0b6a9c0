package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writeResponse writes the response as one line of JSON, without the documents that
// were sent early. The documents are most of it, and texts of megabytes take
// encoding/json as long as Helm takes to make them.
func writeResponse(w io.Writer, response *Response) error {
	rest, err := encodeJSON(struct {
		*Response
		Documents []Document `json:"documents,omitempty"`
	}{Response: response})
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(w, 1<<16)
	if err := writeDocuments(buffered, "documents", response.Documents[response.Sent:]); err != nil {
		return err
	}
	buffered.WriteString(",")             //nolint:errcheck // Flush returns the error
	buffered.WriteString(rest[len("{"):]) //nolint:errcheck // as above
	return buffered.Flush()
}

// writeDocuments writes the beginning of an object of JSON: a key with documents.
func writeDocuments(buffered *bufio.Writer, key string, documents []Document) error {
	var encoded []byte
	separator := `{"` + key + `":[`
	for i := range documents {
		encoded = append(encoded[:0], separator...)
		encoded = appendDocument(encoded, &documents[i])
		if _, err := buffered.Write(encoded); err != nil {
			return err
		}
		separator = ","
	}
	if len(documents) == 0 {
		buffered.WriteString(separator) //nolint:errcheck // the next write returns the error
	}
	_, err := buffered.WriteString("]")
	return err
}

// encodeJSON encodes a value, with a line break at the end.
func encodeJSON(value any) (string, error) {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return out.String(), err
}

// appendDocument appends a document as its tags of JSON say.
func appendDocument(out []byte, document *Document) []byte {
	out = appendText(append(out, `{"yaml":`...), document.YAML)
	out = appendText(append(out, `,"source":`...), document.Source)
	if document.File != "" {
		out = appendText(append(out, `,"file":`...), document.File)
	}
	if document.Line != 0 {
		out = strconv.AppendInt(append(out, `,"line":`...), int64(document.Line), 10)
	}
	return append(out, '}')
}

// appendText appends a text in quotes. What is not UTF-8 becomes U+FFFD.
func appendText(out []byte, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	out = append(out, '"')
	start := 0
	for i := range len(text) {
		sign := text[i]
		if sign >= ' ' && sign != '"' && sign != '\\' {
			continue
		}
		out = append(out, text[start:i]...)
		start = i + 1
		switch sign {
		case '"', '\\':
			out = append(out, '\\', sign)
		case '\n':
			out = append(out, '\\', 'n')
		default:
			const digits = "0123456789abcdef"
			out = append(out, '\\', 'u', '0', '0', digits[sign>>4], digits[sign&0xF])
		}
	}
	return append(append(out, text[start:]...), '"')
}
