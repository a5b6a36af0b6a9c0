package main

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	sampleARN   = "arn:aws:kms:eu-central-1:123456789012:key/1111aaaa-2222-3333-4444-5555bbbb6666"
	sampleGCP   = "projects/p/locations/global/keyRings/r/cryptoKeys/k"
	sampleAzure = "https://sample.vault.azure.net/keys/k/v"
)

// askKMS decrypts one file with KMS allowed.
func askKMS(t testing.TB, keys Keys, data []byte, environment []string) Plaintext {
	t.Helper()
	return ask(t, Request{KMS: true, Keys: keys, Files: []File{{Path: "a.yaml", Data: data}}}, environment...).Files[0]
}

func encryptWith(t testing.TB, environment []string, arguments ...string) []byte {
	t.Helper()
	return sopsTool{environment: environment}.encrypt(t, "a.yaml", "a: canary-7f3a\n", arguments...)
}

func TestAWSKMSIsAskedWithTheIdentityOfThePod(t *testing.T) {
	for name, test := range map[string]struct {
		identity func(*fakeCloud) []string
		asked    []string
	}{
		"EKS Pod Identity": {(*fakeCloud).podIdentity, []string{"aws Decrypt"}},
		"IRSA":             {(*fakeCloud).webIdentity, []string{"sts AssumeRoleWithWebIdentity", "aws Decrypt"}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newFakeCloud(t)
			encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN, "--encryption-context", "app:web")
			cloud.asked = nil
			got := askKMS(t, Keys{}, encrypted, test.identity(cloud))
			if string(got.Data) != "a: canary-7f3a\n" {
				t.Errorf("%+v", got.Error)
			}
			if !slices.Equal(cloud.asked, test.asked) {
				t.Errorf("asked %v", cloud.asked)
			}
		})
	}
}

func TestTheRoleOfAFileIsAssumedAndItsProfileIsNot(t *testing.T) {
	cloud := newFakeCloud(t)
	encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN+"+arn:aws:iam::123456789012:role/sample")
	encrypted = []byte(strings.Replace(string(encrypted), `aws_profile: ""`, `aws_profile: canary`, 1))
	cloud.asked = nil
	if got := askKMS(t, Keys{}, encrypted, cloud.podIdentity()); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
	if !slices.Equal(cloud.asked, []string{"sts AssumeRole", "aws Decrypt"}) {
		t.Errorf("asked %v", cloud.asked)
	}
}

func TestTheIdentityIsFetchedOnceForManyFiles(t *testing.T) {
	cloud := newFakeCloud(t)
	encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN)
	cloud.asked = nil
	request := Request{KMS: true}
	for i := range 20 {
		request.Files = append(request.Files, File{Path: fmt.Sprintf("%d.yaml", i), Data: encrypted})
	}
	for _, file := range ask(t, request, cloud.webIdentity()...).Files {
		if file.Error != nil {
			t.Errorf("%+v", file.Error)
		}
	}
	logins := 0
	for _, asked := range cloud.asked {
		if asked == "sts AssumeRoleWithWebIdentity" {
			logins++
		}
	}
	if logins != 1 || len(cloud.asked) != 21 {
		t.Errorf("asked %v", cloud.asked)
	}
}

func TestGCPKMSIsAsked(t *testing.T) {
	cloud := newFakeCloud(t)
	google := cloud.google()
	encrypted := encryptWith(t, append(google, "SOPS_GCP_KMS_CLIENT_TYPE=rest"), "--gcp-kms", sampleGCP)
	if got := askKMS(t, Keys{}, encrypted, google); string(got.Data) != "a: canary-7f3a\n" {
		t.Errorf("%+v", got.Error)
	}
}

