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

// loadChart loads a chart out of the tree and checks what `helm template` checks
// before it renders.
func loadChart(record *Record, name string) (*chart.Chart, *chartFiles, error) {
	files, err := chartFilesIn(record, name)
	if err != nil {
		return nil, nil, err
	}
	if err := checkChartVersion(files, name); err != nil {
		return nil, nil, err
	}
	loaded, err := loader.LoadFiles(files.files)
	if err != nil {
		return nil, nil, chartFailure(record, name, err)
	}
	orderDependencies(loaded)
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return nil, nil, &Failure{Kind: KindChart, File: path.Join(name, "Chart.yaml"), Chart: loaded.Name(),
			Message: fmt.Sprintf("%s charts are not installable", kind)}
	}
	return loaded, files, checkVendored(loaded, name)
}

// checkChartVersion refuses the charts that only a later loader understands.
func checkChartVersion(files *chartFiles, name string) error {
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
		return failuref(KindChart, path.Join(name, "Chart.yaml"), "apiVersion %q of charts is not supported", head.APIVersion)
	}
	return failuref(KindChart, name, "Chart.yaml file is missing")
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

// checkVendored refuses a chart whose Chart.yaml names dependencies that are not
// in charts/: nothing is fetched here.
func checkVendored(loaded *chart.Chart, name string) error {
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
	return &Failure{Kind: KindDependency, File: path.Join(name, "Chart.yaml"), Chart: loaded.Name(),
		Message: fmt.Sprintf("found in Chart.yaml, but missing in charts/ directory: %s; run `helm dependency build` and commit what it puts into charts/",
			strings.Join(missing, ", "))}
}

var (
	brokenFile     = regexp.MustCompile(`cannot load (Chart\.yaml|Chart\.lock|values\.yaml|requirements\.yaml|requirements\.lock)`)
	brokenSubchart = regexp.MustCompile(`error unpacking subchart (?:tar in )?(\S+) in \S+:`)
)

// chartFailure places an error of the loader.
func chartFailure(record *Record, name string, err error) error {
	var known *Failure
	if errors.As(err, &known) {
		return known
	}
	message := strings.ReplaceAll(err.Error(), unpacked, "")
	failure := &Failure{Kind: KindChart, File: name, Message: message, Line: yamlErrorLine(message)}
	for _, found := range brokenSubchart.FindAllStringSubmatch(message, -1) {
		failure.File = path.Join(failure.File, "charts", found[1])
		failure.Chart = strings.TrimSuffix(found[1], ".tgz")
	}
	if record.isFile(failure.File) {
		failure.Line = 0 // the line is one inside of an archive
		return failure
	}
	if found := brokenFile.FindStringSubmatch(message); found != nil {
		failure.File = path.Join(failure.File, found[1])
	} else if strings.HasPrefix(message, "validation:") || strings.Contains(message, ": validation:") {
		failure.File = path.Join(failure.File, "Chart.yaml")
	}
	return failure
}
