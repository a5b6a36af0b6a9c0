package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secretYAML = `# the comment of the file
apiVersion: v1
kind: Secret
metadata:
    name: db
stringData:
    # how it is reached
    password: canary-7f3a-password # beside
    port: 5432
    ratio: 1.5
    enabled: true
    nothing: null
    empty: ""
    multi: |
        canary-7f3a line one
        line two
    list:
        - canary-7f3a-first
        # between
        - nested: canary-7f3a-second
---
apiVersion: v1
kind: ConfigMap
metadata:
    name: other
data:
    key: canary-7f3a-other
`

// cases are files of each format with the arguments that encrypt them.
var cases = []struct {
	name, path, plain string
	arguments         []string
}{
	{"YAML of two documents", "secret.yaml", secretYAML, nil},
	{"encrypted_regex", "secret.yaml", secretYAML, []string{"--encrypted-regex", "^(data|stringData)$"}},
	{"unencrypted_regex", "secret.yml", secretYAML, []string{"--unencrypted-regex", "^(metadata|kind|apiVersion)$"}},
	{"encrypted_suffix", "secret.yaml", "a_secret: canary-7f3a\nb: public\n", []string{"--encrypted-suffix", "_secret"}},
	{"unencrypted_suffix", "secret.yaml", "a: canary-7f3a\nb_public: public\n", []string{"--unencrypted-suffix", "_public"}},
	{"encrypted_comment_regex", "secret.yaml", "# sops:enc\na: canary-7f3a\nb: public\n", []string{"--rules", "creation_rules: [{encrypted_comment_regex: 'sops:enc'}]"}},
	{"mac_only_encrypted", "secret.yaml", secretYAML, []string{"--rules", "creation_rules: [{mac_only_encrypted: true, encrypted_regex: '^(data|stringData)$'}]"}},
	{"YAML with an anchor", "secret.yaml", "a: &a\n    k: canary-7f3a\nb: *a\n", nil},
	{"an empty document", "secret.yaml", "---\n# only a comment\n---\na: canary-7f3a\n", nil},
	{"JSON", "secret.json", `{"a": "canary-7f3a", "n": 9007199254740993, "f": 1.5, "l": [true, null, {"x": "canary-7f3a-2"}], "<&>": "é\n"}`, nil},
	{"dotenv", "secret.env", "# a comment\nA=canary-7f3a\nB=with = and \"quotes\"\nC=two\\nlines\nD=\n", nil},
	{"INI", "secret.ini", "; of the file\n[db]\n; a comment\npassword = canary-7f3a\nport     = 5432\n\n[web]\nkey = canary-7f3a-2\n", nil},
	{"binary", "secret.bin", "canary-7f3a \x00\x01\xff\xfe bytes\r\n", nil},
	{"a text as binary", "id_ed25519", "-----BEGIN canary-7f3a-----\n", nil},
	{"an empty value", "secret.yaml", "a: \"\"\nb: []\nc: {}\n", nil},
}

func TestWhatSOPSEncryptsIsDecryptedAsSOPSDoes(t *testing.T) {
	key, recipient := newAge(t)
	sops := sopsTool{environment: []string{"SOPS_AGE_KEY=" + key}}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			encrypted := sops.encrypt(t, test.path, test.plain, append([]string{"--age", recipient}, test.arguments...)...)
			if bytes.Contains(encrypted, []byte(canary)) {
				t.Fatal("the file is not encrypted")
			}
			got := only(t, Keys{Age: []string{key}}, test.path, "auto", encrypted)
			if got.Error != nil {
				t.Fatalf("%+v", got.Error)
			}
			if want := sops.decrypt(t, test.path, encrypted); !bytes.Equal(got.Data, want) {
				t.Errorf("decrypted to\n%q, and sops decrypts to\n%q", got.Data, want)
			}
			if bytes.Contains(got.Data, []byte("lastmodified")) {
				t.Error("the plaintext has metadata")
			}
		})
	}
}