func TestAzureKeyVaultIsAskedWithTheWorkloadIdentityOfThePod(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Go reads SSL_CERT_FILE, which leads to the fake, on Linux alone")
	}
	cloud := newFakeCloud(t)
	azure := cloud.azure()
	encrypted := encryptWith(t, azure, "--azure-kv", sampleAzure)
	cloud.asked = nil
	if got := askKMS(t, Keys{}, encrypted, azure); string(got.Data) != "a: canary-7f3a\n" {
		t.Errorf("%+v", got.Error)
	}
	if !slices.Equal(cloud.asked, []string{"azure login", "azure decrypt"}) {
		t.Errorf("asked %v", cloud.asked)
	}
	other := append(azure, "AZURE_FEDERATED_TOKEN_FILE="+write(t, "token", []byte("canary-7f3a-other-token")))
	refused(t, askKMS(t, Keys{}, encrypted, other), KindKMS, "Azure Key Vault "+sampleAzure, "the identity of the environment is refused with HTTP 401")
	none := slices.DeleteFunc(slices.Clone(azure), func(one string) bool { return strings.HasPrefix(one, "AZURE_") })
	refused(t, askKMS(t, Keys{}, encrypted, none), KindKMS, "Azure Key Vault "+sampleAzure)
}

func TestKMSIsNotAskedUnlessItIsAllowed(t *testing.T) {
	cloud := newFakeCloud(t)
	encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN)
	cloud.asked = nil
	got := ask(t, Request{Files: []File{{Path: "a.yaml", Data: encrypted}}}, cloud.podIdentity()...).Files[0]
	failure := refused(t, got, KindKMS, "AWS KMS "+sampleARN, "render.decrypt.kms: true")
	if !slices.Equal(failure.Recipients, []string{sampleARN}) || len(cloud.asked) > 0 {
		t.Errorf("recipients %v, asked %v", failure.Recipients, cloud.asked)
	}
}

func TestKMSIsNotAskedWhereAKeyOfTheRequestFits(t *testing.T) {
	cloud := newFakeCloud(t)
	key, recipient := newAge(t)
	encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN, "--age", recipient)
	cloud.asked = nil
	for _, kms := range []bool{false, true} {
		got := ask(t, Request{KMS: kms, Keys: Keys{Age: []string{key}}, Files: []File{{Path: "a.yaml", Data: encrypted}}}, cloud.podIdentity()...)
		if got.Files[0].Error != nil || len(cloud.asked) > 0 {
			t.Errorf("%+v, asked %v", got.Files[0].Error, cloud.asked)
		}
	}
}

func TestARefusalOfKMSIsShownWithoutSecrets(t *testing.T) {
	cloud := newFakeCloud(t)
	google, azure := cloud.google(), cloud.azure()
	type refusal struct {
		status      int
		body        string
		encrypted   []byte
		environment []string
		words       []string
	}
	tests := map[string]refusal{
		"AWS": {400, `{"__type": "AccessDeniedException", "message": "User: arn:aws:sts::1:assumed-role/x is not authorized, token ` + awsSecret + `"}`,
			encryptWith(t, cloud.podIdentity(), "--kms", sampleARN), append(cloud.podIdentity(), "AWS_SECRET_ACCESS_KEY="+awsSecret, "AWS_ACCESS_KEY_ID=AKID"),
			[]string{"AWS KMS " + sampleARN + ": AccessDeniedException: User: arn:aws:sts::1:assumed-role/x is not authorized", "[redacted]"}},
		"GCP": {403, `{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied"}}`,
			encryptWith(t, append(google, "SOPS_GCP_KMS_CLIENT_TYPE=rest"), "--gcp-kms", sampleGCP), google, []string{"GCP KMS " + sampleGCP + ": PermissionDenied: Permission"}},
		"Vault": {500, `<html>` + vaultToken, cloud.encryptVault(), nil, []string{"Vault " + cloud.server.URL + "/v1/transit/keys/sample: HTTP 500"}},
	}
	if runtime.GOOS == "linux" {
		tests["Azure"] = refusal{403, `{"error": {"code": "Forbidden", "message": "` + accessToken + `"}}`,
			encryptWith(t, azure, "--azure-kv", sampleAzure), azure, []string{"Azure Key Vault " + sampleAzure + ": HTTP 403 Forbidden"}}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cloud.refuse, cloud.refuseBody = test.status, test.body
			refused(t, askKMS(t, cloud.vaultKeys(), test.encrypted, test.environment), KindKMS, test.words...)
		})
	}
}

