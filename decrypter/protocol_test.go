package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestABrokenProtocolExitsWith2AndShowsNothingOfTheInput(t *testing.T) {
	secret := "AGE-SECRET-KEY-" + canary
	for name, input := range map[string]string{
		"nothing":         "",
		"noise":           strings.Repeat(canary, 1000),
		"cut off":         `{"version": 1, "keys": {"age": ["` + secret,
		"another version": `{"version": 2}`,
		"no version":      `{}`,
		"unknown key":     `{"version": 1, "` + secret + `": 1}`,
		"another type":    `{"version": 1, "keys": {"age": "` + secret + `"}}`,
		"a number":        `{"version": 1, "keys": {"age": [71234567]}}`,
		"not base64":      `{"version": 1, "files": [{"path": "a", "data": "` + canary + `!"}]}`,
		"two requests":    `{"version": 1}{"version": 1}`,
		"no path":         `{"version": 1, "files": [{"data": ""}]}`,
		"unknown format":  `{"version": 1, "files": [{"path": "a", "format": "` + canary + `", "data": ""}]}`,
		"too many files":  `{"version": 1, "files": [` + strings.Repeat(`{"path": "a"},`, maxFiles) + `{"path": "a"}]}`,
		"too many keys":   `{"version": 1, "keys": {"age": [` + strings.Repeat(`"a",`, maxAgeKeys) + `"a"]}}`,
		"a long key":      `{"version": 1, "keys": {"age": ["` + strings.Repeat("a", maxKeyBytes+1) + `"]}}`,
		"Vault, unknown":  `{"version": 1, "keys": {"vault": {"role": "` + canary + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := start(t, []byte(input), nil)
			if got.exit != exitProtocol || len(got.stdout) > 0 || len(got.stderr) == 0 {
				t.Errorf("exit code %d, stdout %q, stderr %q", got.exit, got.stdout, got.stderr)
			}
			if bytes.Contains(got.stderr, []byte(canary)) || bytes.Contains(got.stderr, []byte("71234567")) {
				t.Errorf("stderr shows the input: %q", got.stderr)
			}
			if bytes.Count(got.stderr, []byte("\n")) != 1 {
				t.Errorf("stderr is not one line: %q", got.stderr)
			}
		})
	}
	if got := start(t, nil, nil, "--help"); got.exit != exitProtocol {
		t.Errorf("exit code %d for an unknown argument", got.exit)
	}
}

func TestAHugeRequestIsRefused(t *testing.T) {
	input := append([]byte(`{"version": 1, "files": [{"path": "a", "data": "`), bytes.Repeat([]byte("AAAA"), maxRequestBytes/4)...)
	got := start(t, input, nil)
	if got.exit != exitProtocol || !bytes.Contains(got.stderr, []byte("more than 64 MiB")) {
		t.Errorf("exit code %d, stderr %q", got.exit, got.stderr)
	}
}

func TestVersionsArePrinted(t *testing.T) {
	got := start(t, nil, nil, "--version")
	var printed struct {
		Version   int
		Libraries map[string]string
		Go        string
	}
	if err := json.Unmarshal(got.stdout, &printed); err != nil || got.exit != 0 {
		t.Fatalf("exit code %d, %v: %q", got.exit, err, got.stdout)
	}
	if printed.Version != 1 || !strings.HasPrefix(printed.Libraries["github.com/getsops/sops/v3"], "v3.") ||
		printed.Libraries["filippo.io/age"] == "" || printed.Libraries["github.com/ProtonMail/go-crypto"] == "" || printed.Go == "" {
		t.Errorf("%s", got.stdout)
	}
}

func TestTheResponseHasEveryKey(t *testing.T) {
	got := start(t, []byte(`{"version":1,"keys":{},"kms":false,"files":[{"path":"a.yaml","format":"auto","data":"`+
		base64.StdEncoding.EncodeToString([]byte("a: 1\n"))+`"}]}`), nil)
	want := `"files":[{"path":"a.yaml","data":null,"error":{"kind":"not-encrypted","message":"the file has no SOPS metadata (format yaml)","recipients":[]}}],"warnings":[]}`
	if !bytes.HasPrefix(got.stdout, []byte(`{"version":1,"libraries":{`)) || !bytes.HasSuffix(got.stdout, []byte(want+"\n")) {
		t.Errorf("%s", got.stdout)
	}
}

func TestARequestWithoutFilesIsAnswered(t *testing.T) {
	if got := ask(t, Request{}); len(got.Files) != 0 || len(got.Warnings) != 0 {
		t.Errorf("%+v", got)
	}
}
