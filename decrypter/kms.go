package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/kms"
)

// kmsTimeout bounds one request for a data key, with all its retries and those
// for credentials.
const kmsTimeout = 20 * time.Second

// cloud asks KMS and Vault for data keys, with the identity of the environment.
// What a file says of where to ask is checked before: with a socket, a file of a
// hostile repository could name any host.
type cloud struct {
	vault   *vaultServer
	timeout time.Duration

	mutex sync.Mutex
	// silent are services that were not reached or did not answer. They are not waited for again.
	silent map[string]error
	aws    map[string]aws.CredentialsProvider
	azure  azcore.TokenCredential
}

func newCloud(vault *VaultAuth) *cloud {
	return &cloud{vault: newVaultServer(vault), timeout: kmsTimeout, silent: map[string]error{}, aws: map[string]aws.CredentialsProvider{}}
}

// decrypt returns the data key, or an error whose text may be shown.
func (c *cloud) decrypt(ctx context.Context, key *keyservice.Key, ciphertext []byte) ([]byte, error) {
	service, ask, err := c.prepare(key, string(ciphertext))
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	err = c.silent[service]
	c.mutex.Unlock()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	dataKey, err := ask(ctx)
	if err == nil {
		return dataKey, nil
	}
	unreached := connection(err, "") != ""
	if ctx.Err() != nil {
		err, unreached = fmt.Errorf("no answer within %s", c.timeout), true
	} else {
		err = errors.New(kmsProblem(err))
	}
	if unreached {
		c.mutex.Lock()
		c.silent[service] = err
		c.mutex.Unlock()
	}
	return nil, err
}

type askFunc func(context.Context) ([]byte, error)

// prepare checks what the file says of a key. The name of the service is the
// same for keys that would not be answered together.
func (c *cloud) prepare(key *keyservice.Key, ciphertext string) (string, askFunc, error) {
	switch key := key.KeyType.(type) {
	case *keyservice.Key_KmsKey:
		return c.prepareAWS(key.KmsKey, ciphertext)
	case *keyservice.Key_GcpKmsKey:
		return prepareGCP(key.GcpKmsKey, ciphertext)
	case *keyservice.Key_AzureKeyvaultKey:
		return c.prepareAzure(key.AzureKeyvaultKey, ciphertext)
	case *keyservice.Key_VaultKey:
		return c.vault.prepare(key.VaultKey, ciphertext)
	default:
		return "", nil, errors.New("this KMS is not supported")
	}
}

var (
	awsKey  = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]{1,40}):[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,256}$`)
	awsRole = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@/_-]{1,512}$`)
)

func (c *cloud) prepareAWS(key *keyservice.KmsKey, ciphertext string) (string, askFunc, error) {
	match := awsKey.FindStringSubmatch(key.Arn)
	if match == nil {
		return "", nil, errors.New("this is not the ARN of a KMS key")
	}
	if key.Role != "" && !awsRole.MatchString(key.Role) {
		return "", nil, errors.New("its role is not the ARN of an IAM role")
	}
	region := match[1]
	return "aws " + region, func(ctx context.Context) ([]byte, error) {
		credentials, err := c.awsCredentials(ctx, region)
		if err != nil {
			return nil, err
		}
		// The profile of a file is that of whoever encrypted it.
		master := kms.NewMasterKey(key.Arn, key.Role, pointers(key.Context))
		master.EncryptedKey = ciphertext
		kms.NewCredentialsProvider(credentials).ApplyToMasterKey(master)
		return master.DecryptContext(ctx)
	}, nil
}

// awsCredentials returns the credentials of the environment, which are the same
// for every file. The region is for STS, where the environment names none.
func (c *cloud) awsCredentials(ctx context.Context, region string) (aws.CredentialsProvider, error) {
	if os.Getenv("AWS_REGION") != "" || os.Getenv("AWS_DEFAULT_REGION") != "" {
		region = ""
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if known, ok := c.aws[region]; ok {
		return known, nil
	}
	var options []func(*awsconfig.LoadOptions) error
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	config, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	c.aws[region] = config.Credentials
	return config.Credentials, nil
}

func pointers(values map[string]string) map[string]*string {
	result := make(map[string]*string, len(values))
	for name, value := range values {
		result[name] = &value
	}
	return result
}

// gcpKey is what SOPS takes, with characters that a path may hold.
var gcpKey = regexp.MustCompile(`^projects/[A-Za-z0-9.:_-]+/locations/[A-Za-z0-9_-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+$`)

func prepareGCP(key *keyservice.GcpKmsKey, ciphertext string) (string, askFunc, error) {
	if !gcpKey.MatchString(key.ResourceId) {
		return "", nil, errors.New("this is not the resource ID of a KMS key")
	}
	return "gcp", func(ctx context.Context) ([]byte, error) {
		master := gcpkms.NewMasterKeyFromResourceID(key.ResourceId)
		master.EncryptedKey = ciphertext
		gcpkms.UseRESTClient{}.ApplyToMasterKey(master)
		return master.DecryptContext(ctx)
	}, nil
}

// azureVaults are the domains of Azure Key Vault and of its managed HSMs.
var azureVaults = []string{
	".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net",
	".managedhsm.azure.net", ".managedhsm.azure.cn", ".managedhsm.usgovcloudapi.net",
}

var azureName = regexp.MustCompile(`^[A-Za-z0-9-]{0,127}$`)

func (c *cloud) prepareAzure(key *keyservice.AzureKeyVaultKey, ciphertext string) (string, askFunc, error) {
	vault, err := url.Parse(key.VaultUrl)
	if err != nil || vault.Scheme != "https" || vault.User != nil || vault.Port() != "" || strings.Trim(vault.Path, "/") != "" ||
		vault.RawQuery != "" || vault.Fragment != "" {
		return "", nil, errors.New("its vault has no URL of the form https://NAME.vault.azure.net")
	}
	host := vault.Hostname()
	if !slices.ContainsFunc(azureVaults, func(domain string) bool {
		name, found := strings.CutSuffix(host, domain)
		return found && name != "" && azureName.MatchString(name)
	}) {
		return "", nil, errors.New("its vault is not at a domain of Azure Key Vault")
	}
	if key.Name == "" || !azureName.MatchString(key.Name) || !azureName.MatchString(key.Version) {
		return "", nil, errors.New("its name or version is not that of a key")
	}
	return host, func(ctx context.Context) ([]byte, error) {
		credential, err := c.azureCredential()
		if err != nil {
			return nil, err
		}
		master := azkv.NewMasterKey("https://"+host, key.Name, key.Version)
		master.EncryptedKey = ciphertext
		azkv.NewTokenCredential(credential).ApplyToMasterKey(master)
		return master.DecryptContext(ctx)
	}, nil
}

// azureCredential returns the identity of the environment. AZURE_TOKEN_CREDENTIALS,
// which confine sets, leaves out those that start a program.
func (c *cloud) azureCredential() (azcore.TokenCredential, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.azure != nil {
		return c.azure, nil
	}
	credential, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{RequireAzureTokenCredentials: true})
	if err != nil {
		return nil, err
	}
	c.azure = credential
	return credential, nil
}
