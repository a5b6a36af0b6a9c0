package main

import (
	"fmt"
	"maps"
	"slices"

	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// renderAgain takes what a second run of the engine rendered, out of fresh files
// and values and with another clock, and keeps what differs. What a chart makes
// anew each time cannot be seen in one render.
func renderAgain(state *helmState, response *Response) {
	first, again := state.renders.first(), state.renders.second()
	for _, lookup := range again.lookups.asked {
		if !first.lookups.known[lookup.LookupQuestion] {
			response.Lookups = append(response.Lookups, lookup)
		}
	}
	if again.err == nil && maps.Equal(first.rendered, again.rendered) {
		return
	}
	second := newResponse()
	err := again.err
	if err != nil {
		err = templateFailure(state.chart.places, err)
	} else {
		err = state.addAgain(again.rendered, second)
	}
	if err != nil {
		response.AgainError = "the second render failed: " + err.Error()
		return
	}
	if err := compareAgain(response, second); err != nil {
		response.Again, response.AgainError = []Again{}, err.Error()
	}
}

// addAgain makes the documents and hooks of the second render, with post. Those of
// templates that rendered the same are taken from the first, where the others keep
// their places among them.
func (s *helmState) addAgain(rendered map[string]string, second *Response) error {
	first := s.renders.first().rendered
	changed, before := map[string]string{}, map[string]string{}
	for name, text := range rendered {
		if text != first[name] {
			changed[name], before[name] = text, first[name]
		}
	}
	hooks, manifests, err := s.chart.sorted(changed)
	if err != nil {
		return err
	}
	hooksBefore, manifestsBefore, err := s.chart.sorted(before)
	if err != nil {
		return err
	}
	sameManifest := func(a, b releaseutil.Manifest) bool { return a.Name == b.Name && a.Head.Kind == b.Head.Kind }
	sameHook := func(a, b *release.Hook) bool { return a.Path == b.Path && a.Kind == b.Kind }
	if !slices.EqualFunc(manifests, manifestsBefore, sameManifest) || !slices.EqualFunc(hooks, hooksBefore, sameHook) {
		if err := s.chart.addDocuments(rendered, s.definitions, second); err != nil {
			return err
		}
		return s.posted.applyAgain(second, nil)
	}
	var steady []bool
	for _, document := range s.documents {
		text := document.YAML
		if _, isChanged := changed[document.Source]; isChanged && !document.verbatim {
			document.YAML, manifests = manifests[0].Content, manifests[1:]
			if _, err := s.chart.dropDuplicateKeys(&document); err != nil {
				return err
			}
		}
		second.Documents = append(second.Documents, document)
		steady = append(steady, document.YAML == text)
	}
	for _, hook := range s.hooks {
		text := hook.YAML
		if _, isChanged := changed[hook.Source]; isChanged {
			line := hook.Line
			hook, hooks = hookOf(hooks[0], hook.File), hooks[1:]
			hook.Line = line
			if _, err := s.chart.dropDuplicateKeys(&hook.Document); err != nil {
				return err
			}
		}
		second.Hooks = append(second.Hooks, hook)
		steady = append(steady, hook.YAML == text)
	}
	return s.posted.applyAgain(second, steady)
}

// compareAgain keeps the documents and hooks of the second render whose text
// differs, as long as both renders have the same objects in the same order.
func compareAgain(first, second *Response) error {
	firstHooks, secondHooks := documentsOf(first.Hooks), documentsOf(second.Hooks)
	if err := sameObjects("documents", first.Documents, second.Documents); err != nil {
		return err
	}
	if err := sameObjects("hooks", firstHooks, secondHooks); err != nil {
		return err
	}
	for i, document := range second.Documents {
		if document.YAML != first.Documents[i].YAML {
			first.Again = append(first.Again, Again{Index: i, YAML: document.YAML})
		}
	}
	for i, document := range secondHooks {
		if document.YAML != firstHooks[i].YAML {
			first.Again = append(first.Again, Again{Index: i, Hook: true, YAML: document.YAML})
		}
	}
	return nil
}

func documentsOf(hooks []Hook) []Document {
	var documents []Document
	for _, hook := range hooks {
		documents = append(documents, hook.Document)
	}
	return documents
}

// sameObjects compares what two renders declare, and names the first template
// that differs.
func sameObjects(what string, first, second []Document) error {
	for i := range min(len(first), len(second)) {
		if first[i].Source != second[i].Source {
			return fmt.Errorf("%s renders other %s in a second render", first[i].Source, what)
		}
		if first[i].YAML == second[i].YAML {
			continue
		}
		one, _ := declaredBy(part{text: first[i].YAML})
		other, _ := declaredBy(part{text: second[i].YAML})
		if one.kind != other.kind || one.namespace != other.namespace || one.name != other.name {
			return fmt.Errorf("%s renders %s %s, and in a second render %s %s: an object whose name is random is a new one each time",
				first[i].Source, one.kind, one.name, other.kind, other.name)
		}
	}
	if len(first) != len(second) {
		longer := first
		if len(second) > len(first) {
			longer = second
		}
		return fmt.Errorf("%s renders another number of %s in a second render: %d in all, and then %d",
			longer[min(len(first), len(second))].Source, what, len(first), len(second))
	}
	return nil
}
