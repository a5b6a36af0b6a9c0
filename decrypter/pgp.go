package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxDataKeyBytes bounds what a message may expand to: a data key has 32 bytes,
// and a part of one 33.
const maxDataKeyBytes = 1024

// errNoPGPKey says that none of the keys belongs to a message.
var errNoPGPKey = errors.New("no PGP key opens it")

// decryptPGP opens the armored message that holds a data key. SOPS' own way
// reads key rings of files and starts gpg.
func (r *keyring) decryptPGP(message []byte) ([]byte, error) {
	entities := r.pgpEntities()
	if len(entities) == 0 {
		return nil, errNoPGPKey
	}
	block, err := armor.Decode(strings.NewReader(string(message)))
	if err != nil {
		return nil, errors.New("the message is not armored")
	}
	// Without a prompt nothing but the keys is tried.
	details, err := openpgp.ReadMessage(block.Body, entities, nil, &packet.Config{})
	if err != nil {
		return nil, errNoPGPKey
	}
	if details.DecryptedWith.PrivateKey == nil {
		return nil, errors.New("the message is not encrypted")
	}
	// At its end the message is verified, so that it has to be reached.
	dataKey, err := io.ReadAll(io.LimitReader(details.UnverifiedBody, maxDataKeyBytes+1))
	if err != nil || len(dataKey) > maxDataKeyBytes {
		return nil, errors.New("the message holds no data key")
	}
	return dataKey, nil
}

// pgpEntities returns the keys that could be read, unlocked. It costs a tenth of
// a second where a passphrase is used, and is only done for files that need it.
func (r *keyring) pgpEntities() openpgp.EntityList {
	r.unlockPGP.Do(func() {
		for i, key := range r.pgpKeys {
			entities, err := readPGP(key)
			if err != nil {
				r.pgpWarnings = append(r.pgpWarnings, fmt.Sprintf("keys.pgp[%d] is left out: %v", i, err))
				continue
			}
			r.pgp = append(r.pgp, entities...)
		}
	})
	return r.pgp
}

// readPGP reads and unlocks one armored block.
func readPGP(key PGPKey) (entities openpgp.EntityList, err error) {
	defer func() {
		if recover() != nil {
			entities, err = nil, errors.New("the library panicked while it read the key")
		}
	}()
	entities, err = openpgp.ReadArmoredKeyRing(strings.NewReader(key.Armored))
	if err != nil {
		return nil, errors.New("it is not an armored private key")
	}
	usable := false
	for _, entity := range entities {
		keys := []*packet.PrivateKey{entity.PrivateKey}
		for _, subkey := range entity.Subkeys {
			keys = append(keys, subkey.PrivateKey)
		}
		for _, private := range keys {
			if private == nil || private.Dummy() { // a public key, or one whose private half lies elsewhere
				continue
			}
			if private.Encrypted && private.Decrypt([]byte(key.Passphrase)) != nil {
				continue
			}
			usable = true
		}
	}
	if !usable {
		if key.Passphrase == "" {
			return nil, errors.New("it holds no private key that needs no passphrase")
		}
		return nil, errors.New("it holds no private key that the passphrase unlocks")
	}
	return entities, nil
}
