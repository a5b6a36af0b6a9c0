package main

import (
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
)

// helmState is what the first render of a chart leaves for the second.
type helmState struct {
	chart       *preparedChart
	renders     renders
	definitions *definitions
	// documents and hooks are those of the first render, before post.
	documents []Document
	hooks     []Hook
	// posted is what was done to them then.
	posted *postRun
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
	state.chart = &preparedChart{settings: &settings, chart: loaded, files: files, capabilities: capabilities, lastKeyWins: true}
	return state.chart.render(values, request, state, response)
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

// preparedChart is a chart with what its templates see.
type preparedChart struct {
	settings     *HelmSettings
	chart        *chart.Chart
	files        *chartFiles
	capabilities *common.Capabilities
	// lastKeyWins says that a key which is given twice is taken out but for the
	// last time, as `helm install` reads it, where `helm template` prints both.
	lastKeyWins bool

	input  common.Values // of the engine
	places *chartPlaces
}

// render renders the chart. The engine runs beside all that does not need its
// output, and the response is the same whichever ends first.
func (p *preparedChart) render(values map[string]any, request *Request, state *helmState, response *Response) error {
	if p.chart.Metadata.Deprecated {
		response.Warnings = append(response.Warnings, fmt.Sprintf("chart %s is deprecated", p.chart.Name()))
	}
	if err := chartutil.ProcessDependencies(p.chart, values); err != nil {
		return &Failure{Kind: KindValues, File: p.files.source.at("Chart.yaml"), Chart: p.chart.Name(),
			Message: "chart dependencies processing failed: " + err.Error()}
	}
	input, err := util.ToRenderValuesWithSchemaValidation(p.chart, values, common.ReleaseOptions{
		Name: p.settings.ReleaseName, Namespace: p.settings.Namespace, Revision: 1,
		IsInstall: !p.settings.IsUpgrade, IsUpgrade: p.settings.IsUpgrade,
	}, p.capabilities, true)
	if err != nil {
		return &Failure{Kind: KindValues, Chart: p.chart.Name(), Message: err.Error()}
	}
	p.input = input
	state.renders = p.start(request.Lookups, request.Twice)
	coalesced, _ := input["Values"].(common.Values)
	if err := validateSchemas(p.chart, coalesced.AsMap(), p.files); err != nil {
		return err
	}
	if err := checkKubeVersion(p.chart, p.capabilities, p.files.source); err != nil {
		return err
	}
	p.places = placesOf(p.chart, p.files)
	state.definitions = p.definitions()
	if state.definitions.err == nil {
		response.sendEarly(state.definitions.documents)
	}

	first := state.renders.first()
	response.Lookups = first.lookups.asked
	if first.err != nil {
		return templateFailure(p.places, first.err)
	}
	err = p.addDocuments(first.rendered, state.definitions, response)
	state.documents, state.hooks = response.Documents, response.Hooks
	return err
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
