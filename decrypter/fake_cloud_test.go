package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeCloud answers as AWS KMS, STS and EKS Pod Identity, Vault transit, GCP KMS,
// and Azure Key Vault with its login do, on 127.0.0.1. Azure is reached through
// it as a proxy, since its hosts cannot be set otherwise.
type fakeCloud struct {
	t      testing.TB
	server *httptest.Server

	mutex sync.Mutex
	// wrapped are data keys by what stands for their ciphertext.
	wrapped map[string][]byte
	// asked are the requests for data keys, as SERVICE OPERATION.
	asked []string
	// refuse is an answer instead of data keys: a status and a body.
	refuse     int
	refuseBody string
	// redirect sends those who ask for data keys there, with refuse as the status.
	redirect string
	// hang has data keys wait for the client to give up.
	hang bool
}

const (
	podToken    = "canary-7f3a-pod-token"
	webToken    = "canary-7f3a-web-token"
	vaultToken  = "canary-7f3a-vault-token"
	accessToken = "canary-7f3a-access-token"
	awsSecret   = "canary-7f3a-aws-secret"
)

func newFakeCloud(t testing.TB) *fakeCloud {
	t.Helper()
	cloud := &fakeCloud{t: t, wrapped: map[string][]byte{}}
	cloud.server = httptest.NewServer(cloud)
	t.Cleanup(cloud.server.Close)
	return cloud
}

func (c *fakeCloud) wrap(plain []byte) string {
	name := "wrapped-" + rand.Text()
	c.wrapped[name] = plain
	return name
}

// ServeHTTP implements http.Handler.
func (c *fakeCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		c.tunnel(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	target := r.Header.Get("X-Amz-Target")
	switch {
	case strings.HasPrefix(target, "TrentService."):
		c.serveKeys(w, r, "aws "+strings.TrimPrefix(target, "TrentService."), body)
	case r.URL.Path == "/pod-identity":
		if r.Header.Get("Authorization") != podToken {
			http.Error(w, "who is this", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId": "AKIDPOD", "SecretAccessKey": %q, "Token": "pod", "AccountId": "123456789012", "Expiration": %q}`,
			awsSecret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	case strings.Contains(string(body), "Action=AssumeRole"):
		c.serveSTS(w, r, string(body))
	case strings.HasPrefix(r.URL.Path, "/v1/transit/"):
		c.serveKeys(w, r, "vault "+strings.Split(r.URL.Path, "/")[3], body)
	case strings.HasPrefix(r.URL.Path, "/v1/projects/"):
		_, operation, _ := strings.Cut(r.URL.Path, ":")
		c.serveKeys(w, r, "gcp "+operation, body)
	case strings.Contains(r.Host, "vault.azure.net"):
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		parts := strings.Split(r.URL.Path, "/")
		c.serveKeys(w, r, "azure "+parts[len(parts)-1], body)
	case strings.Contains(r.Host, "login.microsoftonline.com"):
		c.serveLogin(w, r, string(body))
	case r.URL.Path == "/token": // Google's
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, accessToken)
	default:
		http.NotFound(w, r)
	}
}

// serveKeys wraps and unwraps data keys in the form of each service.
func (c *fakeCloud) serveKeys(w http.ResponseWriter, r *http.Request, operation string, body []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if namespace := r.Header.Get("X-Vault-Namespace"); namespace != "" {
		c.asked = append(c.asked, "namespace "+namespace)
	}
	c.asked = append(c.asked, operation)
	if c.hang {
		c.mutex.Unlock()
		<-r.Context().Done()
		c.mutex.Lock()
		return
	}
	if c.redirect != "" {
		http.Redirect(w, r, c.redirect+r.URL.Path, c.refuse)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if c.refuse != 0 {
		w.WriteHeader(c.refuse)
		fmt.Fprint(w, c.refuseBody)
		return
	}
	var request struct {
		Plaintext, CiphertextBlob []byte
		Ciphertext                string
		Value                     string
		EncryptionContext         map[string]string
	}
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	switch operation {
	case "aws Encrypt":
		fmt.Fprintf(w, `{"CiphertextBlob": %q, "KeyId": "k"}`, base64.StdEncoding.EncodeToString([]byte(c.wrap(request.Plaintext))))
	case "aws Decrypt":
		if !strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKID") || request.EncryptionContext["app"] == "wrong" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type": "InvalidCiphertextException"}`)
			return
		}
		fmt.Fprintf(w, `{"Plaintext": %q, "KeyId": "k"}`, base64.StdEncoding.EncodeToString(c.wrapped[string(request.CiphertextBlob)]))
	case "vault encrypt", "vault decrypt":
		if r.Header.Get("X-Vault-Token") != vaultToken {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors": ["permission denied"]}`)
		} else if operation == "vault encrypt" {
			fmt.Fprintf(w, `{"data": {"ciphertext": "vault:v1:%s"}}`, c.wrap(request.Plaintext))
		} else {
			fmt.Fprintf(w, `{"data": {"plaintext": %q}}`, base64.StdEncoding.EncodeToString(c.wrapped[strings.TrimPrefix(request.Ciphertext, "vault:v1:")]))
		}
	case "gcp encrypt":
		fmt.Fprintf(w, `{"name": "k", "ciphertext": %q}`, base64.StdEncoding.EncodeToString([]byte(c.wrap(request.Plaintext))))
	case "gcp decrypt":
		cipher, _ := base64.StdEncoding.DecodeString(request.Ciphertext)
		fmt.Fprintf(w, `{"plaintext": %q}`, base64.StdEncoding.EncodeToString(c.wrapped[string(cipher)]))
	case "azure encrypt":
		plain, _ := base64.RawURLEncoding.DecodeString(request.Value)
		fmt.Fprintf(w, `{"kid": "https://sample.vault.azure.net/keys/k/v", "value": %q}`, base64.RawURLEncoding.EncodeToString([]byte(c.wrap(plain))))
	case "azure decrypt":
		cipher, _ := base64.RawURLEncoding.DecodeString(request.Value)
		fmt.Fprintf(w, `{"kid": "https://sample.vault.azure.net/keys/k/v", "value": %q}`, base64.RawURLEncoding.EncodeToString(c.wrapped[string(cipher)]))
	default:
		http.NotFound(w, r)
	}
}

