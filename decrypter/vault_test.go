package main

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// newFakeVault is a fake that speaks TLS, with a certificate that no system trusts.
func newFakeVault(t testing.TB) *fakeCloud {
	t.Helper()
	cloud := &fakeCloud{t: t, wrapped: map[string][]byte{}}
	cloud.server = httptest.NewTLSServer(cloud)
	t.Cleanup(cloud.server.Close)
	return cloud
}

// authority is what has signed the certificate of a fake with TLS.
func (c *fakeCloud) authority() string {
	certificate := c.server.Certificate()
	if certificate == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

func (c *fakeCloud) vaultKeys() Keys {
	return Keys{Vault: &VaultAuth{Address: c.server.URL + "/", Token: vaultToken, CA: c.authority()}}
}

// encryptVault encrypts for this server, with another engine than the one that is there at first.
func (c *fakeCloud) encryptVault() []byte {
	c.t.Helper()
	environment := []string{"VAULT_TOKEN=" + vaultToken}
	if authority := c.authority(); authority != "" {
		environment = append(environment, "VAULT_CACERT="+write(c.t, "ca.pem", []byte(authority)))
	}
	encrypted := encryptWith(c.t, environment, "--hc-vault-transit", c.server.URL+"/v1/transit/keys/sample")
	c.asked = nil
	return encrypted
}

func TestVaultIsAskedWithTheTokenOfTheRequest(t *testing.T) {
	for name, cloud := range map[string]*fakeCloud{"http": newFakeCloud(t), "https": newFakeVault(t)} {
		t.Run(name, func(t *testing.T) {
			encrypted := cloud.encryptVault()
			got := askKMS(t, cloud.vaultKeys(), encrypted, []string{"VAULT_NAMESPACE=team"})
			if string(got.Data) != "a: canary-7f3a\n" || !slices.Equal(cloud.asked, []string{"namespace team", "vault decrypt"}) {
				t.Errorf("%+v, asked %v", got.Error, cloud.asked)
			}
			other := cloud.vaultKeys()
			other.Vault.Token = "canary-7f3a-other-token"
			failure := refused(t, askKMS(t, other, encrypted, nil), KindKMS, "Vault "+cloud.server.URL+"/v1/transit/keys/sample: HTTP 403: permission denied")
			if !slices.Equal(failure.Recipients, []string{cloud.server.URL + "/v1/transit/keys/sample"}) {
				t.Errorf("recipients %v", failure.Recipients)
			}
		})
	}
}

func TestTheServerOfVaultIsFoundWhereverItsAddressIsWrittenAlike(t *testing.T) {
	for address, others := range map[string][]string{
		"https://vault.example.com": {"https://vault.example.com/", "https://VAULT.example.com:443", "HTTPS://vault.example.com:443/"},
		"http://vault:8200":         {"http://vault:8200/"},
		"http://vault":              {"http://vault:80"},
		"https://[::1]:8200":        {"https://[::1]:8200"},
		"https://[::1]":             {"https://[::1]:443"},
		"": {"", "vault.example.com", "vault.example.com:8200", "unix:///run/vault.sock", "https://", "https://vault.example.com/v1", "https://u:p@vault.example.com",
			"https://vault.example.com?a", "https://vault.example.com#a", "https:vault.example.com", "https://vault.example.com:x", "https://a b"},
	} {
		for _, other := range append(others, address) {
			if got := origin(other); got != address {
				t.Errorf("%q is %q instead of %q", other, got, address)
			}
		}
	}
	if origin("https://vault") == origin("http://vault") || origin("https://vault") == origin("https://vault:8200") ||
		origin("https://vault") == origin("https://vault.") || origin("https://vault") == origin("https://vault.example.com") {
		t.Error("two origins are the same")
	}
}

// Whoever writes the repository may name a server of their own.
func TestTheVaultTokenIsSentToItsServerAlone(t *testing.T) {
	home, thief := newFakeVault(t), newFakeVault(t)
	encrypted, stolen := home.encryptVault(), thief.encryptVault()
	// Were it only for its certificate, a thief could have a good one.
	keys := home.vaultKeys()
	keys.Vault.CA += thief.authority()
	address := home.server.URL
	refused(t, askKMS(t, keys, stolen, nil), KindKMS, "Vault "+thief.server.URL, "the token is for "+address+" alone", "sops.vault-address")
	host := strings.TrimPrefix(address, "https://")
	for _, other := range []string{
		"http://" + host, "https://" + host + "@" + thief.server.Listener.Addr().String(), "https://" + host + ".example.com", address + "0",
		address + "/v1/..", address + "?x=", "https://localhost:" + strings.Split(host, ":")[1], thief.server.URL + "#" + address, thief.server.URL + "/" + address,
	} {
		moved := strings.Replace(string(encrypted), "vault_address: "+address, "vault_address: '"+other+"'", 1)
		refused(t, askKMS(t, keys, []byte(moved), nil), KindKMS, "alone")
	}
	for _, path := range []string{"engine_path: ..", "engine_path: transit/../secret", "engine_path: ''", "engine_path: a?b", "engine_path: a%2fb"} {
		moved := strings.Replace(string(encrypted), "engine_path: transit", path, 1)
		refused(t, askKMS(t, keys, []byte(moved), nil), KindKMS, "not that of a transit key")
	}
	if len(thief.asked) > 0 || len(home.asked) > 0 {
		t.Errorf("asked %v and %v", thief.asked, home.asked)
	}
}

func TestARedirectOfVaultIsNotFollowed(t *testing.T) {
	home, thief := newFakeVault(t), newFakeVault(t)
	encrypted := home.encryptVault()
	keys := home.vaultKeys()
	keys.Vault.CA += thief.authority()
	for _, to := range []string{thief.server.URL, "http://127.0.0.1:1", home.server.URL + "/elsewhere"} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			home.redirect, home.refuse, home.asked = to, status, nil
			began := time.Now()
			refused(t, askKMS(t, keys, encrypted, nil), KindKMS, "it redirects to "+strings.TrimSuffix(to, "/elsewhere"), "redirects are not followed")
			if took := time.Since(began); len(home.asked) != 1 || len(thief.asked) > 0 || took > 5*time.Second {
				t.Errorf("%d to %s: asked %v and %v in %s", status, to, home.asked, thief.asked, took)
			}
		}
	}
}

