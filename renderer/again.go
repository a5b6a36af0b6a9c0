package main

import "fmt"

// renderAgain renders a chart a second time, out of fresh files and values and
// with another clock, and keeps what differs. What a chart makes anew each time
// cannot be seen in one render.
func renderAgain(request *Request, record *Record, state *helmState, response *Response) {
	second := newResponse()
	state.random.again()
	err := renderHelm(request, record, state, second)
	if err == nil {
		err = applyPost(&request.Post, second)
	}
	response.Lookups = second.Lookups
	if err != nil {
		response.AgainError = "the second render failed: " + err.Error()
		return
	}
	if err := compareAgain(response, second); err != nil {
		response.Again, response.AgainError = []Again{}, err.Error()
	}
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
