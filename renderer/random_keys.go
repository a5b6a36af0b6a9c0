package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"reflect"
	"text/template"
)

// Sizes of the RSA keys that Sprig makes, in bits.
const (
	keyOfCertificate = 2048
	keyByItself      = 4096
)

// addKeys replaces the functions that make an RSA key: to find one takes longer
// than most charts. Later renders have a single key of a size, which differs from
// those of the first and is generated meanwhile. All certificates differ beside
// their keys.
func (r *random) addKeys(functions, original template.FuncMap) {
	r.keys = map[int]*promise[string]{}
	generate, _ := original["genPrivateKey"].(func(string) string)
	functions["genPrivateKey"] = func(kind string) string {
		if kind != "" && kind != "rsa" {
			return generate(kind)
		}
		key := r.keyOfSize(keyByItself)
		if r.turn > 0 {
			return key.wait()
		}
		return generate(kind)
	}
	for name, withKey := range map[string]string{"genCA": "genCAWithKey", "genSelfSignedCert": "genSelfSignedCertWithKey", "genSignedCert": "genSignedCertWithKey"} {
		generate, given := reflect.ValueOf(original[name]), reflect.ValueOf(original[withKey])
		functions[name] = reflect.MakeFunc(generate.Type(), func(arguments []reflect.Value) []reflect.Value {
			key := r.keyOfSize(keyOfCertificate)
			if r.turn > 0 {
				return given.Call(append(arguments, reflect.ValueOf(key.wait())))
			}
			return generate.Call(arguments)
		}).Interface()
	}
}

// keyOfSize returns the key of a size that later renders have.
func (r *random) keyOfSize(bits int) *promise[string] {
	if _, found := r.keys[bits]; !found {
		r.keys[bits] = background(func() string {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				panic(err)
			}
			return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
		})
	}
	return r.keys[bits]
}
