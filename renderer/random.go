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
//
// What a template computes or cuts out of it (a remainder, a letter, the half of
// a day) may be the same by chance. Where that may be there are two further
// renders, with draws and times that most such results differ for.
type random struct {
	twice  bool  // there will be a second render
	turn   int   // which render it is, from 0
	isUsed bool  // something was drawn, or the clock read
	drawn  []any // by the first render, in their order
	next   int
	keys   map[int]*promise[string] // of later renders, by their size
}

// Turns of renders after the first.
const (
	secondTurn   = 1
	nextTurn     = 2 // has what follows a draw of the first: the next number
	oppositeTurn = 3 // has what is half of the possibilities away
)

// turns returns how many renders there are.
func (r *random) turns() int {
	if r.isUsed {
		return oppositeTurn + 1
	}
	return secondTurn + 1
}

// begin starts a render. The first one draws anew.
func (r *random) begin(turn int) {
	r.turn, r.next = turn, 0
	if turn == 0 {
		r.drawn = nil
	}
}

// functions returns what replaces Sprig's functions, in all renders. keys and
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
// make, such as keys and UUIDs, is never the same; of a UUID, a part may be.
func (r *random) addDraws(functions, original template.FuncMap) {
	for _, name := range []string{"randAlphaNum", "randAlpha", "randAscii", "randNumeric"} {
		roll, _ := original[name].(func(int) string)
		functions[name] = func(count int) string { return draw(r, func() string { return roll(count) }, r.otherText) }
	}
	functions["randInt"] = func(low, high int) int {
		return draw(r, func() int { return rand.Intn(high-low) + low }, func(first int) int { return r.otherNumber(first-low, high-low) + low })
	}
	functions["shuffle"] = func(text string) string {
		return draw(r, func() string { return xstrings.Shuffle(text) }, nil)
	}
	functions["randBytes"] = func(count int) (text string, err error) {
		roll, _ := original["randBytes"].(func(int) (string, error))
		return draw(r, func() string {
			text, err = roll(count)
			return text
		}, nil), err
	}
	uuid, _ := original["uuidv4"].(func() string)
	functions["uuidv4"] = func() string { return draw(r, uuid, nil) }
}

// maxDraws bounds how often it is drawn again: there may be only one possibility.
const maxDraws = 100

// draw draws, in a later render until it is not what it was in the first. other,
// if any, returns what a further one has instead.
func draw[T comparable](r *random, roll func() T, other func(first T) T) T {
	r.isUsed = true
	got := roll()
	if r.turn == 0 {
		r.drawn = append(r.drawn, got)
		return got
	}
	if r.next >= len(r.drawn) {
		return got
	}
	first, isSame := r.drawn[r.next].(T)
	r.next++
	if isSame && other != nil && r.turn > secondTurn {
		return other(first)
	}
	for tries := 0; tries < maxDraws && isSame && got == first; tries++ {
		got = roll()
	}
	return got
}

// otherNumber returns the number that follows one below a limit, or the one that
// is half of them away.
func (r *random) otherNumber(first, limit int) int {
	step := 1
	if r.turn == oppositeTurn {
		step = limit / 2
	}
	return ((first+step)%limit + limit) % limit
}

// otherText returns a text whose last letter or digit is the one that follows, or
// all of them are those that are half of the alphabet away.
func (r *random) otherText(first string) string {
	signs := []byte(first)
	for i := len(signs) - 1; i >= 0; i-- {
		for _, class := range []struct{ from, count byte }{{'0', 10}, {'a', 26}, {'A', 26}} {
			if sign := signs[i]; sign >= class.from && sign < class.from+class.count {
				signs[i] = class.from + byte(r.otherNumber(int(sign-class.from), int(class.count)))
				if r.turn == nextTurn {
					return string(signs)
				}
				break
			}
		}
	}
	return string(signs)
}
