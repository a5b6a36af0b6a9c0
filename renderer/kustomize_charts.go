package main

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
	kubeyaml "sigs.k8s.io/yaml"
)

// pulledChart is what kustomize would pull a chart by.
type pulledChart struct {
	repository, name, version string
	devel                     bool
}

func pulledBy(chart *types.HelmChart) pulledChart {
	return pulledChart{repository: chart.Repo, name: chart.Name, version: chart.Version, devel: chart.Devel}
}

// sought returns the chart that `helm pull` would fetch.
func (p pulledChart) sought() soughtChart {
	sought := soughtChart{repository: p.repository, name: p.name, version: p.version, kind: KindChart}
	if p.devel && p.version == "" {
		sought.version = ">0.0.0-0"
	}
	return sought
}

const chartAdvice = "a chart is rendered where render.kustomize.helmCharts is true, or by a sync of its own (render.helm)"

// namedChart is a chart that a kustomization names.
type namedChart struct {
	types.HelmGlobals
	types.HelmChart
}

// charts checks the charts of a kustomization, and wants those that are not in
// its chartHome.
func (c *kustomizationCheck) charts(file treePath, data []byte, parsed *types.Kustomization, from reached) error {
	old, globals := types.SplitHelmParameters(parsed.HelmChartInflationGenerator)
	if parsed.HelmGlobals != nil {
		globals = *parsed.HelmGlobals
	}
	for _, list := range []struct {
		name   string
		charts []types.HelmChart
	}{{"helmCharts", parsed.HelmCharts}, {"helmChartInflationGenerator", old}} {
		for i := range list.charts {
			field := fmt.Sprintf("%s[%d]", list.name, i)
			place := soughtChart{file: file.show(), line: lineOf(entryNode(data, field)), field: field}
			if place.line == 0 {
				place.line = lineOfKey(string(data), list.name)
			}
			if err := c.chart(&namedChart{globals, list.charts[i]}, place, from.treePath); err != nil {
				return err
			}
		}
	}
	return nil
}

// chartPlugin checks a chart that is named as a generator.
func (c *kustomizationCheck) chartPlugin(file treePath, node *yaml.Node, root treePath) error {
	var named namedChart
	text, err := yaml.Marshal(node)
	if err == nil {
		err = kubeyaml.Unmarshal(text, &named)
	}
	place := soughtChart{file: file.show(), line: node.Line, field: "HelmChartInflationGenerator"}
	if err != nil {
		return place.failuref("%s", err)
	}
	return c.chart(&named, place, root)
}

// chart checks one chart. Its chartHome is relative to root.
func (c *kustomizationCheck) chart(named *namedChart, place soughtChart, root treePath) error {
	if !c.withCharts {
		return &Failure{Kind: KindDisabled, File: place.file, Line: place.line, Message: fmt.Sprintf("%s (%s) is off: %s", place.field, named.Name, chartAdvice)}
	}
	c.mounts.written.add(named.Repo)
	c.mounts.written.add(named.Name)
	home := chartHome(named)
	place.kind = KindOutside
	if path.IsAbs(home) || leavesRoot(path.Join(root.path, home, named.Name)) {
		return place.failuref("the chart %s is looked for in %s, which leaves the repository", withoutCredentials(named.Name), withoutCredentials(path.Join(home, named.Name)))
	}
	if named.Name == "" || root.join(home).join(named.Name).isDirectory() {
		return nil // kustomize refuses a chart without a name
	}
	place.kind = KindKustomize
	if named.Repo == "" {
		return place.failuref("no repo specified for pull, no chart found at '%s'", withoutCredentials(root.join(home).join(named.Name).show()))
	}
	key := pulledBy(&named.HelmChart)
	sought := key.sought()
	sought.file, sought.line, sought.field = place.file, place.line, place.field
	found, err := c.remote().chart(sought)
	if errors.Is(err, errWanted) {
		c.wanted = true
		return nil
	}
	if err != nil {
		return err
	}
	c.mounts.charts[key] = found
	return nil
}

// chartHome is the directory that kustomize looks for a chart in (absChartHome of
// its HelmChartInflationGenerator), relative to the kustomization.
func chartHome(named *namedChart) string {
	home := named.ChartHome
	if home == "" {
		home = types.HelmDefaultHome
	}
	if named.Version != "" && named.Repo != "" {
		return path.Join(home, strings.Join([]string{named.Name, named.Version}, "-"))
	}
	return path.Clean(home)
}
