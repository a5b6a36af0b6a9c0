package main

import (
	"runtime"
	"runtime/debug"
)

// Response is the output. Read, Absent and Listed are the input that the render
// depends on, beside the request: as long as the files of Read are the same,
// those of Absent are not there, and the directories of Listed hold the same
// (with all below them), so is the output.
type Response struct {
	Version   int               `json:"version"`
	Libraries map[string]string `json:"libraries"`
	Renderer  string            `json:"renderer"`
	Documents []Document        `json:"documents"`
	// Sent is how many of the documents were sent before, and are left out here.
	Sent  int    `json:"sent,omitempty"`
	Hooks []Hook `json:"hooks"`
	// Again is what a second render made of documents and hooks that are random;
	// AgainError says why the two renders cannot be compared.
	Again      []Again  `json:"again"`
	AgainError string   `json:"again_error,omitempty"`
	Lookups    []Lookup `json:"lookups"`
	// Wants is what has to be fetched before the render can be made.
	Wants    []Want   `json:"wants"`
	Read     []string `json:"read"`
	Absent   []string `json:"absent"`
	Listed   []string `json:"listed"`
	Warnings []string `json:"warnings"`
	Error    *Failure `json:"error"`

	// references are what post has to know of an overlay.
	references nameReferences
	// sender sends documents early; nil where all are sent at the end.
	sender *earlySender
}

// Document is one YAML document.
type Document struct {
	YAML string `json:"yaml"`
	// Source is the tool's own name of the origin: the template that
	// `helm template` writes after "# Source:", else the file.
	Source string `json:"source"`
	// File is the file in the tree, and Line the first line of the document
	// in it, from 1; left out where the document is not written there.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// verbatim says that its lines are those of the file, from Line on.
	verbatim bool
}

// Hook is a manifest that Helm would apply at certain events alone.
type Hook struct {
	Document
	Kind              string   `json:"kind"`
	Name              string   `json:"name"`
	Events            []string `json:"events"`
	Weight            int      `json:"weight"`
	DeletePolicies    []string `json:"deletePolicies"`
	OutputLogPolicies []string `json:"outputLogPolicies"`
}

// Again is a document or hook, by its place in the list, as it became in the
// second render.
type Again struct {
	Index int    `json:"index"`
	Hook  bool   `json:"hook"`
	YAML  string `json:"yaml"`
}

// Lookup is a question that was asked. Where it was not answered, lookup
// returned an empty map, as in `helm template`.
type Lookup struct {
	LookupQuestion
	Answered bool `json:"answered"`
}

func newResponse() *Response {
	return &Response{
		Version:   protocolVersion,
		Libraries: libraries(),
		Documents: []Document{},
		Hooks:     []Hook{},
		Again:     []Again{},
		Lookups:   []Lookup{},
		Wants:     []Want{},
		Read:      []string{},
		Absent:    []string{},
		Listed:    []string{},
		Warnings:  []string{},
	}
}

// fail makes the response one of an error: nothing of half a render is kept but
// the questions that were asked, since their answers may mend it. What was sent of
// it is void.
func (r *Response) fail(failure *Failure) {
	r.Sent = 0
	r.Documents, r.Hooks, r.Again, r.AgainError = []Document{}, []Hook{}, []Again{}, ""
	r.Error = failure
}

// want makes the response one of a render that needs something first.
func (r *Response) want(wants []Want) {
	r.fail(nil)
	r.Wants = wants
}

// hideCredentials takes those in URLs out of what a person reads.
func (r *Response) hideCredentials() {
	texts := []*string{&r.AgainError}
	if r.Error != nil {
		texts = append(texts, &r.Error.Message, &r.Error.Chart, &r.Error.ValuesKey)
	}
	for i := range r.Warnings {
		texts = append(texts, &r.Warnings[i])
	}
	for _, text := range texts {
		*text = withoutURLCredentials(*text)
	}
}

// warn adds warnings, up to as many as there may be.
func (r *Response) warn(warnings []string) {
	r.Warnings = append(r.Warnings, warnings[:min(len(warnings), max(0, maxWarnings-len(r.Warnings)))]...)
}

// versions is what --version prints.
func versions() map[string]any {
	return map[string]any{"version": protocolVersion, "libraries": libraries(), "go": runtime.Version()}
}

// libraries returns the versions of what decides over the output.
func libraries() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "helm.sh/helm/v4", "sigs.k8s.io/kustomize/api", "sigs.k8s.io/kustomize/kyaml", "github.com/getsops/sops/v3":
			found[module.Path] = module.Version
		}
	}
	return found
}
