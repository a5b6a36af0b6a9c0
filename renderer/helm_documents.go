package main

import (
	"slices"

	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// definitions are the documents of crds/, which are no templates.
type definitions struct {
	documents []Document
	warnings  []string
	err       error
}

// definitions reads crds/, where the request includes it.
func (p *preparedChart) definitions() *definitions {
	found := &definitions{}
	if !p.settings.IncludeCRDs {
		return found
	}
	for _, crd := range p.chart.CRDObjects() {
		file := p.places.file(crd.Filename)
		for _, part := range splitVerbatim(string(crd.File.Data)) {
			document := Document{YAML: part.text, Source: crd.Filename, File: file, Line: part.line, verbatim: true}
			warnings, err := p.dropDuplicateKeys(&document)
			if err != nil {
				found.err = err
				return found
			}
			found.warnings = append(found.warnings, warnings...)
			found.documents = append(found.documents, document)
		}
	}
	return found
}

// addDocuments makes documents and hooks out of what the engine rendered, in the
// order that Helm applies them in.
func (p *preparedChart) addDocuments(rendered map[string]string, definitions *definitions, response *Response) error {
	lines := background(func() map[string]map[string]int { return p.places.lines(rendered) })
	hooks, manifests, err := p.sorted(rendered)
	if err != nil {
		return err
	}
	response.warn(definitions.warnings)
	if definitions.err != nil {
		return definitions.err
	}
	response.Documents = append(response.Documents, definitions.documents...)
	known := lines.wait()
	for _, manifest := range manifests {
		document := Document{YAML: manifest.Content, Source: manifest.Name, File: p.places.file(manifest.Name), Line: known[manifest.Name][manifest.Content]}
		warnings, err := p.dropDuplicateKeys(&document)
		if err != nil {
			return err
		}
		response.warn(warnings)
		response.Documents = append(response.Documents, document)
	}
	for _, hook := range hooks {
		converted := hookOf(hook, p.places.file(hook.Path))
		converted.Line = known[hook.Path][hook.Manifest]
		warnings, err := p.dropDuplicateKeys(&converted.Document)
		if err != nil {
			return err
		}
		response.warn(warnings)
		response.Hooks = append(response.Hooks, converted)
	}
	return nil
}

// sorted returns what `helm template` prints of rendered templates.
func (p *preparedChart) sorted(rendered map[string]string) ([]*release.Hook, []releaseutil.Manifest, error) {
	hooks, manifests, err := releaseutil.SortManifests(rendered, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, nil, manifestFailure(p.places, err)
	}
	if p.settings.SkipTests {
		hooks = slices.DeleteFunc(hooks, isTest)
	}
	return hooks, manifests, nil
}

func (p *preparedChart) dropDuplicateKeys(document *Document) (warnings []string, err error) {
	if !p.lastKeyWins {
		return nil, nil
	}
	return dropDuplicateKeys(document)
}
