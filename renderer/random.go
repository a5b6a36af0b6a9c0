package main

import (
	"maps"
	"math/rand"
	"slices"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"github.com/huandu/xstrings"
)

// random makes the template functions whose result differs from render to
// render. In a second render it really does differ, so that comparing the two
// finds every use: the clock is another, and what is drawn out of few
// possibilities is drawn again while it is what it was.
type random struct {
	twice  bool // there will be a second render
	second bool
	drawn  []any // by the first render, in their order
	next   int
	keys   map[int]*promise[string] // of the second render, by their size
}

// again starts the second render.
func (r *random) again() { r.second, r.next = true, 0 }

// functions returns what replaces Sprig's functions, in both renders. keys and
// values are in order, while Sprig's are in the order of Go's maps: a random one,
// and never a meant one.
func (r *random) functions() template.FuncMap {
	functions := template.FuncMap{"keys": sortedKeys, "values": sortedValues}
	if r.twice {
		original := sprig.TxtFuncMap()
		r.addDraws(functions, original)
		r.addClock(functions, original)
		r.addKeys(functions, original)
	}
	return functions
}

func sortedKeys(maps ...map[string]any) []string {
	keys := []string{}
	for _, one := range maps {
		keys = append(keys, sortedKeysOf(one)...)
	}
	return keys
}

func sortedKeysOf(one map[string]any) []string { return slices.Sorted(maps.Keys(one)) }

func sortedValues(one map[string]any) []any {
	values := []any{}
	for _, key := range sortedKeysOf(one) {
		values = append(values, one[key])
	}
	return values
}

// addDraws adds the functions that may draw the same twice. What the others
// make, such as keys and UUIDs, is never the same.
func (r *random) addDraws(functions, original template.FuncMap) {
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		roll, _ := original[name].(func(int) string)
		functions[name] = func(count int) string { return draw(r, func() string { return roll(count) }) }
	}
	functions["randInt"] = func(low, high int) int { return draw(r, func() int { return rand.Intn(high-low) + low }) }
	functions["shuffle"] = func(text string) string { return draw(r, func() string { return xstrings.Shuffle(text) }) }
	functions["randBytes"] = func(count int) (text string, err error) {
		roll, _ := original["randBytes"].(func(int) (string, error))
		return draw(r, func() string {
			text, err = roll(count)
			return text
		}), err
	}
}

// maxDraws bounds how often it is drawn again: there may be only one possibility.
const maxDraws = 100

// draw draws, in a second render until it is not what it was in the first.
func draw[T comparable](r *random, roll func() T) T {
	got := roll()
	if !r.second {
		r.drawn = append(r.drawn, got)
		return got
	}
	if r.next < len(r.drawn) {
		for tries := 0; tries < maxDraws && any(got) == r.drawn[r.next]; tries++ {
			got = roll()
		}
		r.next++
	}
	return got
}