func TestPlaintextIsWhatWasEncrypted(t *testing.T) {
	key, recipient := newAge(t)
	for _, test := range cases {
		if test.name == "JSON" || test.name == "INI" || strings.Contains(test.plain, "*a") || strings.Contains(test.plain, "only a comment") {
			continue // SOPS writes them in another form
		}
		plain := strings.ReplaceAll(test.plain, " # beside", "") // SOPS moves it to a line of its own
		encrypted := sopsTool{}.encrypt(t, test.path, plain, append([]string{"--age", recipient}, test.arguments...)...)
		if got := only(t, Keys{Age: []string{key}}, test.path, "", encrypted); string(got.Data) != plain {
			t.Errorf("%s: decrypted to\n%s", test.name, got.Data)
		}
	}
}

func TestTheFormatComesFromTheRequestTheNameOrTheContent(t *testing.T) {
	key, recipient := newAge(t)
	for _, test := range []struct{ encryptedAs, path, format, plain string }{
		{"a.yaml", "no-extension", "yaml", "a: canary-7f3a\n"},
		{"a.yaml", "secret.yaml.enc", "auto", "a: canary-7f3a\n"},
		{"a.env", "secret.env.enc", "auto", "A=canary-7f3a\n"},
		{"a.env", "secret.yaml", "dotenv", "A=canary-7f3a\n"},
		{"a.ini", "secret.ini.enc", "auto", "[a]\nb = canary-7f3a\n"},
		{"a.json", "secret.json.enc", "auto", "{\n\t\"a\": \"canary-7f3a\"\n}\n"},
		{"a.bin", "secret.enc", "auto", "canary-7f3a"},
		{"a.bin", "secret.yaml", "binary", "canary-7f3a"},
	} {
		encrypted := sopsTool{}.encrypt(t, test.encryptedAs, test.plain, "--age", recipient)
		got := only(t, Keys{Age: []string{key}}, test.path, test.format, encrypted)
		if got.Error != nil || string(got.Data) != test.plain {
			t.Errorf("%s as %s: %q %+v", test.path, test.format, got.Data, got.Error)
		}
	}
}

func TestManyFilesAreAnsweredInOrderEachByItself(t *testing.T) {
	key, recipient := newAge(t)
	_, stranger := newAge(t)
	request := Request{Keys: Keys{Age: []string{key}}}
	mine := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	other := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", stranger)
	for i := range 100 {
		data := mine
		if i%10 == 3 {
			data = other
		}
		request.Files = append(request.Files, File{Path: fmt.Sprintf("apps/%d.yaml", i), Data: data})
	}
	for i, file := range ask(t, request).Files {
		if i%10 == 3 {
			refused(t, file, KindNoKey)
		} else if string(file.Data) != "a: canary-7f3a\n" {
			t.Errorf("%d: %+v", i, file)
		}
	}
}

func TestNeitherEnvironmentNorHomeIsReadForKeys(t *testing.T) {
	key, recipient := newAge(t)
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".config/sops/age"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, ".config/sops/age/keys.txt")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{"HOME=" + home, "SOPS_AGE_KEY=" + key, "SOPS_AGE_KEY_FILE=" + file, "SOPS_AGE_KEY_CMD=cat " + file}
	sopsTool{environment: environment}.decrypt(t, "a.yaml", encrypted) // sops reads them
	for _, kms := range []bool{false, true} {
		got := ask(t, Request{KMS: kms, Files: []File{{Path: "a.yaml", Data: encrypted}}}, environment...)
		refused(t, got.Files[0], KindNoKey, "given: none")
	}
}

func TestASampleFileIsDecrypted(t *testing.T) {
	key := readTestdata(t, "sample/age.agekey")
	for _, name := range []string{"secret.enc.yaml", "secret.enc.env", "secret.enc.ini", "secret.enc.json", "secret.enc.bin"} {
		got := only(t, Keys{Age: []string{string(key)}}, name, "", readTestdata(t, "sample/"+name))
		if got.Error != nil || !bytes.Contains(got.Data, []byte(canary)) {
			t.Errorf("%s: %q %+v", name, got.Data, got.Error)
		}
	}
}

func TestALargeBinaryIsDecrypted(t *testing.T) {
	key, recipient := newAge(t)
	plain := strings.Repeat(base64.StdEncoding.EncodeToString([]byte(canary)), 100_000)
	encrypted := sopsTool{}.encrypt(t, "large", plain, "--age", recipient)
	if got := only(t, Keys{Age: []string{key}}, "large", "", encrypted); string(got.Data) != plain {
		t.Errorf("%+v", got.Error)
	}
}
