package main

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	_ "unsafe" // for go:linkname

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/errors"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/kustomize/kyaml/yaml/merge2"
	"sigs.k8s.io/yaml"
)

// kustomize renders charts by its generator HelmChartInflationGenerator, which
// runs the program helm. It is replaced by one that does the same with Helm's
// libraries, so that all else is kustomize's own: the order, conflicts, the
// namespace of overlays and origins. There is no official way to replace it.

// builtinPluginType and generatorFactories are those of kustomize's package
// api/internal/plugins/builtinhelpers, which no other module may import. The
// tests of charts fail where a version of kustomize has them no more.
type builtinPluginType int

//go:linkname generatorFactories sigs.k8s.io/kustomize/api/internal/plugins/builtinhelpers.GeneratorFactories
var generatorFactories map[builtinPluginType]func() resmap.GeneratorPlugin

// inflationGenerator is HelmChartInflationGenerator among the types of plugins.
const inflationGenerator builtinPluginType = 17

// inflateCharts makes kustomize render charts out of the mounts, or refuse them.
func inflateCharts(mounts *mounts, withCharts bool) {
	generatorFactories[inflationGenerator] = func() resmap.GeneratorPlugin {
		return &inflator{mounts: mounts, withCharts: withCharts}
	}
}

// inflator is kustomize's HelmChartInflationGeneratorPlugin without processes and
// files.
type inflator struct {
	mounts     *mounts
	withCharts bool // charts are rendered
	helpers    *resmap.PluginHelpers
	named      namedChart
	home       string     // as kustomize sees it
	pulled     *chartTree // of a chart that is not there
	more       [][]byte   // the additional values files
}

// Config implements resmap.Configurable.
func (p *inflator) Config(helpers *resmap.PluginHelpers, config []byte) error {
	p.helpers = helpers
	if err := yaml.Unmarshal(config, &p.named); err != nil {
		return p.fail(err)
	}
	if !p.withCharts {
		return p.fail(&Failure{Kind: KindDisabled, Message: "it is off: " + chartAdvice})
	}
	return p.fail(p.validate())
}

// validate does what validateArgs does.
func (p *inflator) validate() error {
	named := &p.named
	switch {
	case named.Name == "":
		return errors.Errorf("chart name cannot be empty")
	case strings.HasPrefix(named.ReleaseName, "-"):
		return errors.Errorf("releaseName must not start with '-', got %q", named.ReleaseName)
	case strings.HasPrefix(named.Name, "-"):
		return errors.Errorf("chart name must not start with '-', got %q", named.Name)
	}
	p.home = filepath.Join(p.helpers.Loader().Root(), chartHome(named))
	if named.ValuesFile == "" {
		named.ValuesFile = filepath.Join(p.home, named.Name, "values.yaml")
	}
	for _, file := range named.AdditionalValuesFiles {
		data, err := p.helpers.Loader().Load(file)
		if err != nil {
			return errors.WrapPrefixf(err, "could not load additionalValuesFile")
		}
		p.more = append(p.more, data)
	}
	if named.ValuesMerge == "" {
		named.ValuesMerge = mergeOverride
	}
	if !slices.Contains(mergeOptions, named.ValuesMerge) {
		return errors.Errorf("valuesMerge must be one of %v", mergeOptions)
	}
	return nil
}

// Ways of merging valuesInline.
const (
	mergeMerge    = "merge"
	mergeOverride = "override"
	mergeReplace  = "replace"
)

var mergeOptions = []string{mergeMerge, mergeOverride, mergeReplace}

// Generate implements resmap.Generator.
func (p *inflator) Generate() (resmap.ResMap, error) {
	output, err := p.render()
	if err != nil {
		return nil, p.fail(err)
	}
	resources, err := p.resources([]byte(output))
	if err != nil {
		return nil, p.fail(err)
	}
	for _, resource := range resources.Resources() {
		if err := resource.PipeE(kyaml.SetAnnotation(konfig.HelmGeneratedAnnotation, "true")); err != nil {
			return nil, errors.WrapPrefixf(err, "failed to set helm annotation")
		}
	}
	return resources, nil
}

// resources reads what Helm printed, as Generate of kustomize does.
func (p *inflator) resources(output []byte) (resmap.ResMap, error) {
	resources, mapErr := p.helpers.ResmapFactory().NewResMapFromBytes(output)
	if mapErr == nil {
		return resources, nil
	}
	nodes, err := (&kio.ByteReader{Reader: strings.NewReader(string(output)), OmitReaderAnnotations: true}).Read()
	if err != nil {
		return nil, errors.WrapPrefixf(err, "error reading helm output")
	}
	if len(nodes) == 0 {
		return nil, errors.WrapPrefixf(mapErr, "could not parse bytes into resource map")
	}
	if resources, err = p.helpers.ResmapFactory().NewResMapFromRNodeSlice(nodes); err != nil {
		return nil, errors.WrapPrefixf(err, "could not parse rnode slice into resource map")
	}
	return resources, nil
}

