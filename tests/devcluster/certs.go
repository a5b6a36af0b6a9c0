package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A cluster lives for minutes, or for days on somebody's desk.
const certificateLifetime = 365 * 24 * time.Hour

// runCerts writes into a directory what the API server needs to serve TLS and
// to sign service account tokens:
//
//	ca.crt                         the authority that clients trust
//	apiserver.crt, apiserver.key   the serving certificate it signed
//	sa.key                         the key of service account tokens
//
// Every cluster has an authority of its own. That is more than tidiness: a
// client that reaches another cluster, because a port changed hands, is refused
// instead of talking to the wrong one. The authority's key is thrown away, as
// nothing signs certificates later on.
func runCerts(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: devcluster certs DIR")
	}
	dir := args[0]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	caKey, err := newKey()
	if err != nil {
		return err
	}
	ca, err := template("devcluster-ca")
	if err != nil {
		return err
	}
	ca.IsCA = true
	ca.BasicConstraintsValid = true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	if err := writeCertificate(filepath.Join(dir, "ca.crt"), ca, ca, caKey, caKey); err != nil {
		return err
	}

	servingKey, err := newKey()
	if err != nil {
		return err
	}
	serving, err := template("kube-apiserver")
	if err != nil {
		return err
	}
	serving.KeyUsage = x509.KeyUsageDigitalSignature
	serving.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serving.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	serving.DNSNames = []string{"localhost", "kubernetes.default.svc"}
	if err := writeCertificate(filepath.Join(dir, "apiserver.crt"), serving, ca, servingKey, caKey); err != nil {
		return err
	}
	if err := writeKey(filepath.Join(dir, "apiserver.key"), servingKey); err != nil {
		return err
	}

	tokenKey, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, "sa.key"), tokenKey)
}

// newKey makes an elliptic curve key: an RSA key takes noticeably longer.
func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // for a clock that is set back
		NotAfter:     now.Add(certificateLifetime),
	}, nil
}

func writeCertificate(path string, cert, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, key.Public(), issuerKey)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}
