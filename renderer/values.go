package main

import (
	"bytes"
	"regexp"
	"strings"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"k8s.io/apimachinery/pkg/runtime"
)

// mergeValues returns the values of the request: the files in their order, then
// what comes out of the cluster, then those of the sync.
func mergeValues(record *Record, settings *HelmSettings) (map[string]any, error) {
	merged := map[string]any{}
	for _, name := range settings.ValuesFiles {
		file, err := cleanPath(name)
		if err != nil {
			return nil, err
		}
		data, err := record.file(file)
		if err != nil {
			return nil, missingPath(record, file, "the values file is not in the repository")
		}
		values, err := loader.LoadValues(bytes.NewReader(data))
		if err != nil {
			return nil, &Failure{Kind: KindValues, File: file, Line: yamlErrorLine(err.Error()), Message: err.Error()}
		}
		merged = loader.MergeMaps(merged, values)
	}
	for _, extra := range settings.ExtraValues {
		values, err := loader.LoadValues(strings.NewReader(extra.YAML))
		if err != nil {
			return nil, &Failure{Kind: KindValues, File: extra.Name, Line: yamlErrorLine(err.Error()), Message: withoutContent(err.Error())}
		}
		merged = loader.MergeMaps(merged, values)
	}
	return loader.MergeMaps(merged, runtime.DeepCopyJSON(settings.Values)), nil
}

// quoted are the excerpts in errors of YAML parsers.
var quoted = regexp.MustCompile("`[^`]*`|\"[^\"]*\"|'[^']*'")

// withoutContent returns an error of a parser without what it cites.
func withoutContent(message string) string {
	return quoted.ReplaceAllString(message, "...")
}
