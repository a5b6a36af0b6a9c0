package main

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"sigs.k8s.io/yaml"
)

// chartSource is where a chart is.
type chartSource struct {
	name string // of a directory or archive in the tree, or the URL of an archive
	// directory says that its files are files in the tree.
	directory bool
}

// at returns where a file of the chart is: in an archive, that is the archive.
func (s chartSource) at(file string) string {
	if s.directory {
		return path.Join(s.name, file)
	}
	return s.name
}

// loadChart loads a chart and checks what `helm template` checks before it
// renders.
func loadChart(record *Record, settings *HelmSettings) (*chart.Chart, *chartFiles, error) {
	files, err := chartFilesOf(record, settings)
	if err != nil {
		return nil, nil, err
	}
	loaded, err := files.load()
	if err != nil {
		return nil, nil, err
	}
	if err := addDependencies(record, loaded, files); err != nil {
		return nil, nil, err
	}
	return loaded, files, checkLoaded(loaded, files.source)
}

// checkLoaded checks what Helm checks before it renders a chart.
func checkLoaded(loaded *chart.Chart, source chartSource) error {
	orderDependencies(loaded)
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return &Failure{Kind: KindChart, File: source.at("Chart.yaml"), Chart: loaded.Name(),
			Message: fmt.Sprintf("%s charts are not installable", kind)}
	}
	return checkVendored(loaded, source)
}

// chartFilesOf reads the chart of a request.
func chartFilesOf(record *Record, settings *HelmSettings) (*chartFiles, error) {
	if settings.Repository == "" {
		if settings.Version != "" {
			return nil, &Failure{Kind: KindSettings, Message: "helm.version is for a chart of helm.repository"}
		}
		name, err := cleanPath(settings.Chart)
		if err != nil {
			return nil, err
		}
		return chartFilesIn(record, name)
	}
	found, err := record.remote.chart(soughtChart{repository: settings.Repository, name: settings.Chart, version: settings.Version, kind: KindChart})
	if err != nil {
		return nil, err
	}
	files := newChartFiles(chartSource{name: found.url})
	return files, files.readFetched(found)
}

// load passes the files to Helm's loader.
func (c *chartFiles) load() (*chart.Chart, error) {
	if err := checkChartVersion(c); err != nil {
		return nil, err
	}
	loaded, err := loader.LoadFiles(c.files)
	if err != nil {
		return nil, chartFailure(c.source, err)
	}
	if found := c.found; found != nil {
		return loaded, found.check(loaded)
	}
	return loaded, nil
}

// checkChartVersion refuses the charts that only a later loader understands.
func checkChartVersion(files *chartFiles) error {
	for _, file := range files.files {
		if file.Name != "Chart.yaml" {
			continue
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
		}
		if err := yaml.Unmarshal(file.Data, &head); err != nil {
			return nil //nolint:nilerr // the loader reports it
		}
		switch head.APIVersion {
		case "", chart.APIVersionV1, chart.APIVersionV2:
			return nil
		}
		return failuref(KindChart, files.source.at("Chart.yaml"), "apiVersion %q of charts is not supported", head.APIVersion)
	}
	return failuref(KindChart, files.source.name, "Chart.yaml file is missing")
}

// orderDependencies sorts dependencies by name, which the loader leaves in the
// order of a map. Those that Chart.yaml names are put in its order later on.
func orderDependencies(root *chart.Chart) {
	next := []*chart.Chart{root}
	for len(next) > 0 {
		current := next[0]
		next = next[1:]
		dependencies := slices.Clone(current.Dependencies())
		slices.SortStableFunc(dependencies, func(a, b *chart.Chart) int {
			return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.Metadata.Version, b.Metadata.Version))
		})
		current.SetDependencies(dependencies...)
		next = append(next, dependencies...)
	}
}

// checkVendored refuses a chart whose Chart.yaml names dependencies that it does
// not have, as `helm template` does.
func checkVendored(loaded *chart.Chart, source chartSource) error {
	var missing []string
	for _, wanted := range loaded.Metadata.Dependencies {
		found := slices.ContainsFunc(loaded.Dependencies(), func(c *chart.Chart) bool { return c.Name() == wanted.Name })
		if !found {
			missing = append(missing, wanted.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	advice := "run `helm dependency build` and commit what it puts into charts/"
	if !source.directory {
		advice = "the archive has to be packed with them"
	}
	return &Failure{Kind: KindDependency, File: source.at("Chart.yaml"), Chart: loaded.Name(),
		Message: fmt.Sprintf("found in Chart.yaml, but missing in charts/ directory: %s; %s", strings.Join(missing, ", "), advice)}
}

var (
	brokenFile     = regexp.MustCompile(`cannot load (Chart\.yaml|Chart\.lock|values\.yaml|requirements\.yaml|requirements\.lock)`)
	brokenSubchart = regexp.MustCompile(`error unpacking subchart (?:tar in )?(\S+) in \S+:`)
)

// chartFailure places an error of the loader.
func chartFailure(source chartSource, err error) error {
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	message := strings.ReplaceAll(err.Error(), unpacked, "")
	failure := &Failure{Kind: KindChart, File: source.name, Message: message}
	if !source.directory {
		return failure // a line would be one inside of the archive
	}
	failure.Line = yamlErrorLine(message)
	for _, found := range brokenSubchart.FindAllStringSubmatch(message, -1) {
		failure.File = path.Join(failure.File, "charts", found[1])
		failure.Chart = strings.TrimSuffix(found[1], ".tgz")
	}
	if strings.HasSuffix(failure.File, ".tgz") {
		failure.Line = 0
		return failure
	}
	if found := brokenFile.FindStringSubmatch(message); found != nil {
		failure.File = path.Join(failure.File, found[1])
	} else if strings.HasPrefix(message, "validation:") || strings.Contains(message, ": validation:") {
		failure.File = path.Join(failure.File, "Chart.yaml")
	}
	return failure
}
