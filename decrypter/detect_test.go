package main

import (
	"encoding/json"
	"testing"
)

// The vectors are those of every detector of this project, in any language.
func TestTheDetectorFollowsItsVectors(t *testing.T) {
	for _, format := range []string{FormatYAML, FormatJSON, FormatDotenv, FormatINI, FormatBinary} {
		var vectors []struct {
			Name, Data string
			Encrypted  bool
		}
		if err := json.Unmarshal(readTestdata(t, "detect/"+format+".json"), &vectors); err != nil {
			t.Fatal(err)
		}
		for _, vector := range vectors {
			if got := inspect(format, []byte(vector.Data)).encrypted; got != vector.Encrypted {
				t.Errorf("%s, %s: %v", format, vector.Name, got)
			}
		}
	}
}

func TestTheDetectorFindsWhatSOPSWrites(t *testing.T) {
	_, recipient := newAge(t)
	for _, test := range cases {
		encrypted := sopsTool{}.encrypt(t, test.path, test.plain, append([]string{"--age", recipient}, test.arguments...)...)
		format := chooseFormat(&File{Path: test.path, Data: encrypted})
		if !inspect(format, encrypted).encrypted {
			t.Errorf("%s: not detected as %s", test.name, format)
		}
		if inspect(format, []byte(test.plain)).encrypted {
			t.Errorf("%s: the plaintext is detected", test.name)
		}
	}
}

// FuzzInspect looks for files on which the bounds themselves break.
func FuzzInspect(f *testing.F) {
	for _, test := range cases {
		f.Add(test.plain + metadata)
	}
	f.Add(metadata + laughs())
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{FormatYAML, FormatJSON, FormatDotenv, FormatINI, FormatBinary} {
			inspect(format, []byte(text))
		}
	})
}
