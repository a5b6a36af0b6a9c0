package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/getsops/sops/v3/logging"
	"github.com/sirupsen/logrus"
)

// silence keeps libraries from writing: SOPS logs comments of files, and asks
// for passphrases on stdout.
func silence() {
	os.Stdout, os.Stderr = nil, nil
	for _, logger := range logging.Loggers {
		logger.SetOutput(io.Discard)
		logger.SetLevel(logrus.PanicLevel)
	}
	logrus.SetOutput(io.Discard)
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	time.Local = time.UTC // which would be read from a file
}

// ambient are the environment variables of ambient identity that are kept where
// KMS is allowed. Nothing that names a program to start is among them.
var ambient = []string{
	// AWS: EKS Pod Identity, IRSA, static keys, the region and endpoints.
	"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_STS_REGIONAL_ENDPOINTS",
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS",
	"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE",
	"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
	// Google Cloud: the metadata server of GKE, or a file of credentials.
	"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GCE_METADATA_HOST",
	"SOPS_GCP_KMS_ENDPOINT", "SOPS_GCP_KMS_UNIVERSE_DOMAIN",
	// Azure: workload identity, managed identity, a client's secret.
	"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "AZURE_CLIENT_SECRET",
	// Vault: address, token and CA are in the request.
	"VAULT_NAMESPACE",
	// The way out of the cluster.
	"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// secretAmbient are those whose values are secret.
var secretAmbient = []string{
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AZURE_CLIENT_SECRET",
}

// noFile is a path at which there can be no file.
const noFile = "/dev/null/none"

// confine takes away from the libraries what they could reach outside of the
// request, in case that a check further up overlooks a way to it: without KMS
// the environment and the network.
func confine(kms bool) {
	kept := map[string]string{}
	if kms {
		for _, name := range ambient {
			if value, ok := os.LookupEnv(name); ok {
				kept[name] = value
			}
		}
		// A person's configuration may name programs that print credentials.
		kept["AWS_CONFIG_FILE"], kept["AWS_SHARED_CREDENTIALS_FILE"] = noFile, noFile
		kept["AZURE_TOKEN_CREDENTIALS"] = "prod" // without az, azd and PowerShell
		kept["GOOGLE_API_USE_CLIENT_CERTIFICATE"] = "false"
		kept["HOME"] = noFile
	}
	os.Clearenv()
	for name, value := range kept {
		if err := os.Setenv(name, value); err != nil {
			continue // the variable is missing then, which its library reports
		}
	}
	if !kms {
		http.DefaultTransport = refusingTransport{}
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errNetwork
		}}
	}
}

var errNetwork = errors.New("KMS is not allowed, and there is no network")

// refusingTransport refuses every request.
type refusingTransport struct{}

func (refusingTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNetwork }
