// driftless-renderer turns a chart, an overlay or plain manifests into
// Kubernetes objects, with the libraries of Helm and kustomize.
//
// A tar stream comes in on stdin and one JSON document goes out on stdout;
// protocol.go says what they hold. The program is a pure function of its input:
// it opens no file and no socket, starts no process and reads no environment
// variable. Time, memory and the sandbox are the parent's part.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Exit codes. An error of the render is data in the response, and exits with 0.
const (
	exitOK       = 0
	exitProtocol = 2
)

func main() {
	collectLate()
	stderr := os.Stderr
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(versions()); err != nil {
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 1 {
		fmt.Fprintln(stderr, "driftless-renderer: takes no argument but --version; the request comes in on stdin")
		os.Exit(exitProtocol)
	}
	os.Exit(run(os.Stdin, os.Stdout, stderr))
}

// run serves one request and returns the exit code.
func run(stdin io.Reader, stdout, stderr io.Writer) int {
	warnings := confine()
	request, tree, err := readInput(bufio.NewReaderSize(stdin, 1<<16))

	var failure *Failure
	if err != nil && !errors.As(err, &failure) {
		fmt.Fprintf(stderr, "driftless-renderer: %v\n", err)
		return exitProtocol
	}

	response := newResponse()
	if failure != nil {
		response.Error = failure
	} else {
		if request.Early && request.Post.isEmpty() {
			response.sender = &earlySender{out: bufio.NewWriterSize(stdout, 1<<16)}
		}
		render(request, tree, response)
	}
	response.Warnings = append(response.Warnings, warnings.take()...)
	response.hideCredentials()

	err = response.sender.failed()
	if err == nil {
		err = writeResponse(stdout, response)
	}
	if err != nil {
		fmt.Fprintf(stderr, "driftless-renderer: write the response: %v\n", err)
		return exitProtocol
	}
	return exitOK
}

// render fills the response. A panic of a library becomes an error of the
// render, since a hostile repository may know of one.
func render(request *Request, tree *Tree, response *Response) {
	remote := newFetched(request.Fetched)
	record := newRecord(tree, remote)
	defer func() {
		if cause := recover(); cause != nil {
			response.fail(&Failure{Kind: KindInternal, File: request.Path, Message: fmt.Sprintf("the rendering library panicked: %v", cause)})
		}
		response.Read, response.Absent, response.Listed = record.sorted()
	}()

	renderer, err := chooseRenderer(request, record)
	if err == nil {
		response.Renderer = renderer
		state := &helmState{}
		switch renderer {
		case RendererKustomize:
			err = renderKustomize(request, record, response)
		case RendererHelm:
			err = renderHelm(request, record, state, response)
		default:
			err = renderPlain(request, record, response)
		}
		if err == nil {
			state.posted, err = applyPost(&request.Post, response)
		}
		if err == nil && request.Twice && renderer == RendererHelm {
			response.sendEarly(response.Documents[response.Sent:])
			renderAgain(state, response)
		}
	}
	if err == nil {
		err = checkOutput(response)
	}
	if errors.Is(err, errWanted) {
		response.want(remote.wants)
	} else if err != nil {
		response.fail(asFailure(err))
	}
}
