package main

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// traceOrigins has kustomize note where each resource comes from, by adding the
// option originAnnotations to the outermost kustomization. It returns false
// where the repository asks for these annotations itself; they are output then.
func traceOrigins(record *Record, directory string, replaced map[string][]byte) bool {
	file := kustomizationIn(record, directory)
	data, err := record.file(file)
	if err != nil {
		return true
	}
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		return true
	}
	// Numbers stay as they are written.
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	var kustomization map[string]any
	if err := decoder.Decode(&kustomization); err != nil || kustomization == nil {
		return true
	}
	options, _ := kustomization["buildMetadata"].([]any)
	if slices.Contains(options, any(types.OriginAnnotations)) {
		return false
	}
	if len(kustomization) == 0 {
		return true // kustomize says that it is empty
	}
	kustomization["buildMetadata"] = append(options, types.OriginAnnotations)
	if changed, err := json.Marshal(kustomization); err == nil {
		replaced[file] = changed
	}
	return true
}

// takeOrigins returns the file of each resource, relative to the outermost
// kustomization: where it is written, or where its generator is.
func takeOrigins(resources resmap.ResMap, own bool) ([]string, error) {
	origins := make([]string, 0, resources.Size())
	for _, resource := range resources.Resources() {
		origin, err := resource.GetOrigin()
		if err != nil {
			return nil, err
		}
		file := ""
		if origin != nil && origin.Repo == "" {
			file = origin.Path
			if file == "" {
				file = origin.ConfiguredIn
			}
		}
		if file != "" {
			file = path.Clean(file)
		}
		origins = append(origins, file)
	}
	if own {
		return origins, resources.RemoveOriginAnnotations()
	}
	return origins, nil
}
