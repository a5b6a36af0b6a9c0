package main

import (
	"fmt"
	"strings"
	"unicode"
)

// Kinds of failures: what a person has to mend.
const (
	KindNoKey        = "no-key"        // no key of the request opens the file
	KindMAC          = "mac"           // the file was changed after its encryption
	KindFormat       = "format"        // the file or its metadata cannot be read
	KindNotEncrypted = "not-encrypted" // the file has no SOPS metadata
	KindKMS          = "kms"           // a cloud KMS or Vault is needed, or refuses
	KindLimit        = "limit"         // the file is too large, or takes too long
)

// Failure is an error of one file. Neither text shows values or keys; the
// recipients are the public names of the keys that the file is encrypted for.
type Failure struct {
	Kind       string   `json:"kind"`
	Message    string   `json:"message"`
	Recipients []string `json:"recipients"`
}

func failuref(kind, format string, args ...any) *Failure {
	return &Failure{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// maxTextBytes bounds each text that comes out of a file or from a server.
const maxTextBytes = 400

// printable returns a text of a file or of a server as one line of bounded size.
func printable(text string) string {
	if len(text) > maxTextBytes {
		text = text[:maxTextBytes] + "…"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(text), " ")
}

// scrubber takes secrets out of texts: the last line of defense, since every
// message is made without them.
type scrubber struct{ replacer *strings.Replacer }

// minSecretBytes is the length below which a replacement would hit words.
const minSecretBytes = 6

func newScrubber(secrets []string) scrubber {
	var pairs []string
	for _, secret := range secrets {
		for _, line := range strings.Split(secret, "\n") {
			if line = strings.TrimSpace(line); len(line) >= minSecretBytes && !strings.HasPrefix(line, "-----") {
				pairs = append(pairs, line, "[redacted]")
			}
		}
	}
	return scrubber{strings.NewReplacer(pairs...)}
}

func (s scrubber) scrub(failure *Failure) {
	failure.Message = s.replacer.Replace(failure.Message)
	for i, recipient := range failure.Recipients {
		failure.Recipients[i] = s.replacer.Replace(recipient)
	}
}
