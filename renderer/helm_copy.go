package main

import (
	"reflect"

	"helm.sh/helm/v4/pkg/chart/common"
)

// seenCopy returns a copy of what templates see, which they can write into.
func (p *preparedChart) seenCopy() common.Values {
	copies := copier{}
	seen := common.Values{}
	for key, value := range p.input {
		seen[key] = copies.of(value)
	}
	seen["Capabilities"] = p.capabilities.Copy()
	return seen
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
