package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"github.com/ProtonMail/go-crypto/openpgp"
	sopsage "github.com/getsops/sops/v3/age"
)

// keyring holds the keys of a request, parsed. A key that cannot be used is a
// warning: the files may be encrypted for another one.
type keyring struct {
	identities sopsage.ParsedIdentities
	// recipients are the public halves of the identities.
	recipients []string
	vault      *VaultAuth
	warnings   []string
	secrets    []string

	pgpKeys   []PGPKey
	unlockPGP sync.Once
	pgp       openpgp.EntityList
	// pgpWarnings belong to warnings, which files that run side by side read.
	pgpWarnings []string
}

func newKeyring(keys Keys) *keyring {
	ring := &keyring{vault: keys.Vault, pgpKeys: keys.PGP}
	for i, text := range keys.Age {
		ring.secrets = append(ring.secrets, text)
		if err := ring.addAge(text); err != nil {
			ring.warnings = append(ring.warnings, fmt.Sprintf("keys.age[%d] is left out: %v", i, err))
		}
	}
	for _, key := range keys.PGP {
		ring.secrets = append(ring.secrets, key.Armored, key.Passphrase)
	}
	if keys.Vault != nil {
		ring.secrets = append(ring.secrets, keys.Vault.Token)
	}
	for _, name := range secretAmbient {
		ring.secrets = append(ring.secrets, os.Getenv(name))
	}
	return ring
}

// addAge adds the identities of a text: an SSH private key, or lines as in a key
// file. Errors of the library quote the text and are not passed on.
func (r *keyring) addAge(text string) error {
	if strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		identity, err := agessh.ParseIdentity([]byte(text))
		if err != nil {
			return fmt.Errorf("it is not an SSH private key without a passphrase")
		}
		r.identities = append(r.identities, identity)
		r.recipients = append(r.recipients, "an SSH key")
		return nil
	}
	found := false
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, recipient, err := parseAge(line)
		if err != nil {
			return fmt.Errorf("line %d %w", number+1, err)
		}
		r.identities = append(r.identities, identity)
		r.recipients = append(r.recipients, recipient)
		found = true
	}
	if !found {
		return fmt.Errorf("it holds no age identity")
	}
	return nil
}

func parseAge(line string) (age.Identity, string, error) {
	switch {
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		return nil, "", fmt.Errorf("is an identity of a plugin, which is a program of its own")
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		if identity, err := age.ParseHybridIdentity(line); err == nil {
			return identity, identity.Recipient().String(), nil
		}
	default:
		if identity, err := age.ParseX25519Identity(line); err == nil {
			return identity, identity.Recipient().String(), nil
		}
	}
	return nil, "", fmt.Errorf("is not an age identity")
}

// given says which keys there were, for an error about a missing one.
func (r *keyring) given() string {
	var parts []string
	switch len(r.recipients) {
	case 0:
	case 1, 2, 3:
		parts = append(parts, "age "+printable(strings.Join(r.recipients, ", ")))
	default:
		parts = append(parts, fmt.Sprintf("age %s and %d more", printable(r.recipients[0]), len(r.recipients)-1))
	}
	var fingerprints []string
	for _, entity := range r.pgpEntities() {
		fingerprints = append(fingerprints, fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint))
	}
	if len(fingerprints) > 0 {
		parts = append(parts, "PGP "+printable(strings.Join(fingerprints, ", ")))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "; ")
}
