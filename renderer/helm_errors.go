package main

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// chartPlaces maps Helm's names of templates and CRDs to the tree.
type chartPlaces struct {
	origins map[string]chartOrigin
	sources map[string][]byte // of the templates that are files in the tree
	charts  map[string]string // names of charts by the paths that Helm gives them
}

// placesOf returns the places of a chart after its dependencies were processed:
// a dependency with an alias has another path then, and may be there twice.
func placesOf(root *chart.Chart, files *chartFiles) *chartPlaces {
	places := &chartPlaces{origins: map[string]chartOrigin{}, sources: map[string][]byte{}, charts: map[string]string{}}
	next := []*chart.Chart{root}
	for len(next) > 0 {
		current := next[0]
		next = append(next[1:], current.Dependencies()...)
		places.charts[current.ChartFullPath()] = current.Name()
		for _, template := range current.Templates {
			if origin, found := files.originOf(template.Data); found {
				name := chartPath(current, template.Name)
				places.origins[name] = origin
				if origin.inside == "" {
					places.sources[name] = template.Data
				}
			}
		}
		for _, file := range current.Files {
			if origin, found := files.originOf(file.Data); found && strings.HasPrefix(file.Name, "crds/") {
				places.origins[chartPath(current, file.Name)] = origin
			}
		}
	}
	return places
}

// file returns the file in the tree of a template: the archive, for one of a
// packed dependency.
func (p *chartPlaces) file(name string) string {
	return p.origins[name].file
}

// lines returns where the documents of rendered templates start, by their texts,
// as far as that is certain.
func (p *chartPlaces) lines(rendered map[string]string) map[string]map[string]int {
	lines := map[string]map[string]int{}
	for name, text := range rendered {
		if source, found := p.sources[name]; found {
			lines[name] = templateLines(string(source), text)
		}
	}
	return lines
}

// chart returns the name of the chart that a template belongs to.
func (p *chartPlaces) chart(name string) string {
	for directory := path.Dir(name); directory != "." && directory != "/"; directory = path.Dir(directory) {
		if chart, found := p.charts[directory]; found {
			return chart
		}
	}
	return ""
}

var (
	// "parse error at (chart/templates/x.yaml:3): ..." and
	// "execution error at (chart/templates/x.yaml:3:5): ..."
	parenthesised = regexp.MustCompile(`^(?:parse|execution) error (?:at|in) \(([^()]+?)(?::(\d+))?(?::(\d+))?\):? ?`)
	// A line of its own per template that was passed: "chart/templates/x.yaml:3:5"
	location = regexp.MustCompile(`(?m)^(\S+?):(\d+)(?::(\d+))?$`)
	// "executing "name" at <.Values.a.b>:"
	valuesUse = regexp.MustCompile(`at <[^>]*?\.Values\.([A-Za-z0-9_.]+)`)
	// "YAML parse error on chart/templates/x.yaml: ..."
	notYAML = regexp.MustCompile(`^YAML parse error on (\S+): `)
	// The path of another template may stand in a message in the end.
	templateWithin = regexp.MustCompile(`template: (\S+?):(\d+)(?::(\d+))?:`)
)

// templateFailure places an error of the engine. It lists the templates from the
// outermost in: the first is what was rendered, the last is where it failed.
func templateFailure(places *chartPlaces, err error) *Failure {
	message := err.Error()
	failure := &Failure{Kind: KindTemplate, Message: message}
	var outer, inner []string
	if found := parenthesised.FindStringSubmatch(message); found != nil {
		outer, inner = found, found
		failure.Message = strings.TrimPrefix(message, found[0])
	} else {
		all := append(location.FindAllStringSubmatch(message, -1), templateWithin.FindAllStringSubmatch(message, -1)...)
		// What tpl executes has the name of no file.
		all = slices.DeleteFunc(all, func(found []string) bool { return places.chart(found[1]) == "" })
		if len(all) > 0 {
			outer, inner = all[0], all[len(all)-1]
		}
	}
	if inner != nil {
		failure.Template = outer[1]
		failure.Chart = places.chart(inner[1])
		failure.Line, failure.Column = number(inner[2]), number(inner[3])
		failure.File = places.file(inner[1])
		if origin := places.origins[inner[1]]; origin.inside != "" {
			failure.Message += " (in " + origin.inside + " of the archive)"
		}
	}
	if all := valuesUse.FindAllStringSubmatch(message, -1); len(all) > 0 {
		failure.ValuesKey = strings.TrimSuffix(all[len(all)-1][1], ".")
	}
	return failure
}

// manifestFailure places the error that a rendered template is not YAML. The
// line that it names is one of the output, not of the template.
func manifestFailure(places *chartPlaces, err error) *Failure {
	failure := &Failure{Kind: KindYAML, Message: err.Error()}
	if found := notYAML.FindStringSubmatch(err.Error()); found != nil {
		failure.Template = found[1]
		failure.File = places.file(found[1])
		failure.Chart = places.chart(found[1])
	}
	return failure
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return value
}
