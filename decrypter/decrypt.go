package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/keyservice"
)

// Bounds of the time that is taken. A file that is made to be slow cannot be
// stopped inside of the library: it is left behind, and ends with the process.
const (
	fileTime    = 10 * time.Second
	fileKMSTime = 60 * time.Second
	requestTime = 120 * time.Second
)

// kmsWorkers is how many files wait for KMS at a time.
const kmsWorkers = 4

// decrypter decrypts the files of one request.
type decrypter struct {
	ring *keyring
	// cloud is nil where KMS is not allowed.
	cloud    *cloud
	fileTime time.Duration
	scrubber scrubber
}

func decryptAll(request *Request) *Response {
	ring := newKeyring(request.Keys)
	d := &decrypter{ring: ring, fileTime: fileTime, scrubber: newScrubber(ring.secrets)}
	workers := 1
	if request.KMS {
		d.cloud, d.fileTime, workers = newCloud(request.Keys.Vault), fileKMSTime, kmsWorkers
	}

	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	response := &Response{Version: protocolVersion, Libraries: libraries(), Files: make([]Plaintext, len(request.Files)), Warnings: []string{}}
	next := make(chan int)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := range next {
				response.Files[i] = d.file(ctx, &request.Files[i])
			}
		})
	}
	for i := range request.Files {
		next <- i
	}
	close(next)
	running.Wait()

	response.Warnings = append(append(response.Warnings, ring.warnings...), ring.pgpWarnings...)
	return response
}

// file decrypts one file within its time.
func (d *decrypter) file(ctx context.Context, file *File) Plaintext {
	ctx, cancel := context.WithTimeout(ctx, d.fileTime)
	defer cancel()
	type outcome struct {
		data    []byte
		failure *Failure
	}
	done := make(chan outcome, 1)
	go func() {
		data, failure := d.decrypt(ctx, file)
		done <- outcome{data, failure}
	}()
	var result outcome
	select {
	case result = <-done:
	case <-ctx.Done():
		result.failure = errSlow()
	}
	if result.failure == nil {
		return Plaintext{Path: file.Path, Data: append([]byte{}, result.data...)}
	}
	if result.failure.Recipients == nil {
		result.failure.Recipients = []string{}
	}
	d.scrubber.scrub(result.failure)
	return Plaintext{Path: file.Path, Error: result.failure}
}

func errSlow() *Failure {
	return failuref(KindLimit, "decrypting the file takes too long")
}

// decrypt returns the plaintext of a file. What panics in a library becomes an
// error: a file may be made for it, and the value of the panic may hold its data.
func (d *decrypter) decrypt(ctx context.Context, file *File) (data []byte, failure *Failure) {
	defer func() {
		if recover() != nil {
			data, failure = nil, failuref(KindFormat, "the SOPS library panicked on the file")
		}
	}()
	if ctx.Err() != nil {
		return nil, errSlow()
	}
	if len(file.Data) > maxFileBytes {
		return nil, failuref(KindLimit, "the file has more than %d MiB", maxFileBytes>>20)
	}
	format := chooseFormat(file)
	found := inspect(format, file.Data)
	switch {
	case found.problem != nil:
		return nil, found.problem
	case !found.encrypted && remnant(file.Data):
		return nil, failuref(KindNotEncrypted, "the file has encrypted values but no SOPS metadata (format %s): it is cut off, or was edited", format)
	case !found.encrypted:
		return nil, failuref(KindNotEncrypted, "the file has no SOPS metadata (format %s)", format)
	case !found.leading:
		return nil, failuref(KindFormat, "the SOPS metadata are not in the first document of the file")
	}

	store := newStore(format)
	tree, err := store.LoadEncryptedFile(file.Data)
	if err != nil {
		return nil, failuref(KindFormat, "%s", loadProblem(err))
	}
	names := recipients(tree.Metadata)
	if len(names) > maxRecipients {
		return nil, failuref(KindLimit, "the file is encrypted for more than %d keys", maxRecipients)
	}
	data, failure = d.decryptTree(ctx, store, &tree)
	if failure != nil {
		failure.Recipients = names
	}
	return data, failure
}

