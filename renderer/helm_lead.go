package main

import (
	"cmp"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// leadStep is the execution of a template by the one that leads.
type leadStep struct {
	Name     string
	basePath string
	values   map[string]any
}

// Values returns what the template sees. It is called right before the template
// is executed: templates of a chart share a map, which says which of them it is.
func (s *leadStep) Values() common.Values {
	s.values["Template"] = common.Values{"Name": s.Name, "BasePath": s.basePath}
	return s.values
}

// addLead adds the template that leads, and returns its name: the engine executes
// first what lies in the most directories.
func (c *chartCopy) addLead() string {
	depth := 0
	next := []*chart.Chart{c.chart}
	for len(next) > 0 {
		current := next[0]
		next = append(next[1:], current.Dependencies()...)
		for _, template := range current.Templates {
			depth = max(depth, strings.Count(chartPath(current, template.Name), "/"))
		}
	}
	name := strings.Repeat("lead/", depth+1) + "lead.yaml"
	c.chart.Templates = append(slices.Clip(c.chart.Templates), &common.File{Name: name, Data: []byte(leadText)})
	return chartPath(c.chart, name)
}

// steps returns the templates in the order in which the engine executes them, with
// copies of what they see. root is what those of the chart itself see.
func (c *chartCopy) steps(root common.Values, lead string) ([]*leadStep, error) {
	values := copier{}.table(root)
	delete(values, "Template")
	byName := map[string]*leadStep{}
	if err := addSteps(c.chart, values, c.capabilities.Copy(), byName); err != nil {
		return nil, err
	}
	delete(byName, lead)
	return slices.SortedFunc(maps.Values(byName), func(a, b *leadStep) int {
		return -cmp.Or(cmp.Compare(strings.Count(a.Name, "/"), strings.Count(b.Name, "/")), strings.Compare(a.Name, b.Name))
	}), nil
}

// addSteps adds the templates of a chart and its dependencies that the engine
// executes, as its functions recAllTpls and render do.
func addSteps(at *chart.Chart, values map[string]any, capabilities *common.Capabilities, steps map[string]*leadStep) error {
	values["Capabilities"] = capabilities
	below, _ := values["Subcharts"].(map[string]any)
	if len(below) != len(at.Dependencies()) {
		return errors.New("dependencies share a name")
	}
	for _, dependency := range at.Dependencies() {
		inner, _ := below[dependency.Name()].(map[string]any)
		if err := addSteps(dependency, inner, capabilities, steps); err != nil {
			return err
		}
	}
	if strings.EqualFold(at.Metadata.Type, "library") {
		return nil // it has partials alone
	}
	for _, template := range at.Templates {
		if !strings.HasPrefix(path.Base(template.Name), "_") {
			name := chartPath(at, template.Name)
			steps[name] = &leadStep{Name: name, basePath: chartPath(at, "templates"), values: values}
		}
	}
	return nil
}
