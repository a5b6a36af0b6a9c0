package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

// protocolVersion is raised when a parent of before would misread a message.
const protocolVersion = 1

// Limits of the input. The parent has its own; these keep an error readable
// where the parent could only see the program die.
const (
	maxRequestBytes = 64 << 20
	maxFiles        = 1000
	maxPathBytes    = 4096
	maxAgeKeys      = 100
	maxPGPKeys      = 100
	maxKeyBytes     = 1 << 20
	// maxFileBytes is that of Flux. A larger file is an error of this file.
	maxFileBytes = 5 << 20
)

// Request is what stdin holds.
type Request struct {
	Version int  `json:"version"`
	Keys    Keys `json:"keys"`
	// KMS allows sockets: without it no key of a cloud or of Vault is asked for.
	KMS   bool   `json:"kms"`
	Files []File `json:"files"`
}

// Keys are the private keys.
type Keys struct {
	// Age holds age identities, or the text of whole key files.
	Age   []string   `json:"age"`
	PGP   []PGPKey   `json:"pgp"`
	Vault *VaultAuth `json:"vault"`
}

// PGPKey is an armored private key, or several in one block.
type PGPKey struct {
	Armored    string `json:"armored"`
	Passphrase string `json:"passphrase"`
}

// VaultAuth is the one Vault server that may see the token. What is missing is an error of the files that need it.
type VaultAuth struct {
	Address string `json:"address"`
	Token   string `json:"token"`
	// CA holds, in PEM, the authorities that are trusted instead of those of the system.
	CA string `json:"ca"`
}

// File is one encrypted file.
type File struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Data   []byte `json:"data"`
}

// Response is what stdout holds. Files are in the order of the request.
type Response struct {
	Version   int               `json:"version"`
	Libraries map[string]string `json:"libraries"`
	Files     []Plaintext       `json:"files"`
	// Warnings are about keys of the request that cannot be used.
	Warnings []string `json:"warnings"`
}

// Plaintext is what became of one file: Data, or Error.
type Plaintext struct {
	Path  string   `json:"path"`
	Data  []byte   `json:"data"`
	Error *Failure `json:"error"`
}

// readRequest reads stdin strictly: a key that is not known is a parent of
// another version. No error shows anything of the input.
func readRequest(stdin io.Reader) (*Request, error) {
	data, err := io.ReadAll(io.LimitReader(stdin, maxRequestBytes+1))
	defer clear(data)
	if err != nil {
		return nil, errors.New("the request cannot be read")
	}
	if len(data) > maxRequestBytes {
		return nil, fmt.Errorf("the request has more than %d MiB", maxRequestBytes>>20)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	request := &Request{}
	if err := decoder.Decode(request); err != nil {
		return nil, fmt.Errorf("the request is %s", jsonProblem(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the request")
	}
	if err := request.check(); err != nil {
		return nil, err
	}
	return request, nil
}

// jsonProblem describes an error of encoding/json, whose own text quotes input.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON: byte %d is not expected", syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "not JSON: it ends early"
	case errors.As(err, &mismatch):
		return fmt.Sprintf("not of protocol version %d: the value before byte %d has another type", protocolVersion, mismatch.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return fmt.Sprintf("not of protocol version %d: it has a key that is not known", protocolVersion)
	default: // base64
		return fmt.Sprintf("not of protocol version %d: a value cannot be read", protocolVersion)
	}
}

func (r *Request) check() error {
	if r.Version != protocolVersion {
		return fmt.Errorf("the request has version %d, and %d is the only one known", r.Version, protocolVersion)
	}
	if len(r.Files) > maxFiles || len(r.Keys.Age) > maxAgeKeys || len(r.Keys.PGP) > maxPGPKeys {
		return fmt.Errorf("the request has more than %d files, %d age keys or %d PGP keys", maxFiles, maxAgeKeys, maxPGPKeys)
	}
	for i, key := range r.Keys.Age {
		if len(key) > maxKeyBytes {
			return fmt.Errorf("keys.age[%d] has more than %d bytes", i, maxKeyBytes)
		}
	}
	for i, key := range r.Keys.PGP {
		if len(key.Armored) > maxKeyBytes || len(key.Passphrase) > maxKeyBytes {
			return fmt.Errorf("keys.pgp[%d] has more than %d bytes", i, maxKeyBytes)
		}
	}
	if vault := r.Keys.Vault; vault != nil && max(len(vault.Address), len(vault.Token), len(vault.CA)) > maxKeyBytes {
		return fmt.Errorf("keys.vault has more than %d bytes", maxKeyBytes)
	}
	for i, file := range r.Files {
		if file.Path == "" || len(file.Path) > maxPathBytes || strings.ContainsRune(file.Path, 0) {
			return fmt.Errorf("files[%d].path is not a path", i)
		}
		if !knownFormat(file.Format) {
			return fmt.Errorf("files[%d].format is not known", i)
		}
	}
	return nil
}

// wipe overwrites what can be: strings and what libraries copied stay in memory
// until the process ends.
func (r *Request) wipe() {
	for _, file := range r.Files {
		clear(file.Data)
	}
}

func (r *Response) wipe() {
	for _, file := range r.Files {
		clear(file.Data)
	}
}

// writeResponse writes the response as one line of JSON.
func writeResponse(w io.Writer, response *Response) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		return err
	}
	return buffered.Flush()
}

// versions is what --version prints.
func versions() map[string]any {
	return map[string]any{"version": protocolVersion, "libraries": libraries(), "go": runtime.Version()}
}

// libraries returns the versions of what decides over the output.
func libraries() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/getsops/sops/v3", "filippo.io/age", "github.com/ProtonMail/go-crypto":
			found[module.Path] = module.Version
		}
	}
	return found
}
