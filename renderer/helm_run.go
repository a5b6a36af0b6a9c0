package main

import (
	"maps"
	"strings"

	"helm.sh/helm/v4/pkg/engine"
)

// engineResult is what one render of the engine came to.
type engineResult struct {
	rendered map[string]string // texts by the names of their templates
	lookups  *lookups
	err      error
}

// renders are the renders of a chart, in a goroutine of their own. Each function
// waits for one of them, and panics where the engine did.
type renders struct {
	first, second func() *engineResult
}

// start starts the engine. The second render begins with what the first one began
// with, since templates may write into what they see.
func (p *preparedChart) start(answers []LookupAnswer, twice bool) renders {
	first, second := newPromise[*engineResult](), newPromise[*engineResult]()
	started := renders{first: first.wait, second: second.wait}
	go func() {
		defer func() {
			cause := recover()
			first.settle(nil, cause)
			second.settle(nil, cause)
		}()
		if !twice {
			first.settle(p.renderOnce(&random{}, answers), nil)
			return
		}
		random := &random{twice: true}
		one, done := p.renderBoth(random, answers, first, second)
		if done {
			return
		}
		if one == nil {
			random.begin(0)
			one = p.renderOnce(random, answers)
			first.settle(one, nil)
		}
		second.settle(p.renderLater(random, answers, one), nil)
	}()
	return started
}

// renderLater runs the engine for each render after the first.
func (p *preparedChart) renderLater(random *random, answers []LookupAnswer, one *engineResult) *engineResult {
	random.begin(secondTurn)
	later := p.renderOnce(random, answers)
	for turn := secondTurn + 1; turn < random.turns() && one.err == nil && later.err == nil; turn++ {
		random.begin(turn)
		other := p.renderOnce(random, answers)
		unite(one.rendered, later.rendered, other.rendered)
		later.err = other.err
	}
	return later
}

// renderOnce runs the engine for one render.
func (p *preparedChart) renderOnce(random *random, answers []LookupAnswer) *engineResult {
	result := &engineResult{lookups: newLookups(answers)}
	functions := random.functions()
	functions["lookup"] = result.lookups.lookup
	result.rendered, result.err = engine.Engine{CustomTemplateFuncs: functions}.Render(p.chart, p.seenCopy())
	result.leaveOut("NOTES.txt")
	return result
}

// leaveOut takes out the templates whose names end so.
func (r *engineResult) leaveOut(suffix string) {
	maps.DeleteFunc(r.rendered, func(name, _ string) bool { return strings.HasSuffix(name, suffix) })
}

// renderBoth runs the engine once for all renders: to parse the templates takes as
// long as to execute them. A template that is added, and comes before all others,
// executes them for the first render with copies of what they see, and for further
// ones where the first was random; then the engine does so for the second. What
// differs in a further render alone is added to the second. It is not done where a
// render failed on the way: its error would name the template that was added, so
// that it has to be made again. The first is returned where it is not that one.
func (p *preparedChart) renderBoth(random *random, answers []LookupAnswer, first, second *promise[*engineResult]) (done *engineResult, all bool) {
	one := &engineResult{lookups: newLookups(answers)}
	other := &engineResult{lookups: newLookups(answers)}
	asking := one.lookups
	further := map[string]string{} // texts that differ from those of the first
	turn := 0
	lead := newLead(p.chart, func(rendered map[string]string) bool {
		if turn == 0 {
			one.rendered = rendered
			one.leaveOut("NOTES.txt")
			first.settle(one, nil)
			done, asking = one, other.lookups
			turn = secondTurn
		} else {
			unite(one.rendered, further, rendered)
		}
		turn++
		if turn < random.turns() {
			random.begin(turn)
			return true
		}
		random.begin(secondTurn)
		return false
	})

	functions := random.functions()
	functions["lookup"] = func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		return asking.lookup(apiVersion, kind, namespace, name)
	}
	functions[lead.function] = lead.begin
	rendered, err := engine.Engine{CustomTemplateFuncs: functions}.Render(lead.chart, p.seenCopy())
	if !lead.started {
		one.err = err // a template cannot be parsed
		first.settle(one, nil)
		return one, true
	}
	if !lead.ended {
		return done, false
	}
	delete(rendered, lead.name)
	other.rendered, other.err = rendered, err
	if err == nil {
		unite(one.rendered, other.rendered, further)
	}
	other.leaveOut("NOTES.txt")
	second.settle(other, nil)
	return one, true
}

// unite adds to what a later render made what differs from the first in another
// one alone. Where the texts have other lines than the first, it keeps one of them.
func unite(first, later, other map[string]string) {
	for name, text := range other {
		before, known := first[name]
		switch found, isThere := later[name]; {
		case !known || text == before:
		case !isThere || found == before:
			later[name] = text
		default:
			later[name] = uniteLines(before, found, text)
		}
	}
}

// uniteLines takes the lines of a later text, and where they are as in the first
// those of another. The keys of all three have to be the same. Another number of
// documents is all that counts where there is one.
func uniteLines(first, later, other string) string {
	const separator = "\n---"
	if count := strings.Count(first, separator); count == strings.Count(later, separator) && count != strings.Count(other, separator) {
		return other
	}
	lines, before, others := strings.Split(later, "\n"), strings.Split(first, "\n"), strings.Split(other, "\n")
	if len(lines) != len(before) || len(others) != len(before) {
		return later
	}
	for i, line := range before {
		if key := keyOf(line); keyOf(lines[i]) != key || keyOf(others[i]) != key {
			return later
		}
		if lines[i] == line {
			lines[i] = others[i]
		}
	}
	return strings.Join(lines, "\n")
}

// keyOf returns what a line has before a value: the blanks, the signs of a list and
// the key.
func keyOf(line string) string {
	if key, _, found := strings.Cut(line, ": "); found {
		return key
	}
	if strings.HasSuffix(line, ":") {
		return line
	}
	return line[:len(line)-len(strings.TrimLeft(line, " -"))]
}
