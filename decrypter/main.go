// driftless-decrypt decrypts SOPS files with the official library.
//
// One JSON document with keys and files comes in on stdin, and one with the
// plaintexts goes out on stdout; protocol.go says what they hold. Once main runs
// it starts no process. Without cloud KMS it also opens no file and no socket,
// and reads no environment variable. The sandbox is the parent's part.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// Exit codes. An error of a file is data in the response, and exits with 0.
const (
	exitOK       = 0
	exitProtocol = 2
)

func main() {
	// A trace would show arguments of functions that hold keys.
	debug.SetTraceback("none")
	refuseInspection()

	stdout, stderr := os.Stdout, os.Stderr
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(versions()); err != nil {
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 1 {
		fmt.Fprintln(stderr, "driftless-decrypt: takes no argument but --version; the request comes in on stdin")
		os.Exit(exitProtocol)
	}
	os.Exit(run(os.Stdin, stdout, stderr))
}

// run serves one request and returns the exit code. What panics outside of a
// file is as good as a broken request; its value is not shown.
func run(stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if recover() != nil {
			fmt.Fprintln(stderr, "driftless-decrypt: a library panicked on the request")
			code = exitProtocol
		}
	}()
	silence()
	request, err := readRequest(stdin)
	if err != nil {
		fmt.Fprintf(stderr, "driftless-decrypt: %v\n", err)
		return exitProtocol
	}
	confine(request.KMS)

	response := decryptAll(request)
	err = writeResponse(stdout, response)
	request.wipe()
	response.wipe()
	if err != nil {
		fmt.Fprintf(stderr, "driftless-decrypt: write the response: %v\n", err)
		return exitProtocol
	}
	return exitOK
}
