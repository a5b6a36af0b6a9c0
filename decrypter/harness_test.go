package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// program returns a binary that a variable names. The tests run real programs:
// without them they fail, and never pass by skipping.
func program(t testing.TB, variable string) string {
	t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		t.Fatalf("%s is not set: run decrypter/test, which builds what the tests need", variable)
	}
	return file
}

// canary is part of every secret value in these tests. It has to be in
// plaintexts, and nowhere else.
const canary = "canary-7f3a"

// answer is what the program left behind.
type answer struct {
	exit           int
	stdout, stderr []byte
	response       Response
	took           time.Duration
	peak           int64 // KiB
}

// start runs the program on an input with only the given environment.
func start(t testing.TB, input []byte, environment []string, arguments ...string) answer {
	t.Helper()
	command := exec.Command(program(t, "DECRYPTER"), arguments...)
	command.Env = append([]string{}, environment...)
	command.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	began := time.Now()
	if err := command.Run(); command.ProcessState == nil {
		t.Fatal(err)
	}
	return answer{exit: command.ProcessState.ExitCode(), stdout: stdout.Bytes(), stderr: stderr.Bytes(),
		took: time.Since(began), peak: peakMemory(command.ProcessState)}
}

// ask sends a request that is valid, and checks what holds for every response.
func ask(t testing.TB, request Request, environment ...string) Response {
	t.Helper()
	return askFully(t, request, environment...).response
}

func askFully(t testing.TB, request Request, environment ...string) answer {
	t.Helper()
	request.Version = protocolVersion
	input, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	got := start(t, input, environment)
	if got.exit != exitOK || len(got.stderr) > 0 {
		t.Fatalf("exit code %d, stderr %q", got.exit, got.stderr)
	}
	if err := json.Unmarshal(got.stdout, &got.response); err != nil {
		t.Fatalf("%v: %q", err, got.stdout)
	}
	if bytes.Count(got.stdout, []byte("\n")) != 1 || !bytes.HasSuffix(got.stdout, []byte("\n")) {
		t.Errorf("the response is not one line")
	}
	if len(got.response.Files) != len(request.Files) {
		t.Fatalf("%d files in the response to %d", len(got.response.Files), len(request.Files))
	}
	for i, file := range got.response.Files {
		if file.Path != request.Files[i].Path {
			t.Errorf("path %q instead of %q", file.Path, request.Files[i].Path)
		}
		if (file.Error == nil) != (file.Data != nil) {
			t.Errorf("%s has both data and error, or neither", file.Path)
		}
	}
	checkSilent(t, got.stdout, request)
	return got
}

// checkSilent fails where anything but a plaintext shows a value or a key.
func checkSilent(t testing.TB, stdout []byte, request Request) {
	t.Helper()
	var response Response
	if err := json.Unmarshal(stdout, &response); err != nil {
		t.Fatal(err)
	}
	for i := range response.Files {
		response.Files[i].Data = nil
	}
	shown, err := json.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{canary, "AGE-SECRET-KEY-", "PRIVATE KEY", "ENC[AES256_GCM"}
	for _, key := range request.Keys.PGP {
		secrets = append(secrets, key.Passphrase)
	}
	if request.Keys.Vault != nil {
		secrets = append(secrets, request.Keys.Vault.Token)
	}
	for _, secret := range secrets {
		if secret != "" && bytes.Contains(shown, []byte(secret)) {
			t.Errorf("the response shows %q: %s", secret, shown)
		}
	}
}

// only decrypts one file and returns what became of it.
func only(t testing.TB, keys Keys, path, format string, data []byte) Plaintext {
	t.Helper()
	return ask(t, Request{Keys: keys, Files: []File{{Path: path, Format: format, Data: data}}}).Files[0]
}

// refused decrypts one file and wants an error of a kind with all of the words.
func refused(t testing.TB, got Plaintext, kind string, words ...string) *Failure {
	t.Helper()
	if got.Error == nil {
		t.Fatalf("no error; wanted %s", kind)
	}
	if got.Error.Kind != kind {
		t.Errorf("kind %s instead of %s: %s", got.Error.Kind, kind, got.Error.Message)
	}
	for _, word := range words {
		if !strings.Contains(got.Error.Message, word) {
			t.Errorf("%q is not in %q", word, got.Error.Message)
		}
	}
	return got.Error
}

// newAge returns a key made for this test, and its recipient.
func newAge(t testing.TB) (string, string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity.String(), identity.Recipient().String()
}

// sopsTool runs the official sops on a file of a directory of its own.
type sopsTool struct {
	environment []string
}

// encrypt returns what `sops encrypt` makes of a file of this name.
func (s sopsTool) encrypt(t testing.TB, name, plain string, arguments ...string) []byte {
	t.Helper()
	return s.run(t, name, []byte(plain), append([]string{"encrypt"}, arguments...)...)
}

// decrypt returns what `sops decrypt` makes of a file of this name.
func (s sopsTool) decrypt(t testing.TB, name string, encrypted []byte, arguments ...string) []byte {
	t.Helper()
	return s.run(t, name, encrypted, append([]string{"decrypt"}, arguments...)...)
}

func (s sopsTool) run(t testing.TB, name string, data []byte, arguments ...string) []byte {
	t.Helper()
	directory := t.TempDir()
	file := filepath.Join(directory, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// A .sops.yaml in the directory ends the search for one further up.
	config := filepath.Join(directory, ".sops.yaml")
	if index := slices.Index(arguments, "--rules"); index >= 0 {
		if err := os.WriteFile(config, []byte(arguments[index+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = slices.Delete(slices.Clone(arguments), index, index+2)
		arguments = append([]string{"--config", config}, arguments...)
	}
	command := exec.Command(program(t, "SOPS"), append(slices.Clone(arguments), file)...)
	command.Dir = directory
	command.Env = append([]string{"HOME=" + directory}, s.environment...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("sops %v: %v: %s", arguments, err, stderr.String())
	}
	return stdout.Bytes()
}