// render does what `helm template` does, and returns what it prints.
func (p *inflator) render() (string, error) {
	root, _ := p.mounts.locate(p.helpers.Loader().Root())
	loaded, files, err := p.load(root)
	if err != nil {
		return "", err
	}
	values, err := p.values()
	if err != nil {
		return "", err
	}
	named := &p.named
	settings := &HelmSettings{ReleaseName: named.ReleaseName, Namespace: named.Namespace, IncludeCRDs: named.IncludeCRDs, SkipTests: named.SkipTests, KubeVersion: named.KubeVersion}
	for _, versions := range named.ApiVersions {
		settings.APIVersions = append(settings.APIVersions, strings.Split(versions, ",")...)
	}
	if named.NameTemplate != "" {
		if named.ReleaseName != "" {
			return "", errors.Errorf("cannot set --name-template and also specify a name")
		}
		if settings.ReleaseName, err = templateName(named.NameTemplate); err != nil {
			return "", err
		}
	}
	if err := settings.complete(); err != nil {
		return "", err
	}
	capabilities, err := capabilitiesOf(settings)
	if err != nil {
		return "", err
	}
	// Without a cluster, lookup finds nothing.
	made := newResponse()
	prepared := &preparedChart{settings: settings, chart: loaded, files: files, capabilities: capabilities}
	if err := prepared.render(values, &Request{}, &helmState{}, made); err != nil {
		return "", err
	}
	if named.SkipHooks {
		made.Hooks = nil
	}
	p.declare(root, made)
	return printed(made), nil
}

// load loads the chart: that in chartHome, or else the one that was fetched,
// which `helm pull --untar` would have put there.
func (p *inflator) load(root treePath) (*chart.Chart, *chartFiles, error) {
	at, found := p.mounts.locate(filepath.Join(p.home, p.named.Name))
	if !found {
		return nil, nil, errors.Errorf("the chart %s is outside of the repository", p.named.Name)
	}
	if !at.isDirectory() {
		archive, there := p.mounts.charts[pulledBy(&p.named.HelmChart)]
		if !there {
			return nil, nil, errors.Errorf("no repo specified for pull, no chart found at '%s'", at.show())
		}
		tree, err := untarred(archive)
		if err != nil {
			return nil, nil, err
		}
		p.pulled = tree
		return tree.load(archive)
	}
	files, err := chartFilesIn(root.mount.record, at.path)
	if err != nil {
		return nil, nil, err
	}
	loaded, err := files.load()
	if err != nil {
		return nil, nil, err
	}
	return loaded, files, checkLoaded(loaded, files.source)
}

// values merges the values that kustomize passes to Helm.
func (p *inflator) values() (map[string]any, error) {
	first, err := p.firstValues()
	if err != nil {
		return nil, err
	}
	merged := map[string]any{}
	for i, data := range append([][]byte{first}, p.more...) {
		values, err := loader.LoadValues(strings.NewReader(string(data)))
		if err != nil {
			name := p.named.ValuesFile
			if i > 0 {
				name = p.named.AdditionalValuesFiles[i-1]
			}
			return nil, errors.WrapPrefixf(err, "failed to parse %s", name)
		}
		merged = loader.MergeMaps(merged, values)
	}
	return merged, nil
}

// firstValues returns the values file, with valuesInline merged into it as
// createNewMergedValuesFile of kustomize does.
func (p *inflator) firstValues() ([]byte, error) {
	named := &p.named
	if len(named.ValuesInline) == 0 {
		return p.valuesFile()
	}
	if named.ValuesMerge == mergeReplace {
		return yaml.Marshal(named.ValuesInline)
	}
	data, err := p.valuesFile()
	if err != nil {
		return nil, err
	}
	ofChart, err := kyaml.Parse(string(data))
	if err != nil {
		return nil, errors.WrapPrefixf(err, "could not parse values file into rnode")
	}
	inline, err := kyaml.FromMap(named.ValuesInline)
	if err != nil {
		return nil, errors.WrapPrefixf(err, "could not parse values inline into rnode")
	}
	var merged *kyaml.RNode
	if named.ValuesMerge == mergeOverride {
		merged, err = merge2.Merge(inline, ofChart.Copy(), kyaml.MergeOptions{})
	} else {
		merged, err = merge2.Merge(ofChart, inline.Copy(), kyaml.MergeOptions{})
	}
	if err != nil {
		return nil, errors.WrapPrefixf(err, "could not merge values")
	}
	values, err := merged.Map()
	if err != nil {
		return nil, errors.WrapPrefixf(err, "could not parse merged values into map")
	}
	return yaml.Marshal(values)
}

// valuesFile reads the values file, which may be one of a chart that was fetched.
func (p *inflator) valuesFile() ([]byte, error) {
	if p.pulled != nil {
		name := p.named.ValuesFile
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.helpers.Loader().Root(), name)
		}
		if relative, found := below(path.Join(p.home, p.named.Name), name); found {
			return p.pulled.file(relative)
		}
	}
	return p.helpers.Loader().Load(p.named.ValuesFile)
}

// declare notes where the objects of a chart come from.
func (p *inflator) declare(root treePath, made *Response) {
	for _, document := range slices.Concat(made.Documents, documentsOf(made.Hooks)) {
		object, ok := declaredBy(part{text: document.YAML})
		if !ok {
			continue
		}
		object.file, object.line = document.File, document.Line
		if p.pulled == nil && root.mount.spec != nil {
			object.file, object.line = root.mount.show(document.File), 0
		}
		p.mounts.inflated = append(p.mounts.inflated, object)
	}
}

// fail keeps the first error with its place, which kustomize would drop.
func (p *inflator) fail(err error) error {
	if err == nil || p.mounts.failed != nil {
		return err
	}
	root, _ := p.mounts.locate(p.helpers.Loader().Root())
	failure := &Failure{Kind: KindKustomize}
	var known *Failure
	if errors.As(err, &known) {
		*failure = *known
		if root.mount.spec != nil && p.pulled == nil && failure.File != "" {
			failure.File = root.mount.show(failure.File)
		}
	} else {
		failure.Message = p.mounts.showPaths(err.Error())
	}
	if failure.File == "" {
		failure.File = kustomizationIn(root).show()
		failure.Line = 0
	}
	if failure.Chart == "" {
		failure.Chart = p.named.Name
	}
	failure.Message = fmt.Sprintf("helmCharts (%s): %s", p.named.Name, failure.Message)
	p.mounts.failed = failure
	return failure
}
