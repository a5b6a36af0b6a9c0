package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAWrongOrMissingKeyNamesTheRecipients(t *testing.T) {
	wrong, given := newAge(t)
	_, first := newAge(t)
	_, second := newAge(t)
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", first+","+second)
	for name, test := range map[string]struct {
		keys  Keys
		words string
	}{
		"missing": {Keys{}, "given: none"},
		"wrong":   {Keys{Age: []string{wrong}}, "given: age " + given},
		"many":    {Keys{Age: []string{strings.Repeat(wrong+"\n", 5)}}, "and 4 more"},
	} {
		t.Run(name, func(t *testing.T) {
			failure := refused(t, only(t, test.keys, "a.yaml", "", encrypted), KindNoKey, test.words)
			if !slices.Equal(failure.Recipients, []string{first, second}) {
				t.Errorf("recipients %v", failure.Recipients)
			}
		})
	}
}

func TestAgeKeysMayBeFilesWithComments(t *testing.T) {
	key, recipient := newAge(t)
	other, _ := newAge(t)
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	text := "# created: 2024-01-01\n# public key: " + recipient + "\n\n" + other + "\n  " + key + "\r\n"
	if got := only(t, Keys{Age: []string{text}}, "a.yaml", "", encrypted); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
}

func TestHybridAndSSHKeysOfAgeAreKnown(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "sample")
	if err != nil {
		t.Fatal(err)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for recipient, key := range map[string]string{
		hybrid.Recipient().String():                                    hybrid.String(),
		strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic))): string(pem.EncodeToMemory(block)),
	} {
		encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
		if got := only(t, Keys{Age: []string{key}}, "a.yaml", "", encrypted); got.Error != nil {
			t.Errorf("%s: %+v", recipient, got.Error)
		}
	}
}

func TestAKeyThatCannotBeUsedIsAWarning(t *testing.T) {
	key, recipient := newAge(t)
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	got := ask(t, Request{Keys: Keys{Age: []string{
		canary, "# nothing", "AGE-SECRET-KEY-1" + canary, "AGE-PLUGIN-YUBIKEY-1" + canary, "-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary, key,
	}}, Files: []File{{Path: "a.yaml", Data: encrypted}}})
	if got.Files[0].Error != nil || len(got.Warnings) != 5 {
		t.Errorf("%+v", got)
	}
	for i, warning := range got.Warnings {
		if !strings.HasPrefix(warning, fmt.Sprintf("keys.age[%d] is left out: ", i)) {
			t.Error(warning)
		}
	}
}

func TestKeyGroupsNeedTheirThreshold(t *testing.T) {
	var keys, recipients []string
	for range 3 {
		key, recipient := newAge(t)
		keys, recipients = append(keys, key), append(recipients, recipient)
	}
	rules := fmt.Sprintf("creation_rules:\n- shamir_threshold: 2\n  key_groups:\n  - age: [%s]\n  - age: [%s]\n  - age: [%s]\n", recipients[0], recipients[1], recipients[2])
	encrypted := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--rules", rules)
	if got := only(t, Keys{Age: []string{keys[2], keys[0]}}, "a.yaml", "", encrypted); string(got.Data) != "a: canary-7f3a\n" {
		t.Errorf("%+v", got)
	}
	failure := refused(t, only(t, Keys{Age: keys[:1]}, "a.yaml", "", encrypted), KindNoKey, "2 of its 3 key groups")
	if !slices.Equal(failure.Recipients, recipients) {
		t.Errorf("recipients %v", failure.Recipients)
	}
	// Whoever lowers the threshold in the file gets nothing for it.
	lowered := bytes.Replace(encrypted, []byte("shamir_threshold: 2"), []byte("shamir_threshold: 1"), 1)
	refused(t, only(t, Keys{Age: keys[:1]}, "a.yaml", "", lowered), KindNoKey)
}

// pgpKey is a PGP key made for a test.
type pgpKey struct {
	entity              *openpgp.Entity
	private, passphrase string
	fingerprint         string
}

