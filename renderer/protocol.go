package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// protocolVersion is raised when a parent of before would misread a message.
const protocolVersion = 1

// Names of renderers in requests and responses.
const (
	RendererAuto      = "auto"
	RendererPlain     = "plain"
	RendererKustomize = "kustomize"
	RendererHelm      = "helm"
)

// Request is request.json, the first entry of the input. Every path is relative
// to the root of the tree, with slashes.
type Request struct {
	Version   int              `json:"version"`
	Renderer  string           `json:"renderer"`
	Path      string           `json:"path"`
	Helm      HelmSettings     `json:"helm"`
	Kustomize KustomizeSetting `json:"kustomize"`
	Lookups   []LookupAnswer   `json:"lookups"`
}

// HelmSettings are what the flags of `helm template` set.
type HelmSettings struct {
	// Chart is a directory or a .tgz file; by default the request's path.
	Chart       string `json:"chart"`
	ReleaseName string `json:"releaseName"`
	Namespace   string `json:"namespace"`

	// Values win over ExtraValues, ExtraValues over ValuesFiles, and later
	// entries over earlier ones.
	Values      map[string]any `json:"values"`
	ValuesFiles []string       `json:"valuesFiles"`
	ExtraValues []ExtraValues  `json:"extraValues"`

	IncludeCRDs bool `json:"includeCRDs"`
	SkipTests   bool `json:"skipTests"`
	IsUpgrade   bool `json:"isUpgrade"`

	// APIVersions are added to those that Helm's own Kubernetes client knows,
	// as by --api-versions; or replace them where APIVersionsExact is set, which
	// is what `helm install` sees in a cluster.
	APIVersions      []string `json:"apiVersions"`
	APIVersionsExact bool     `json:"apiVersionsExact"`
	KubeVersion      string   `json:"kubeVersion"`
}

// ExtraValues are values that come out of the cluster. They may be secret: no
// error shows them.
type ExtraValues struct {
	Name string `json:"name"`
	YAML string `json:"yaml"`
}

// KustomizeSetting are what the flags of `kustomize build` set.
type KustomizeSetting struct {
	AllowHelmCharts bool `json:"allowHelmCharts"`
}

// LookupAnswer answers one question of the template function lookup: Object for
// a question with a name, Items for one without. Neither means not found.
type LookupAnswer struct {
	LookupQuestion
	Object json.RawMessage   `json:"object"`
	Items  []json.RawMessage `json:"items"`
	// Error is returned by lookup, such as that the question is forbidden.
	Error string `json:"error"`
}

// LookupQuestion is what a template asks of the cluster.
type LookupQuestion struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

// Response is the output. Read, Absent and Listed are the input that the render
// depends on, beside the request: as long as the files of Read are the same,
// those of Absent are not there, and the directories of Listed hold the same
// (with all below them), so is the output.
type Response struct {
	Version   int               `json:"version"`
	Libraries map[string]string `json:"libraries"`
	Renderer  string            `json:"renderer"`
	Documents []Document        `json:"documents"`
	Hooks     []Hook            `json:"hooks"`
	Lookups   []Lookup          `json:"lookups"`
	Read      []string          `json:"read"`
	Absent    []string          `json:"absent"`
	Listed    []string          `json:"listed"`
	Warnings  []string          `json:"warnings"`
	Error     *Failure          `json:"error"`
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
		Lookups:   []Lookup{},
		Read:      []string{},
		Absent:    []string{},
		Listed:    []string{},
		Warnings:  []string{},
	}
}

// fail makes the response one of an error: nothing of half a render is kept but
// the questions that were asked, since their answers may mend it.
func (r *Response) fail(failure *Failure) {
	r.Documents, r.Hooks = []Document{}, []Hook{}
	r.Error = failure
}

// parseRequest reads request.json strictly: a key that is not known is a parent
// of another version.
func parseRequest(data []byte) (*Request, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	request := &Request{}
	if err := decoder.Decode(request); err != nil {
		return nil, fmt.Errorf("request.json: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("request.json: something follows the request")
	}
	if request.Version != protocolVersion {
		return nil, fmt.Errorf("request.json: version is %d, and %d is the only one known", request.Version, protocolVersion)
	}
	switch request.Renderer {
	case "":
		request.Renderer = RendererAuto
	case RendererAuto, RendererPlain, RendererKustomize, RendererHelm:
	default:
		return nil, fmt.Errorf("request.json: renderer %q is not known", request.Renderer)
	}
	return request, nil
}

// writeResponse writes the response as one line of JSON.
func writeResponse(w io.Writer, response *Response) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		return err
	}
	return buffered.Flush()
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
