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
		if p.renderBoth(answers, first, second) {
			return
		}
		random := &random{twice: true}
		first.settle(p.renderOnce(random, answers), nil)
		random.again()
		second.settle(p.renderOnce(random, answers), nil)
	}()
	return started
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

// renderBoth runs the engine once for both renders: to parse the templates takes
// as long as to execute them. A template that is added, and comes before all
// others, executes them for the first render with copies of what they see; then
// the engine does so for the second. It returns false where the first render
// failed on the way. Its error would name the template that was added, so that it
// has to be made again.
func (p *preparedChart) renderBoth(answers []LookupAnswer, first, second *promise[*engineResult]) bool {
	one := &engineResult{rendered: map[string]string{}, lookups: newLookups(answers)}
	other := &engineResult{lookups: newLookups(answers)}
	asking := one.lookups
	random := &random{twice: true}
	lead := newLead(p.chart, one.rendered, func() {
		random.again()
		asking = other.lookups
		one.leaveOut("NOTES.txt")
		first.settle(one, nil)
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
		return true
	}
	if !lead.ended {
		return false
	}
	delete(rendered, lead.name)
	other.rendered, other.err = rendered, err
	other.leaveOut("NOTES.txt")
	second.settle(other, nil)
	return true
}
