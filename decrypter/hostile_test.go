package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// laughs is a YAML document that expands to 9^9 texts.
func laughs() string {
	var text strings.Builder
	text.WriteString("l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n")
	for i := range 9 {
		fmt.Fprintf(&text, "l%d: &l%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i), 9), ", "))
	}
	return text.String()
}

// metadata are those of a file that no key opens.
const metadata = "sops:\n  mac: x\n  lastmodified: '2024-01-01T00:00:00Z'\n  version: 3.9.0\n  age: [{recipient: age1x, enc: x}]\n"

func TestAFileThatWasChangedIsRefused(t *testing.T) {
	key, recipient := newAge(t)
	keys := Keys{Age: []string{key}}
	text := string(sopsTool{}.encrypt(t, "a.yaml", "public: canary-7f3a-old\nfirst: canary-7f3a-1\nsecond: canary-7f3a-2\nthird: 3\nlist: [canary-7f3a-3, canary-7f3a-4]\n",
		"--age", recipient, "--unencrypted-regex", "^public$"))
	value := func(name string) string {
		return regexp.MustCompile(`(?m)^` + name + `: (ENC.*)$`).FindStringSubmatch(text)[1]
	}
	for name, test := range map[string]struct{ from, to, words string }{
		"a value that is not encrypted": {"canary-7f3a-old", "canary-7f3a-new", "the MAC of the file does not match"},
		"a value":                       {"first: ENC[AES256_GCM,data:", "first: ENC[AES256_GCM,data:AAAA", `the value of "first" does not decrypt`},
		"values that changed places":    {value("first"), value("second"), `the value of "first"`},
		"a value in the clear":          {value("first"), "canary-7f3a", `the value of "first" does not decrypt`},
		"a number in the clear":         {value("third"), "7", "a value that has to be encrypted is not"},
		"a name":                        {"\nfirst:", "\nfirst2:", `the value of "first2"`},
		"a value that was taken out":    {"second: " + value("second") + "\n", "", "the MAC of the file does not match"},
		"a value that was added":        {"\nfirst:", "\npublic2: ''\nfirst:", "the MAC of the file does not match"},
		"the time":                      {"lastmodified: \"2", "lastmodified: \"1", "the MAC of the file does not decrypt"},
		"the MAC":                       {"mac: ENC[", "mac: XNC[", "the MAC of the file does not decrypt"},
		"no MAC":                        {regexp.MustCompile(`mac: .*`).FindString(text), "mac: ''", "the MAC of the file does not match"},
		"the rule":                      {"^public$", "^(public|third)$", "the MAC of the file does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(text, test.from, test.to, 1)
			if changed == text && name != "a value that was added" {
				t.Fatalf("nothing was changed")
			}
			if name == "a value that was added" { // an empty value is no ciphertext, and still in the order of the MAC
				changed = strings.Replace(text, "public: canary-7f3a-old\n", "public: canary-7f3a-old\npublic2: x\n", 1)
				test.words = `the value of "public2" does not decrypt`
			}
			failure := refused(t, only(t, keys, "a.yaml", "", []byte(changed)), KindMAC, test.words)
			if len(failure.Recipients) != 1 || failure.Recipients[0] != recipient {
				t.Errorf("recipients %v", failure.Recipients)
			}
		})
	}
}

func TestAFileThatIsCutOffIsRefusedAtEveryPlace(t *testing.T) {
	key, recipient := newAge(t)
	for _, test := range cases[:1] {
		for _, name := range []string{"a.yaml", "a.json", "a.env", "a.ini", "a.bin"} {
			plain := map[string]string{"a.yaml": test.plain, "a.json": `{"a": "canary-7f3a"}`, "a.env": "A=canary-7f3a\n", "a.ini": "[a]\nb = canary-7f3a\n", "a.bin": canary}[name]
			encrypted := sopsTool{}.encrypt(t, name, plain, "--age", recipient)
			whole := strings.TrimRight(string(encrypted), "\n")
			request := Request{Keys: Keys{Age: []string{key}}}
			for end := 0; end < len(whole); end += max(1, len(whole)/400) {
				request.Files = append(request.Files, File{Path: name, Data: []byte(whole[:end])})
			}
			for i, file := range ask(t, request).Files {
				// A file may end within metadata that nobody needs, such as the version.
				if file.Error == nil && !strings.Contains(string(request.Files[i].Data), "mac") {
					t.Errorf("%s is decrypted when cut off after %d bytes: %q", name, len(request.Files[i].Data), file.Data)
				}
			}
		}
	}
}

