package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/smithy-go"
	"github.com/googleapis/gax-go/v2/apierror"
	vault "github.com/hashicorp/vault/api"
)

// kmsProblem describes an error of a cloud's library by its parts that are known
// to hold no secret: codes and messages of the service, and causes of a failed
// connection.
func kmsProblem(err error) string {
	var aws smithy.APIError
	var azure *azcore.ResponseError
	var azureLogin *azidentity.AuthenticationFailedError
	var hashicorp *vault.ResponseError
	var google *apierror.APIError
	var redirect *redirectError
	switch {
	case errors.As(err, &redirect):
		return redirect.Error()
	case errors.As(err, &azureLogin):
		if azureLogin.RawResponse != nil {
			return fmt.Sprintf("the identity of the environment is refused with HTTP %d", azureLogin.RawResponse.StatusCode)
		}
		return "no identity in the environment" + connection(err, ": ")
	case errors.As(err, &azure):
		return fmt.Sprintf("HTTP %d %s", azure.StatusCode, azure.ErrorCode)
	case errors.As(err, &aws):
		return aws.ErrorCode() + ": " + aws.ErrorMessage()
	case errors.As(err, &hashicorp):
		if hashicorp.RawError { // a page of whatever answers
			return fmt.Sprintf("HTTP %d", hashicorp.StatusCode)
		}
		return fmt.Sprintf("HTTP %d: %s", hashicorp.StatusCode, strings.Join(hashicorp.Errors, ", "))
	case errors.As(err, &google):
		if status := google.GRPCStatus(); status != nil {
			return fmt.Sprintf("%s: %s", status.Code(), status.Message())
		}
		return fmt.Sprintf("HTTP %d %s", google.HTTPCode(), google.Reason())
	}
	if cause := connection(err, ""); cause != "" {
		return cause
	}
	for _, hint := range []string{
		"failed to refresh cached credentials", "no EC2 IMDS role found", // AWS
		"could not find default credentials", "DefaultAzureCredential", // Google, Azure
	} {
		if strings.Contains(err.Error(), hint) {
			return "no identity in the environment"
		}
	}
	if strings.Contains(err.Error(), "base64") {
		return "its encrypted data key is not base64"
	}
	return "the request failed"
}

// connection returns why a service was not reached, or nothing.
func connection(err error, before string) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var number syscall.Errno
	switch {
	case errors.As(err, &dns):
		return before + "the name " + dns.Name + " is not found"
	case errors.As(err, &certificate):
		return before + certificate.Error()
	case errors.As(err, &number):
		return before + number.Error()
	default:
		return ""
	}
}
