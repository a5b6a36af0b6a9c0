package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keyservice"
)

// vaultServer is the server of Vault, or of OpenBao, that the token of the request is for. A file names an address too,
// and its repository may be hostile: the token is sent to where the request says, or nowhere.
type vaultServer struct {
	auth      VaultAuth
	transport func() (http.RoundTripper, error)
}

func newVaultServer(auth *VaultAuth) *vaultServer {
	server := &vaultServer{}
	if auth != nil {
		server.auth = *auth
	}
	server.transport = sync.OnceValues(func() (http.RoundTripper, error) { return vaultTransport(server.auth.CA) })
	return server
}

// vaultSegment is a part of a path of Vault: neither empty, nor . nor ..
var vaultSegment = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

func (v *vaultServer) prepare(key *keyservice.VaultKey, ciphertext string) (string, askFunc, error) {
	home := origin(v.auth.Address)
	switch {
	case v.auth.Token == "":
		return "", nil, errors.New("no token for Vault is given: the key sops.vault-token of the Secret")
	case v.auth.Address == "":
		return "", nil, errors.New("the token for Vault is given without the address that may see it: the key sops.vault-address of the Secret")
	case home == "":
		return "", nil, errors.New("the key sops.vault-address of the Secret is not of the form https://HOST or https://HOST:PORT")
	case origin(key.VaultAddress) != home:
		return "", nil, fmt.Errorf("the token is for %s alone, as the key sops.vault-address of the Secret says", home)
	}
	for _, segment := range append(strings.Split(strings.Trim(key.EnginePath, "/"), "/"), key.KeyName) {
		if !vaultSegment.MatchString(segment) {
			return "", nil, errors.New("its path or name is not that of a transit key")
		}
	}
	transport, err := v.transport()
	if err != nil {
		return "", nil, err
	}
	return "vault", func(ctx context.Context) ([]byte, error) {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		master := hcvault.NewMasterKey(home, key.EnginePath, key.KeyName)
		master.EncryptedKey = ciphertext
		hcvault.Token(v.auth.Token).ApplyToMasterKey(master)
		client := &http.Client{Transport: &oneOrigin{origin: home, inner: transport, stop: stop}}
		hcvault.NewHTTPClient(client).ApplyToMasterKey(master)
		dataKey, err := master.DecryptContext(ctx)
		var redirect *redirectError
		if errors.As(context.Cause(ctx), &redirect) {
			return nil, redirect
		}
		return dataKey, err
	}, nil
}

// origin returns scheme, host and port of an address that has nothing else, or nothing.
func origin(address string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.User != nil || parsed.Hostname() == "" || strings.Trim(parsed.Path, "/") != "" ||
		parsed.RawQuery != "" || parsed.Fragment != "" {
		return ""
	}
	host, port := strings.ToLower(parsed.Hostname()), parsed.Port()
	switch {
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		return ""
	case port == "" || parsed.Scheme == "https" && port == "443" || parsed.Scheme == "http" && port == "80":
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return parsed.Scheme + "://" + host
	default:
		return parsed.Scheme + "://" + net.JoinHostPort(host, port)
	}
}

// vaultTransport trusts these authorities alone, or those of the system where there are none.
func vaultTransport(authorities string) (http.RoundTripper, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authorities != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(authorities)) {
			return nil, errors.New("the key sops.vault-ca of the Secret holds no certificate in PEM")
		}
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true}, nil
}

// oneOrigin lets no request through to another server. Vault's client follows a redirect with the token, wherever it leads.
type oneOrigin struct {
	origin string
	inner  http.RoundTripper
	// stop ends the request for a data key: the client would try again.
	stop context.CancelCauseFunc
}

// RoundTrip implements http.RoundTripper.
func (o *oneOrigin) RoundTrip(request *http.Request) (*http.Response, error) {
	if to := origin(request.URL.Scheme + "://" + request.URL.Host); to != o.origin {
		return nil, o.refuse(to)
	}
	response, err := o.inner.RoundTrip(request)
	if err != nil || response.StatusCode < 300 || response.StatusCode >= 400 {
		return response, err
	}
	response.Body.Close() //nolint:errcheck // nothing of it is used
	to := ""
	if location, err := response.Location(); err == nil {
		to = origin(location.Scheme + "://" + location.Host)
	}
	return nil, o.refuse(to)
}

func (o *oneOrigin) refuse(to string) error {
	redirect := &redirectError{to: to}
	o.stop(redirect)
	return redirect
}

// redirectError says that a server sends the client elsewhere.
type redirectError struct{ to string }

func (e *redirectError) Error() string {
	to := e.to
	if to == "" {
		to = "no address"
	}
	return "it redirects to " + printable(to) + ", and redirects are not followed, since they would be given the token"
}