func TestAFileWithoutMetadataIsNotEncrypted(t *testing.T) {
	for path, text := range map[string]string{
		"a.yaml": "a: canary-7f3a\n", "b.yaml": "", "c.yaml": "sops: canary-7f3a\n", "d.yaml": "sops:\n  mac: canary-7f3a\n", "e.yaml": "a: [canary-7f3a\n", "f.yaml": "\xff",
		"a.json": `{"a": "canary-7f3a"}`, "b.json": `["sops", "mac", "lastmodified"]`, "a.env": "A=canary-7f3a\n", "a.ini": "[a]\nb=canary-7f3a\n",
		"a.bin": "canary-7f3a", "b.bin": "\xff\x00", "c.bin": "", "d.bin": "{",
	} {
		refused(t, only(t, Keys{}, path, "", []byte(text)), KindNotEncrypted, "no SOPS metadata")
	}
	refused(t, only(t, Keys{}, "a.yaml", "", []byte("a: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n")), KindNotEncrypted, "it is cut off, or was edited")
}

func TestAFileThatCannotBeReadNamesTheLine(t *testing.T) {
	for path, test := range map[string]struct{ text, words string }{
		"a.yaml": {metadata + "a: b\nb: [canary-7f3a\nc: d\n", "not YAML (line"},
		"b.yaml": {metadata + "a: *canary-7f3a\n", "not YAML"},
		"c.yaml": {metadata + "a: \xff\n", "not UTF-8"},
		"d.yaml": {metadata + "canary-7f3a: 1\ncanary-7f3a: 2\n", "twice"},
		"e.yaml": {metadata + "---\n- canary-7f3a\n", "sequence"},
		"f.yaml": {metadata + "---\ncanary-7f3a\n", "neither mapping"},
		"g.yaml": {"a: canary-7f3a\n---\n" + metadata, "not in the first document"},
		"h.yaml": {strings.Replace(metadata, "2024-01-01T00:00:00Z", "canary-7f3a", 1), "a time that cannot be read"},
		"i.yaml": {strings.Replace(metadata, "age:", "canary-7f3a:", 1), "name no key"},
		"j.yaml": {strings.Replace(metadata, "age: [", "encrypted_regex: canary-7f3a\n  encrypted_suffix: x\n  age: [", 1), "more than one rule"},
		"a.json": {"{\n\"sops\": {\"lastmodified\": canary-7f3a}", "not JSON (line 2)"},
		"b.json": {"{\"sops\": {\"lastmodified\": \"canary-7f3a", "not JSON"},
		"a.env":  {"A=b\n\ncanary-7f3a\nsops_lastmodified=x\n", "line 3"},
	} {
		t.Run(path, func(t *testing.T) {
			refused(t, only(t, Keys{}, path, "", []byte(test.text)), KindFormat, test.words)
		})
	}
}

func TestLargeInputIsRefusedAtOnce(t *testing.T) {
	var nested strings.Builder
	nested.WriteString("a: 1\n")
	for i := range 600 {
		nested.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, test := range map[string]struct{ path, text, words string }{
		"a billion laughs":                      {"a.yaml", metadata + laughs(), "aliases are expanded"},
		"laughs in the second document":         {"a.yaml", metadata + "---\n" + laughs(), "aliases are expanded"},
		"an alias that contains itself":         {"a.yaml", metadata + "---\na: &a [*a]\n", "aliases are expanded"},
		"an alias of a long text":               {"a.yaml", metadata + "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 1000) + "]\n", "aliases are expanded"},
		"levels of YAML":                        {"a.yaml", metadata + "a: " + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "\n", "500 levels"},
		"levels of YAML past the library":       {"a.yaml", metadata + "a: " + strings.Repeat("[", 400_000), ""},
		"levels of JSON":                        {"a.json", `{"sops": "lastmodified", "a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "}", "500 levels"},
		"entries of YAML":                       {"a.yaml", metadata + "a: [" + strings.Repeat("1,", 2_000_000) + "]\n", "entries"},
		"entries of YAML below the first bound": {"a.yaml", metadata + "a: [" + strings.Repeat("1,", 590_000) + "]\n", "entries"},
		"entries of JSON":                       {"a.json", `{"sops": "lastmodified", "a": [` + strings.Repeat("1,", 2_000_000) + "1]}", "entries"},
		"lines of dotenv":                       {"a.env", "sops_lastmodified=" + strings.Repeat("\n", 2_000_000), "lines"},
		"lines of INI":                          {"a.ini", "[sops]\nlastmodified=" + strings.Repeat("\n", 2_000_000), "lines"},
		"a large file":                          {"a.yaml", "a: " + strings.Repeat("x", maxFileBytes), "5 MiB"},
		"many recipients":                       {"a.yaml", strings.Replace(metadata, "{recipient: age1x, enc: x}", strings.Repeat("{recipient: age1x, enc: x}, ", 300), 1), "256 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			got := askFully(t, Request{Files: []File{{Path: test.path, Data: []byte(test.text)}}})
			kind := KindLimit
			if test.words == "" {
				kind = KindFormat
			}
			refused(t, got.response.Files[0], kind, test.words)
			t.Logf("%s, %d MiB", got.took.Round(time.Millisecond), got.peak>>10)
			if got.took > 10*time.Second || got.peak > 1<<20 {
				t.Errorf("it took %s and %d MiB", got.took, got.peak>>10)
			}
		})
	}
}

// Whoever knows the recipient can encrypt anything for it.
func TestAFileThatIsMadeToBeSlowIsGivenUp(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the time of a file to run out")
	}
	key, recipient := newAge(t)
	items := bytes.Repeat([]byte(`"",`), 240_000)
	slow := sopsTool{}.encrypt(t, "a.json", `{"a": "canary-7f3a"}`, "--age", recipient, "--encrypted-regex", "^a$")
	// An array that is not encrypted, with empty texts that change no MAC.
	slow = bytes.Replace(slow, []byte("{"), append(append([]byte(`{"b": [`), items...), `""],`...), 1)
	var lines strings.Builder
	for i := range 240_000 {
		fmt.Fprintf(&lines, "sops_%x=\n", i)
	}
	dotenv := append(sopsTool{}.encrypt(t, "a.env", "A=canary-7f3a\n", "--age", recipient), lines.String()...)
	quick := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	got := askFully(t, Request{Keys: Keys{Age: []string{key}}, Files: []File{
		{Path: "slow.json", Data: slow}, {Path: "slow.env", Data: dotenv}, {Path: "quick.yaml", Data: quick},
	}})
	for _, file := range got.response.Files[:2] {
		if file.Error != nil && file.Error.Kind != KindLimit {
			t.Errorf("%s: %+v", file.Path, file.Error)
		}
		t.Logf("%s: %v", file.Path, file.Error)
	}
	if string(got.response.Files[2].Data) != "a: canary-7f3a\n" {
		t.Errorf("%+v", got.response.Files[2])
	}
	t.Logf("%s, %d MiB", got.took.Round(time.Millisecond), got.peak>>10)
	if got.took > 60*time.Second || got.peak > 2<<20 {
		t.Errorf("it took %s and %d MiB", got.took, got.peak>>10)
	}
}

func TestAPanicOfALibraryIsAnErrorOfTheFile(t *testing.T) {
	key, recipient := newAge(t)
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	// SOPS remembers plaintexts in a map, and bytes cannot be a key of one.
	panics := bytes.Replace(encrypted, []byte("type:str"), []byte("type:bytes"), 1)
	got := ask(t, Request{Keys: Keys{Age: []string{key}}, Files: []File{{Path: "panics.yaml", Data: panics}, {Path: "a.yaml", Data: encrypted}}})
	refused(t, got.Files[0], KindFormat, "panicked")
	if got.Files[1].Error != nil {
		t.Errorf("%+v", got.Files[1].Error)
	}
}

func TestTextsOfAFileAreBoundedAndPrintable(t *testing.T) {
	recipient, err := json.Marshal("age1" + strings.Repeat("x", 10_000) + "\x1b[31m\n\u202e")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(metadata, "age1x", string(recipient), 1)
	failure := refused(t, only(t, Keys{}, "a.yaml", "", []byte(text)), KindNoKey)
	for _, shown := range append(failure.Recipients, failure.Message) {
		if len(shown) > maxTextBytes*2 || strings.ContainsAny(shown, "\x1b\n\u202e") {
			t.Errorf("%q", shown)
		}
	}
}
