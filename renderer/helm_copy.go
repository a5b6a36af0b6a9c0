package main

import (
	"reflect"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// chartCopy is a copy of everything in a chart and its values that a template can
// write into.
type chartCopy struct {
	chart        *chart.Chart
	capabilities *common.Capabilities
	input        common.Values
}

func (p *preparedChart) copy() *chartCopy {
	copies := copier{}
	input := common.Values{}
	for key, value := range p.input {
		input[key] = copies.of(value)
	}
	capabilities := p.capabilities.Copy()
	input["Capabilities"] = capabilities
	return &chartCopy{chart: copies.chart(p.chart), capabilities: capabilities, input: input}
}

// copier copies values. A map that is there twice is so in the copy, too: what is
// written into it by one of its names is seen by the other.
type copier map[uintptr]map[string]any

func (c copier) of(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return c.table(value)
	case common.Values:
		return common.Values(c.table(value))
	case []any:
		if value == nil {
			return value
		}
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = c.of(item)
		}
		return list
	}
	return value
}

func (c copier) table(table map[string]any) map[string]any {
	if table == nil {
		return nil
	}
	identity := reflect.ValueOf(table).Pointer()
	if copied, found := c[identity]; found {
		return copied
	}
	copied := make(map[string]any, len(table))
	c[identity] = copied
	for key, value := range table {
		copied[key] = c.of(value)
	}
	return copied
}

// chart copies a chart. Of its metadata, templates see the maps in importValues
// as they are, and copies of the rest.
func (c copier) chart(original *chart.Chart) *chart.Chart {
	copied := *original
	metadata := *original.Metadata
	metadata.Dependencies = nil
	for _, dependency := range original.Metadata.Dependencies {
		dependency := *dependency
		dependency.ImportValues, _ = c.of(dependency.ImportValues).([]any)
		metadata.Dependencies = append(metadata.Dependencies, &dependency)
	}
	copied.Metadata = &metadata
	var dependencies []*chart.Chart
	for _, dependency := range original.Dependencies() {
		dependencies = append(dependencies, c.chart(dependency))
	}
	copied.SetDependencies(dependencies...)
	return &copied
}