func TestWhatTheRequestLacksForVaultIsSaid(t *testing.T) {
	cloud := newFakeVault(t)
	encrypted := cloud.encryptVault()
	for words, auth := range map[string]*VaultAuth{
		"sops.vault-token":                                             nil,
		"no token for Vault is given":                                  {Address: cloud.server.URL},
		"without the address that may see it":                          {Token: vaultToken},
		"sops.vault-address of the Secret is not of the form":          {Token: vaultToken, Address: "vault.example.com:8200"},
		"sops.vault-ca of the Secret holds no certificate in PEM":      {Token: vaultToken, Address: cloud.server.URL, CA: "canary-7f3a"},
		"certificate signed by unknown authority":                      {Token: vaultToken, Address: cloud.server.URL},
		"Vault " + cloud.server.URL + "/v1/transit/keys/sample: tls: ": {Token: vaultToken, Address: cloud.server.URL, CA: string(pemOfAnother())},
	} {
		refused(t, askKMS(t, Keys{Vault: auth}, encrypted, []string{"VAULT_TOKEN=" + vaultToken, "VAULT_SKIP_VERIFY=true", "VAULT_ADDR=" + cloud.server.URL}), KindKMS, words)
	}
	if len(cloud.asked) > 0 {
		t.Errorf("asked %v", cloud.asked)
	}
	// What is missing for Vault is no matter of other files.
	key, recipient := newAge(t)
	other := sopsTool{}.encrypt(t, "a.yaml", "a: canary-7f3a\n", "--age", recipient)
	if got := askKMS(t, Keys{Age: []string{key}, Vault: &VaultAuth{Token: vaultToken}}, other, nil); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
}

func pemOfAnother() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority().raw})
}

func TestAVaultThatIsNotReachedIsGivenUpOnce(t *testing.T) {
	cloud := newFakeVault(t)
	encrypted := cloud.encryptVault()
	request := Request{KMS: true, Keys: cloud.vaultKeys()}
	for range 30 {
		request.Files = append(request.Files, File{Path: "a.yaml", Data: encrypted})
	}
	cloud.server.Close()
	began := time.Now()
	for _, file := range ask(t, request).Files {
		refused(t, file, KindKMS, "Vault "+cloud.server.URL, "connection refused")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAVaultThatHangsIsGivenUpOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the time of a request to run out")
	}
	t.Parallel()
	answers := newFakeVault(t)
	answers.encryptVault()
	// Takes connections and says nothing, not even of TLS.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, address := range []string{answers.server.URL, "https://" + silent.Addr().String()} {
		encrypted := strings.Replace(string(answers.encryptVault()), answers.server.URL, address, 1)
		answers.hang = true
		request := Request{KMS: true, Keys: Keys{Vault: &VaultAuth{Address: address, Token: vaultToken, CA: answers.authority()}}}
		for range 30 {
			request.Files = append(request.Files, File{Path: "a.yaml", Data: []byte(encrypted)})
		}
		began := time.Now()
		for _, file := range ask(t, request).Files {
			refused(t, file, KindKMS, "Vault "+address, "no answer within 20s")
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %s", took)
		}
		answers.hang = false
	}
}
