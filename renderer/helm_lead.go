package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// lead is a template that the engine executes before all others, and that executes
// them. Nothing in a chart can name it or its function.
type lead struct {
	name     string
	function string
	chart    *chart.Chart // with the template
	original *chart.Chart
	rendered map[string]string
	onEnd    func()

	started, ended bool
}

// newLead adds the template to a chart. It puts what it renders into the map, and
// calls onEnd when that is all.
func newLead(original *chart.Chart, rendered map[string]string, onEnd func()) *lead {
	// The engine begins with what lies in the most directories.
	depth := 0
	next := []*chart.Chart{original}
	for len(next) > 0 {
		current := next[0]
		next = append(next[1:], current.Dependencies()...)
		for _, template := range current.Templates {
			depth = max(depth, strings.Count(chartPath(current, template.Name), "/"))
		}
	}
	function := "lead" + rand.Text()
	file := strings.Repeat(function+"/", depth+1) + "lead.yaml"
	text := "{{ $lead := " + function + " . }}{{ range $lead.Steps }}{{ $lead.Keep .Name (include .Name .Values) }}{{ end }}{{ $lead.End }}"
	with := *original
	with.Templates = append(slices.Clip(original.Templates), &common.File{Name: file, Data: []byte(text)})
	return &lead{name: chartPath(original, file), function: function, chart: &with, original: original, rendered: rendered, onEnd: onEnd}
}

// leadCall is what the function of the template returns.
type leadCall struct {
	lead  *lead
	Steps []*leadStep
}

// leadStep is the execution of a template.
type leadStep struct {
	Name     string
	basePath string
	values   map[string]any
}

// begin is the function. root is what the templates of the chart itself see.
func (l *lead) begin(root common.Values) (*leadCall, error) {
	l.started = true
	values := copier{}.table(root)
	delete(values, "Template")
	capabilities, _ := values["Capabilities"].(*common.Capabilities)
	byName := map[string]*leadStep{}
	if err := addSteps(l.original, values, capabilities.Copy(), byName); err != nil {
		return nil, err
	}
	return &leadCall{lead: l, Steps: slices.SortedFunc(maps.Values(byName), func(a, b *leadStep) int {
		return -cmp.Or(cmp.Compare(strings.Count(a.Name, "/"), strings.Count(b.Name, "/")), strings.Compare(a.Name, b.Name))
	})}, nil
}

// addSteps adds the templates of a chart and its dependencies that the engine
// executes, with what they see, as its functions recAllTpls and render do.
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

// Values returns what the template sees. It is called right before the template
// is executed: those of a chart share a map, which says which of them it is.
func (s *leadStep) Values() common.Values {
	s.values["Template"] = common.Values{"Name": s.Name, "BasePath": s.basePath}
	return s.values
}

// Keep keeps what a template rendered, as the engine does.
func (c *leadCall) Keep(name, text string) string {
	c.lead.rendered[name] = strings.ReplaceAll(text, "<no value>", "")
	return ""
}

// End says that all templates are rendered.
func (c *leadCall) End() string {
	c.lead.ended = true
	c.lead.onEnd()
	return ""
}
