package main

import (
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
)

// chooseRenderer returns the renderer of the request, or what the path holds:
// a kustomization, a chart, or else plain manifests.
func chooseRenderer(request *Request, record *Record) (string, error) {
	cleaned, err := cleanPath(request.Path)
	if err != nil {
		return "", err
	}
	request.Path = cleaned
	if request.Renderer != RendererAuto {
		return request.Renderer, nil
	}
	if request.Helm.Repository != "" {
		return RendererHelm, nil
	}
	if strings.HasSuffix(cleaned, ".tgz") && record.isFile(cleaned) {
		return RendererHelm, nil
	}
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if record.isFile(path.Join(cleaned, name)) {
			return RendererKustomize, nil
		}
	}
	if record.isFile(path.Join(cleaned, "Chart.yaml")) {
		return RendererHelm, nil
	}
	if !record.isDirectory(cleaned) {
		return "", missingPath(record, cleaned, "the path is not in the repository")
	}
	return RendererPlain, nil
}

// missingPath returns the failure of a path of the request: that it may not be
// followed, or that it is not there.
func missingPath(record *Record, name, message string) error {
	if _, err := record.resolve(name); err != nil && !isAbsent(err) {
		return err
	}
	return failuref(KindPath, name, "%s", message)
}