func TestKMSWithoutIdentityOrNetworkIsAnError(t *testing.T) {
	cloud := newFakeCloud(t)
	aws := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN)
	refused(t, askKMS(t, Keys{}, aws, []string{"AWS_EC2_METADATA_DISABLED=true"}), KindKMS, "no identity in the environment")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	refused(t, askKMS(t, Keys{}, aws, append(cloud.podIdentity(), "AWS_ENDPOINT_URL_KMS="+nobody)), KindKMS, "connection refused")
}

func TestAKMSThatDoesNotAnswerIsGivenUpOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the time of a request to run out")
	}
	cloud := newFakeCloud(t)
	encrypted := encryptWith(t, cloud.podIdentity(), "--kms", sampleARN)
	cloud.hang = true
	request := Request{KMS: true}
	for i := range 40 {
		request.Files = append(request.Files, File{Path: fmt.Sprintf("%d.yaml", i), Data: encrypted})
	}
	began := time.Now()
	for _, file := range ask(t, request, cloud.podIdentity()...).Files {
		refused(t, file, KindKMS, "no answer within 20s")
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A file of a hostile repository says where KMS is.
func TestAFileCannotNameAnotherHostThanThoseOfTheCloud(t *testing.T) {
	called := make(chan string, 100)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.URL.Path })) //nolint:errcheck // it ends with the test
	host := listener.Addr().String()
	const head = "sops:\n  mac: x\n  lastmodified: '2024-01-01T00:00:00Z'\n"
	for name, test := range map[string]struct{ key, words string }{
		"the region of an ARN":    {"kms: [{arn: 'arn:aws:kms:" + host + "/#:123456789012:key/a', created_at: '2024-01-01T00:00:00Z', enc: eA==}]", "not the ARN"},
		"a role":                  {"kms: [{arn: '" + sampleARN + "', role: 'http://" + host + "', created_at: '2024-01-01T00:00:00Z', enc: eA==}]", "not the ARN of an IAM role"},
		"a vault of Azure":        {"azure_kv: [{vault_url: 'https://" + host + "', name: k, version: v, created_at: '2024-01-01T00:00:00Z', enc: eA}]", "no URL of the form"},
		"a domain like Azure's":   {"azure_kv: [{vault_url: 'https://a.vault.azure.net.example.com', name: k, version: v, created_at: '2024-01-01T00:00:00Z', enc: eA}]", "not at a domain"},
		"a user before Azure's":   {"azure_kv: [{vault_url: 'https://canary-7f3a@a.vault.azure.net', name: k, version: v, created_at: '2024-01-01T00:00:00Z', enc: eA}]", "no URL of the form"},
		"a path of Azure":         {"azure_kv: [{vault_url: 'https://a.vault.azure.net', name: '../k', version: v, created_at: '2024-01-01T00:00:00Z', enc: eA}]", "not that of a key"},
		"a resource of Google":    {"gcp_kms: [{resource_id: 'projects/p/locations/l/keyRings/r/cryptoKeys/../k?', created_at: '2024-01-01T00:00:00Z', enc: eA==}]", "not the resource ID"},
		"a Vault":                 {"hc_vault: [{vault_address: 'http://" + host + "', engine_path: transit, key_name: k, created_at: '2024-01-01T00:00:00Z', enc: x}]", "no token for Vault"},
		"a cloud of another kind": {"hckms: [{key_id: 'tr-west-1:k', created_at: '2024-01-01T00:00:00Z', enc: x}]", "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, askKMS(t, Keys{}, []byte(head+"  "+test.key+"\n"), []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=canary-7f3a"}), KindKMS, test.words)
		})
	}
	select {
	case path := <-called:
		t.Errorf("the host of the file was asked for %s", path)
	default:
	}
}
