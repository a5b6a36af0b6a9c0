package main

import (
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
)

// kustomizationEntry is one reference of a kustomization to a file or directory.
type kustomizationEntry struct {
	field  string // such as resources[2]
	value  string
	inline bool // the value may be YAML instead of a path
	follow bool // it may be a directory with a kustomization
	plugin bool // it configures a generator, transformer or validator
	remote bool // it may be a URL
}

func (e kustomizationEntry) isComponent() bool { return strings.HasPrefix(e.field, "components[") }

// entriesOf returns every reference that kustomize would load.
func entriesOf(k *types.Kustomization) []kustomizationEntry {
	var entries []kustomizationEntry
	add := func(template kustomizationEntry, values ...string) {
		for i, value := range values {
			entry := template
			entry.field = fmt.Sprintf("%s[%d]", template.field, i)
			entry.value = value
			entries = append(entries, entry)
		}
	}
	add(kustomizationEntry{field: "resources", follow: true, remote: true}, k.Resources...)
	add(kustomizationEntry{field: "bases", follow: true, remote: true}, k.Bases...)
	add(kustomizationEntry{field: "components", follow: true, remote: true}, k.Components...)
	add(kustomizationEntry{field: "crds"}, k.Crds...)
	add(kustomizationEntry{field: "configurations"}, k.Configurations...)
	add(kustomizationEntry{field: "generators", inline: true, follow: true, plugin: true}, k.Generators...)
	add(kustomizationEntry{field: "transformers", inline: true, follow: true, plugin: true}, k.Transformers...)
	add(kustomizationEntry{field: "validators", inline: true, follow: true, plugin: true}, k.Validators...)
	if file, found := k.OpenAPI["path"]; found {
		entries = append(entries, kustomizationEntry{field: "openapi.path", value: file})
	}
	for i, patch := range k.PatchesStrategicMerge {
		entries = append(entries, kustomizationEntry{field: fmt.Sprintf("patchesStrategicMerge[%d]", i), value: string(patch), inline: true})
	}
	patches := func(name string, list []types.Patch) {
		for i, patch := range list {
			entries = append(entries, kustomizationEntry{field: fmt.Sprintf("%s[%d].path", name, i), value: patch.Path},
				kustomizationEntry{field: fmt.Sprintf("%s[%d].patch", name, i), value: inlineOnly(patch.Patch), inline: true})
		}
	}
	patches("patches", k.Patches)
	patches("patchesJson6902", k.PatchesJson6902)
	for i, replacement := range k.Replacements {
		entries = append(entries, kustomizationEntry{field: fmt.Sprintf("replacements[%d].path", i), value: replacement.Path})
	}
	for i, generator := range k.ConfigMapGenerator {
		entries = append(entries, sourcesOf(fmt.Sprintf("configMapGenerator[%d]", i), generator.KvPairSources)...)
	}
	for i, generator := range k.SecretGenerator {
		entries = append(entries, sourcesOf(fmt.Sprintf("secretGenerator[%d]", i), generator.KvPairSources)...)
	}
	for i, chart := range k.HelmCharts {
		entries = append(entries, kustomizationEntry{field: fmt.Sprintf("helmCharts[%d].valuesFile", i), value: chart.ValuesFile})
		for j, file := range chart.AdditionalValuesFiles {
			entries = append(entries, kustomizationEntry{field: fmt.Sprintf("helmCharts[%d].additionalValuesFiles[%d]", i, j), value: file})
		}
	}
	for i, chart := range k.HelmChartInflationGenerator {
		entries = append(entries, kustomizationEntry{field: fmt.Sprintf("helmChartInflationGenerator[%d].values", i), value: chart.Values})
	}
	return entries
}

// sourcesOf returns the files of a generator of a ConfigMap or Secret.
func sourcesOf(field string, sources types.KvPairSources) []kustomizationEntry {
	var entries []kustomizationEntry
	add := func(name string, values []string) {
		for i, value := range values {
			entries = append(entries, kustomizationEntry{field: fmt.Sprintf("%s.%s[%d]", field, name, i), value: afterKey(value)})
		}
	}
	add("files", sources.FileSources)
	add("envs", sources.EnvSources)
	if sources.EnvSource != "" {
		entries = append(entries, kustomizationEntry{field: field + ".env", value: sources.EnvSource})
	}
	return entries
}

// afterKey returns the path of a file source, "path" or "key=path".
func afterKey(source string) string {
	if key, file, found := strings.Cut(source, "="); found && !strings.ContainsAny(key, "/:?") {
		return file
	}
	return source
}

// inlineOnly marks the text of a patch as no path, also where it is one line.
func inlineOnly(text string) string {
	if text == "" {
		return ""
	}
	return text + "\n"
}

// looksInline reports whether an entry is YAML rather than a path or URL: a
// resource has several keys, so that it has braces or one of YAML's line breaks.
func looksInline(value string) bool {
	return strings.ContainsAny(value, "{\n\r\u0085\u2028\u2029")
}

var (
	remoteScheme = regexp.MustCompile(`(?i)^(?:git::)?(?:https?:/|ssh://|file://)`)
	remoteUser   = regexp.MustCompile(`(?i)^(?:git::)?[a-z][a-z0-9-]*@[^/:]+[:/].`)
	remoteHub    = regexp.MustCompile(`(?i)^(?:git::)?github\.com[/:]`)
)

// isRemote reports whether kustomize would fetch an entry by HTTP or git. The
// rules are those of its functions IsRemoteFile and NewRepoSpecFromURL, or wider
// for what has a scheme.
func isRemote(value string) bool {
	return remoteScheme.MatchString(value) || isRepositoryOnly(value)
}

// isRepositoryOnly reports whether an entry without a scheme names a repository.
// kustomize takes it for a path where it does not, such as github.com/app.
func isRepositoryOnly(value string) bool {
	if remoteScheme.MatchString(value) || !remoteUser.MatchString(value) && !remoteHub.MatchString(value) {
		return false
	}
	_, err := parseRepoSpec(value)
	return err == nil
}
