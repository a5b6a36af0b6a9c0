package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
	"github.com/getsops/sops/v3/pgp"
	"google.golang.org/grpc"
)

// fileKeys serves the data key of one file: what SOPS calls a key service. Keys
// of the request come first, so that KMS is only asked where none of them fits.
type fileKeys struct {
	ctx  context.Context
	ring *keyring
	// kms is nil where it is not allowed.
	kms *cloud
	// refusals are about KMS keys, one for each that was asked for in vain.
	refusals []string
	// unasked are KMS keys that were not asked for since it is not allowed.
	unasked []string
}

var _ keyservice.KeyServiceClient = (*fileKeys)(nil)

var errRefused = errors.New("refused")

// Encrypt implements keyservice.KeyServiceClient. It always fails.
func (k *fileKeys) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errRefused
}

// Decrypt implements keyservice.KeyServiceClient. SOPS passes no context that
// would have a deadline.
func (k *fileKeys) Decrypt(_ context.Context, request *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	if err := k.ctx.Err(); err != nil {
		return nil, err
	}
	var part []byte
	var err error
	switch key := request.Key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		part, err = k.ring.decryptAge(key.AgeKey.Recipient, request.Ciphertext)
	case *keyservice.Key_PgpKey:
		part, err = k.ring.decryptPGP(request.Ciphertext)
	default:
		part, err = k.decryptKMS(request)
	}
	if err != nil {
		return nil, err
	}
	return &keyservice.DecryptResponse{Plaintext: part}, nil
}

func (k *fileKeys) decryptKMS(request *keyservice.DecryptRequest) ([]byte, error) {
	name := kmsName(request.Key)
	if k.kms == nil {
		k.unasked = append(k.unasked, name)
		return nil, errRefused
	}
	part, err := k.kms.decrypt(k.ctx, request.Key, request.Ciphertext)
	if err != nil {
		k.refusals = append(k.refusals, name+": "+printable(err.Error()))
		return nil, errRefused
	}
	return part, nil
}

// decryptAge opens a data key with the identities of the request. Without one
// SOPS would look for some in the environment and in files.
func (r *keyring) decryptAge(recipient string, ciphertext []byte) ([]byte, error) {
	if len(r.identities) == 0 {
		return nil, errors.New("no age key is given")
	}
	key := &sopsage.MasterKey{Recipient: recipient, EncryptedKey: string(ciphertext)}
	r.identities.ApplyToMasterKey(key)
	return key.Decrypt()
}

// kmsName names a KMS key with its kind.
func kmsName(key *keyservice.Key) string {
	switch key := key.KeyType.(type) {
	case *keyservice.Key_KmsKey:
		return "AWS KMS " + printable(key.KmsKey.Arn)
	case *keyservice.Key_GcpKmsKey:
		return "GCP KMS " + printable(key.GcpKmsKey.ResourceId)
	case *keyservice.Key_AzureKeyvaultKey:
		return "Azure Key Vault " + azureURL(key.AzureKeyvaultKey.VaultUrl, key.AzureKeyvaultKey.Name, key.AzureKeyvaultKey.Version)
	case *keyservice.Key_VaultKey:
		return "Vault " + vaultURL(key.VaultKey.VaultAddress, key.VaultKey.EnginePath, key.VaultKey.KeyName)
	case *keyservice.Key_HckmsKey:
		return "Huawei Cloud KMS " + printable(key.HckmsKey.KeyId)
	default:
		return "a key of an unknown kind"
	}
}

// maxRecipients bounds how many keys a file may be encrypted for: each costs an
// attempt, and a KMS key a request.
const maxRecipients = 256

// recipients returns the public names of the keys that a file is encrypted for.
func recipients(metadata sops.Metadata) []string {
	names := []string{}
	for _, group := range metadata.KeyGroups {
		for _, key := range group {
			names = append(names, recipient(key))
		}
	}
	return names
}

func recipient(key keys.MasterKey) string {
	switch key := key.(type) {
	case *sopsage.MasterKey:
		return printable(key.Recipient)
	case *pgp.MasterKey:
		return printable(key.Fingerprint)
	case *kms.MasterKey:
		return printable(key.Arn)
	case *gcpkms.MasterKey:
		return printable(key.ResourceID)
	case *azkv.MasterKey:
		return azureURL(key.VaultURL, key.Name, key.Version)
	case *hcvault.MasterKey:
		return vaultURL(key.VaultAddress, key.EnginePath, key.KeyName)
	case *hckms.MasterKey:
		return printable(key.KeyID)
	default:
		return "a key of an unknown kind"
	}
}

func azureURL(vault, name, version string) string {
	return printable(fmt.Sprintf("%s/keys/%s/%s", withoutUser(vault), name, version))
}

func vaultURL(address, engine, key string) string {
	return printable(fmt.Sprintf("%s/v1/%s/keys/%s", withoutUser(address), engine, key))
}

// withoutUser takes name and password out of a URL.
func withoutUser(address string) string {
	address = strings.TrimRight(address, "/")
	parsed, err := url.Parse(address)
	if err != nil {
		return "an address that is not a URL"
	}
	parsed.User = nil
	return parsed.String()
}

// missingKey describes why no data key was found.
func (k *fileKeys) missingKey(metadata sops.Metadata) *Failure {
	failure := &Failure{Kind: KindNoKey}
	groups := ""
	if len(metadata.KeyGroups) > 1 {
		groups = fmt.Sprintf("; keys of %d of its %d key groups are needed", metadata.ShamirThreshold, len(metadata.KeyGroups))
	}
	switch {
	case len(k.unasked) > 0:
		failure.Kind = KindKMS
		failure.Message = fmt.Sprintf("no key that is given opens the file, and asking %s is not allowed: render.decrypt.kms: true in the configuration allows it%s",
			list(k.unasked), groups)
	case len(k.refusals) > 0:
		failure.Kind = KindKMS
		failure.Message = fmt.Sprintf("no data key from %s%s", list(k.refusals), groups)
	default:
		failure.Message = fmt.Sprintf("no key that is given opens the file (given: %s)%s", k.ring.given(), groups)
	}
	return failure
}

// list joins at most three texts.
func list(texts []string) string {
	if len(texts) > 3 {
		return fmt.Sprintf("%s, and %d more", strings.Join(texts[:3], ", "), len(texts)-3)
	}
	return strings.Join(texts, ", ")
}