// decryptTree finds the data key, decrypts the values and verifies the MAC.
func (d *decrypter) decryptTree(ctx context.Context, store sops.Store, tree *sops.Tree) ([]byte, *Failure) {
	service := &fileKeys{ctx: ctx, ring: d.ring, kms: d.cloud}
	dataKey, err := tree.Metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{service}, sops.DefaultDecryptionOrder)
	if ctx.Err() != nil {
		return nil, errSlow()
	}
	if err != nil {
		return nil, service.missingKey(tree.Metadata)
	}
	defer clear(dataKey)

	cipher := &valueCipher{ctx: ctx, inner: aes.NewCipher()}
	computed, err := tree.Decrypt(dataKey, cipher)
	if ctx.Err() != nil {
		return nil, errSlow()
	}
	if err != nil {
		return nil, cipher.problem(err)
	}
	stated, err := cipher.inner.Decrypt(tree.Metadata.MessageAuthenticationCode, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, failuref(KindMAC, "the MAC of the file does not decrypt: its metadata were changed after the encryption")
	}
	if stated != computed {
		return nil, failuref(KindMAC, "the MAC of the file does not match: values were changed, moved, added or removed after the encryption")
	}
	data, err := store.EmitPlainFile(tree.Branches)
	if err != nil {
		return nil, failuref(KindFormat, "the plaintext cannot be written in the format of the file")
	}
	return data, nil
}

// valueCipher is the cipher of SOPS, which remembers where it fails and ends with
// the time of the file.
type valueCipher struct {
	ctx    context.Context
	inner  aes.Cipher
	failed string
}

// Encrypt implements sops.Cipher. It always fails.
func (c *valueCipher) Encrypt(any, []byte, string) (string, error) { return "", errRefused }

// Decrypt implements sops.Cipher. The additional data are the path of the value.
func (c *valueCipher) Decrypt(ciphertext string, key []byte, path string) (any, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	value, err := c.inner.Decrypt(ciphertext, key, path)
	if err != nil {
		c.failed = path
	}
	return value, err
}

// problem describes an error of a walk over the values, which quotes them.
func (c *valueCipher) problem(err error) *Failure {
	text := err.Error()
	switch {
	case strings.Contains(text, "Could not decrypt value"):
		return failuref(KindMAC, "%s does not decrypt: it was changed or moved after the encryption", place(c.failed))
	case strings.Contains(text, "Expected encrypted value as string"):
		return failuref(KindMAC, "a value that has to be encrypted is not: it was changed after the encryption")
	case strings.Contains(text, "non-string key"):
		return failuref(KindFormat, "a mapping of the file has a key that is not text, which SOPS does not know")
	default:
		return failuref(KindFormat, "the SOPS library cannot walk the values of the file")
	}
}

// place names a value by its keys, which are not encrypted.
func place(path string) string {
	keys := strings.ReplaceAll(strings.TrimSuffix(path, ":"), ":", ".")
	if keys == "" {
		return "a value"
	}
	return fmt.Sprintf("the value of %q", printable(keys))
}

// loadProblem describes an error of reading the file, which quotes it.
func loadProblem(err error) string {
	if errors.Is(err, sops.MetadataNotFound) {
		return "the file has no SOPS metadata where SOPS reads them"
	}
	text := err.Error()
	for _, known := range []struct{ part, problem string }{
		{"No keys found", "the SOPS metadata name no key"},
		{"more than one of encrypted_suffix", "the SOPS metadata hold more than one rule of what is encrypted"},
		{"parsing time", "the SOPS metadata hold a time that cannot be read"},
		{"that is not a mapping", "the SOPS metadata are not a mapping"},
		{"duplicate", "the file has a key twice"},
		{"already defined", "a mapping of the file has a key twice"},
		{"sequences are not supported", "a document of the file is a sequence, which SOPS does not know"},
		{"values are not supported", "a document of the file is neither mapping nor empty, which SOPS does not know"},
		{"key-value delimiter not found", "a line of the file is neither section, key nor comment"},
	} {
		if strings.Contains(text, known.part) {
			return known.problem
		}
	}
	return "the SOPS library cannot read the file or its metadata"
}