func (c *fakeCloud) serveSTS(w http.ResponseWriter, r *http.Request, form string) {
	action := "AssumeRole"
	if strings.Contains(form, "Action=AssumeRoleWithWebIdentity") {
		action = "AssumeRoleWithWebIdentity"
		if !strings.Contains(form, "WebIdentityToken="+webToken) {
			http.Error(w, "who is this", http.StatusForbidden)
			return
		}
	}
	c.mutex.Lock()
	c.asked = append(c.asked, "sts "+action)
	c.mutex.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>AKIDSTS</AccessKeyId>`+
		`<SecretAccessKey>%[2]s</SecretAccessKey><SessionToken>sts</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, awsSecret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// serveLogin knows workload identity alone: the token of the pod stands for the secret of a client.
func (c *fakeCloud) serveLogin(w http.ResponseWriter, r *http.Request, form string) {
	w.Header().Set("Content-Type", "application/json")
	const login = "https://login.microsoftonline.com/tenant"
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		fmt.Fprintf(w, `{"tenant_discovery_endpoint": "%s/v2.0/.well-known/openid-configuration", "metadata": [{"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net", "aliases": ["login.microsoftonline.com"]}]}`, login)
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		fmt.Fprintf(w, `{"token_endpoint": "%[1]s/oauth2/v2.0/token", "authorization_endpoint": "%[1]s/oauth2/v2.0/authorize", "issuer": "%[1]s/v2.0"}`, login)
	case !strings.Contains(form, "client_assertion="+webToken) || !strings.Contains(form, "client_id=client"):
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error": "invalid_client", "error_description": "AADSTS700212: no matching federated identity record"}`)
	default:
		c.mutex.Lock()
		c.asked = append(c.asked, "azure login")
		c.mutex.Unlock()
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, accessToken)
	}
}

// tunnel serves what a client sends through the proxy, as any host.
func (c *fakeCloud) tunnel(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		return
	}
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	fmt.Fprint(connection, "HTTP/1.1 200 OK\r\n\r\n")
	certificate, err := authority().issue(host)
	if err != nil {
		c.t.Error(err)
		return
	}
	listener := &oneConnection{connection: tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{certificate}}), closed: make(chan struct{})}
	server := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	c.t.Cleanup(func() { close(listener.closed); server.Close() })
	go server.Serve(listener) //nolint:errcheck // it ends with the test
}

// oneConnection is a listener that accepts one connection.
type oneConnection struct {
	connection net.Conn
	closed     chan struct{}
}

func (l *oneConnection) Accept() (net.Conn, error) {
	if connection := l.connection; connection != nil {
		l.connection = nil
		return connection, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConnection) Close() error   { return nil }
func (l *oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

// testAuthority issues certificates for the hosts of the fake.
type testAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	raw         []byte
}

var authority = sync.OnceValue(func() *testAuthority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "for tests alone"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &testAuthority{certificate: template, key: key, raw: raw}
})

func (a *testAuthority) issue(host string) (tls.Certificate, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &a.key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: a.key}, err
}

// write puts a file into a directory of the test and returns its path.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// podIdentity are the variables that EKS sets, with those that lead to the fake.
func (c *fakeCloud) podIdentity() []string {
	return []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + c.server.URL + "/pod-identity",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + write(c.t, "token", []byte(podToken)),
		"AWS_REGION=eu-central-1", "AWS_ENDPOINT_URL_KMS=" + c.server.URL, "AWS_ENDPOINT_URL_STS=" + c.server.URL,
	}
}

func (c *fakeCloud) webIdentity() []string {
	return []string{
		"AWS_ROLE_ARN=arn:aws:iam::123456789012:role/sample",
		"AWS_WEB_IDENTITY_TOKEN_FILE=" + write(c.t, "token", []byte(webToken)),
		"AWS_ENDPOINT_URL_KMS=" + c.server.URL, "AWS_ENDPOINT_URL_STS=" + c.server.URL,
	}
}

func (c *fakeCloud) google() []string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	credentials, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "client_email": "sample@example.com", "private_key_id": "1", "token_uri": c.server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return []string{"GOOGLE_APPLICATION_CREDENTIALS=" + write(c.t, "credentials.json", credentials), "SOPS_GCP_KMS_ENDPOINT=" + c.server.URL}
}

func (c *fakeCloud) azure() []string {
	return []string{
		"AZURE_CLIENT_ID=client", "AZURE_TENANT_ID=tenant", "AZURE_FEDERATED_TOKEN_FILE=" + write(c.t, "token", []byte(webToken)),
		"HTTPS_PROXY=" + c.server.URL,
		"SSL_CERT_FILE=" + write(c.t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority().raw})),
	}
}