func newPGP(t testing.TB, passphrase string, config *packet.Config) pgpKey {
	t.Helper()
	entity, err := openpgp.NewEntity("Sample", "made for a test", "sample@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	key := pgpKey{entity: entity, passphrase: passphrase, fingerprint: fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)}
	if passphrase != "" {
		if err := entity.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	writer, err := armor.Encode(&text, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.SerializePrivateWithoutSigning(writer, nil); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	key.private = text.String()
	return key
}

// encryptPGP has sops encrypt for PGP keys, out of a key ring of its own, with
// the library instead of gpg.
func encryptPGP(t testing.TB, plain string, keys ...pgpKey) []byte {
	t.Helper()
	home := t.TempDir()
	var ring bytes.Buffer
	var fingerprints []string
	for _, key := range keys {
		if err := key.entity.Serialize(&ring); err != nil {
			t.Fatal(err)
		}
		fingerprints = append(fingerprints, key.fingerprint)
	}
	if err := os.WriteFile(filepath.Join(home, "pubring.gpg"), ring.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sops := sopsTool{environment: []string{"GNUPGHOME=" + home, "SOPS_GPG_EXEC=/nonexistent"}}
	return sops.encrypt(t, "a.yaml", plain, "--pgp", strings.Join(fingerprints, ","))
}

func TestPGPKeysDecryptWithoutGPG(t *testing.T) {
	for name, test := range map[string]struct {
		passphrase string
		config     *packet.Config
	}{
		"RSA":             {"", &packet.Config{RSABits: 2048}},
		"RSA, passphrase": {canary + " phrase", &packet.Config{RSABits: 2048}},
		"Curve25519":      {"", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}},
		"P-256":           {"", &packet.Config{Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256}},
	} {
		t.Run(name, func(t *testing.T) {
			key, other := newPGP(t, test.passphrase, test.config), newPGP(t, "", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
			encrypted := encryptPGP(t, "a: canary-7f3a\n", key, other)
			got := only(t, Keys{PGP: []PGPKey{{Armored: key.private, Passphrase: key.passphrase}}}, "a.yaml", "", encrypted)
			if string(got.Data) != "a: canary-7f3a\n" {
				t.Errorf("%+v", got.Error)
			}
		})
	}
}

func TestAWrongPGPKeyNamesTheFingerprints(t *testing.T) {
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}
	key, wrong, locked := newPGP(t, "", config), newPGP(t, "", config), newPGP(t, canary+" phrase", config)
	encrypted := encryptPGP(t, "a: canary-7f3a\n", key)
	got := ask(t, Request{Keys: Keys{PGP: []PGPKey{
		{Armored: wrong.private},
		{Armored: locked.private},
		{Armored: locked.private, Passphrase: "not the " + canary},
		{Armored: canary},
	}}, Files: []File{{Path: "a.yaml", Data: encrypted}}})
	failure := refused(t, got.Files[0], KindNoKey, "given: PGP "+wrong.fingerprint)
	if !slices.Equal(failure.Recipients, []string{key.fingerprint}) {
		t.Errorf("recipients %v", failure.Recipients)
	}
	want := []string{
		"keys.pgp[1] is left out: it holds no private key that needs no passphrase",
		"keys.pgp[2] is left out: it holds no private key that the passphrase unlocks",
		"keys.pgp[3] is left out: it is not an armored private key",
	}
	if !slices.Equal(got.Warnings, want) {
		t.Errorf("%q", got.Warnings)
	}
}

// TestFilesOfGPGAreDecrypted uses keys and files that gpg 2.2 made once: as it
// exports them, with its own ciphers and packets.
func TestFilesOfGPGAreDecrypted(t *testing.T) {
	for _, name := range []string{"ed25519", "locked", "expired"} {
		key := PGPKey{Armored: string(readTestdata(t, "sample/gpg-"+name+".asc"))}
		if name == "locked" {
			key.Passphrase = "sample passphrase"
		}
		got := only(t, Keys{PGP: []PGPKey{key}}, "a.yaml", "", readTestdata(t, "sample/gpg-"+name+".enc.yaml"))
		if got.Error != nil || !bytes.Contains(got.Data, []byte(canary)) {
			t.Errorf("%s: %q %+v", name, got.Data, got.Error)
		}
	}
}
