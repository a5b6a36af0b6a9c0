package main

import (
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// helmState is what the two renders of a chart share. Files and values are none
// of it: templates may write into them.
type helmState struct {
	lookups *lookups
	random  *random
}

func newHelmState(request *Request) *helmState {
	return &helmState{lookups: newLookups(request.Lookups), random: &random{twice: request.Twice}}
}

// renderHelm does what `helm template` does. The steps are those of Helm's
// action.Install in a dry run on the client, which is not used itself: it offers
// no way to keep schemas from files and the network, and its packages double
// the program.
func renderHelm(request *Request, record *Record, state *helmState, response *Response) error {
	settings := request.Helm
	if settings.Chart == "" {
		if settings.Repository != "" {
			return &Failure{Kind: KindSettings, Message: "helm.chart has to name a chart of helm.repository"}
		}
		settings.Chart = request.Path
	}
	if err := settings.complete(); err != nil {
		return err
	}
	capabilities, err := capabilitiesOf(&settings)
	if err != nil {
		return err
	}
	values, err := mergeValues(record, &settings)
	if err != nil {
		return err
	}
	loaded, files, err := loadChart(record, &settings)
	if err != nil {
		return err
	}
	if err := renderChart(loaded, files, &settings, capabilities, values, state, response); err != nil {
		return err
	}
	return dropDuplicateKeys(response)
}

// complete sets what `helm template` does where no flag says otherwise.
func (settings *HelmSettings) complete() error {
	if settings.ReleaseName == "" {
		settings.ReleaseName = "release-name"
	}
	if settings.Namespace == "" {
		settings.Namespace = "default"
	}
	if err := chartutil.ValidateReleaseName(settings.ReleaseName); err != nil {
		return &Failure{Kind: KindSettings, Message: fmt.Sprintf("release name %q: %s", settings.ReleaseName, err)}
	}
	return nil
}

// renderChart renders a chart that is loaded.
func renderChart(loaded *chart.Chart, files *chartFiles, settings *HelmSettings, capabilities *common.Capabilities, values map[string]any, state *helmState, response *Response) error {
	if loaded.Metadata.Deprecated {
		response.Warnings = append(response.Warnings, fmt.Sprintf("chart %s is deprecated", loaded.Name()))
	}
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return &Failure{Kind: KindValues, File: files.source.at("Chart.yaml"), Chart: loaded.Name(),
			Message: "chart dependencies processing failed: " + err.Error()}
	}
	input, err := util.ToRenderValuesWithSchemaValidation(loaded, values, common.ReleaseOptions{
		Name: settings.ReleaseName, Namespace: settings.Namespace, Revision: 1,
		IsInstall: !settings.IsUpgrade, IsUpgrade: settings.IsUpgrade,
	}, capabilities, true)
	if err != nil {
		return &Failure{Kind: KindValues, Chart: loaded.Name(), Message: err.Error()}
	}
	coalesced, _ := input["Values"].(common.Values)
	if err := validateSchemas(loaded, coalesced.AsMap(), files); err != nil {
		return err
	}
	if err := checkKubeVersion(loaded, capabilities, files.source); err != nil {
		return err
	}

	places := placesOf(loaded, files)
	functions := state.random.functions()
	functions["lookup"] = state.lookups.lookup
	renderer := engine.Engine{CustomTemplateFuncs: functions}
	rendered, err := renderer.Render(loaded, input)
	response.Lookups = state.lookups.asked
	if err != nil {
		return templateFailure(places, err)
	}
	return sortRendered(loaded, rendered, settings, places, response)
}

// sortRendered puts manifests and hooks in the order that Helm applies them in.
func sortRendered(loaded *chart.Chart, rendered map[string]string, settings *HelmSettings, places *chartPlaces, response *Response) error {
	for name := range rendered {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(rendered, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(rendered, nil, releaseutil.InstallOrder)
	if err != nil {
		return manifestFailure(places, err)
	}
	if settings.IncludeCRDs {
		for _, crd := range loaded.CRDObjects() {
			file := places.file(crd.Filename)
			for _, part := range splitVerbatim(string(crd.File.Data)) {
				response.Documents = append(response.Documents, Document{YAML: part.text, Source: crd.Filename, File: file, Line: part.line, verbatim: true})
			}
		}
	}
	lines := map[string]map[string]int{}
	lineOf := func(template, text string) int {
		if _, known := lines[template]; !known {
			lines[template] = places.lines(template, rendered[template])
		}
		return lines[template][text]
	}
	for _, manifest := range manifests {
		response.Documents = append(response.Documents, Document{YAML: manifest.Content, Source: manifest.Name,
			File: places.file(manifest.Name), Line: lineOf(manifest.Name, manifest.Content)})
	}
	for _, hook := range hooks {
		if !settings.SkipTests || !isTest(hook) {
			converted := hookOf(hook, places.file(hook.Path))
			converted.Line = lineOf(hook.Path, hook.Manifest)
			response.Hooks = append(response.Hooks, converted)
		}
	}
	return nil
}

// capabilitiesOf returns .Capabilities.
func capabilitiesOf(settings *HelmSettings) (*common.Capabilities, error) {
	capabilities := common.DefaultCapabilities.Copy()
	if settings.KubeVersion != "" {
		version, err := common.ParseKubeVersion(settings.KubeVersion)
		if err != nil {
			return nil, &Failure{Kind: KindSettings, Message: fmt.Sprintf("kubeVersion %q: %s", settings.KubeVersion, err)}
		}
		capabilities.KubeVersion = *version
	}
	if settings.APIVersionsExact {
		capabilities.APIVersions = nil
	}
	capabilities.APIVersions = append(slices.Clip(capabilities.APIVersions), settings.APIVersions...)
	return capabilities, nil
}

// checkKubeVersion refuses a chart that is made for another Kubernetes.
func checkKubeVersion(loaded *chart.Chart, capabilities *common.Capabilities, source chartSource) error {
	wanted := loaded.Metadata.KubeVersion
	if wanted == "" || chartutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return nil
	}
	return &Failure{Kind: KindVersion, File: source.at("Chart.yaml"), Chart: loaded.Name(),
		Message: fmt.Sprintf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, capabilities.KubeVersion.Version)}
}
