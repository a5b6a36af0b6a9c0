package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Fetched   []Answer         `json:"fetched"`
	Post      Post             `json:"post"`
	// Twice renders a chart a second time, to find what is random in it.
	Twice bool `json:"twice"`
	// Early has documents sent before the render has ended.
	Early bool `json:"early"`
}

// HelmSettings are what the flags of `helm template` set.
type HelmSettings struct {
	// Chart is a directory or a .tgz file; by default the request's path. Where
	// there is a Repository, it is the name of a chart in it, and Version a
	// version of the chart, or a constraint.
	Chart       string `json:"chart"`
	Repository  string `json:"repository"`
	Version     string `json:"version"`
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
	// HelmCharts renders what helmCharts in kustomizations name.
	HelmCharts bool `json:"helmCharts"`
}

// Post is what a sync sets on every object, whatever rendered it.
type Post struct {
	NamePrefix string `json:"namePrefix"`
	// Labels and Annotations are set on metadata alone: never on selectors, which
	// are immutable, nor on pod templates.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Patches     []PostPatch       `json:"patches"`
}

// PostPatch is an entry of kustomize's field patches: a strategic merge patch or
// a JSON 6902 patch.
type PostPatch struct {
	Patch  string      `json:"patch"`
	Target *PostTarget `json:"target"`
	// Name is what errors call the patch, and give as their file.
	Name string `json:"name"`
}

// PostTarget selects objects as a target in a kustomization does: the names are
// regular expressions.
type PostTarget struct {
	Group              string `json:"group"`
	Version            string `json:"version"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	Namespace          string `json:"namespace"`
	LabelSelector      string `json:"labelSelector"`
	AnnotationSelector string `json:"annotationSelector"`
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
	for i := range request.Fetched {
		answer := &request.Fetched[i]
		switch answer.Kind {
		case fetchIndex, fetchTags, fetchArchive, fetchFile:
		case fetchGit:
			answer.tree = newTree()
		default:
			return nil, fmt.Errorf("request.json: kind %q of fetched[%d] is not known", answer.Kind, i)
		}
	}
	return request, nil
}
