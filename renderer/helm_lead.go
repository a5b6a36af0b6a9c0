package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// lead is a template that the engine executes before all others, and that executes
// them, once or several times. Nothing in a chart can name it or its function.
type lead struct {
	name     string
	function string
	chart    *chart.Chart // with the template
	original *chart.Chart
	// onTurn takes what all templates rendered, and returns whether they are
	// executed again.
	onTurn func(rendered map[string]string) bool

	started, ended bool
}

// newLead adds the template to a chart.
func newLead(original *chart.Chart, onTurn func(rendered map[string]string) bool) *lead {
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
	text := "{{ range $turn := (" + function + " .).Turns }}{{ range $turn.Steps }}{{ $turn.Keep .Name (include .Name .Values) }}{{ end }}{{ end }}"
	with := *original
	with.Templates = append(slices.Clip(original.Templates), &common.File{Name: file, Data: []byte(text)})
	return &lead{name: chartPath(original, file), function: function, chart: &with, original: original, onTurn: onTurn}
}

// leadCall is what the function of the template returns. The root is what the
// templates of the chart itself see.
type leadCall struct {
	lead *lead
	root common.Values
}

// leadTurn is one execution of all templates.
type leadTurn struct {
	*leadCall
	rendered map[string]string
}

// leadStep is the execution of a template.
type leadStep struct {
	Name     string
	basePath string
	values   map[string]any
}

// begin is the function.
func (l *lead) begin(root common.Values) *leadCall {
	l.started = true
	return &leadCall{lead: l, root: root}
}

// Turns returns the executions, as long as there is another one.
func (c *leadCall) Turns() iter.Seq[*leadTurn] {
	return func(yield func(*leadTurn) bool) {
		for more := true; more; {
			turn := &leadTurn{leadCall: c, rendered: map[string]string{}}
			if !yield(turn) {
				return
			}
			more = c.lead.onTurn(turn.rendered)
		}
		c.lead.ended = true
	}
}

// Steps returns the executions of the templates, with copies of what they see.
func (t *leadTurn) Steps() ([]*leadStep, error) {
	values := copier{}.table(t.root)
	delete(values, "Template")
	capabilities, _ := values["Capabilities"].(*common.Capabilities)
	byName := map[string]*leadStep{}
	if err := addSteps(t.lead.original, values, capabilities.Copy(), byName); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *leadStep) int {
		return -cmp.Or(cmp.Compare(strings.Count(a.Name, "/"), strings.Count(b.Name, "/")), strings.Compare(a.Name, b.Name))
	}), nil
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
func (t *leadTurn) Keep(name, text string) string {
	t.rendered[name] = strings.ReplaceAll(text, "<no value>", "")
	return ""
}
