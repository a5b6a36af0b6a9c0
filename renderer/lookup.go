package main

import (
	"errors"
	"fmt"

	kubejson "k8s.io/apimachinery/pkg/util/json"
)

// lookups answers the template function lookup out of the request, and keeps
// every question.
type lookups struct {
	answers map[LookupQuestion]*LookupAnswer
	asked   []Lookup
	known   map[LookupQuestion]bool
}

func newLookups(answers []LookupAnswer) *lookups {
	l := &lookups{answers: map[LookupQuestion]*LookupAnswer{}, asked: []Lookup{}, known: map[LookupQuestion]bool{}}
	for i := range answers {
		l.answers[answers[i].LookupQuestion] = &answers[i]
	}
	return l
}

// lookup is the template function. Every call returns a map of its own, since
// templates may write into it.
func (l *lookups) lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	question := LookupQuestion{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}
	answer, answered := l.answers[question]
	if !l.known[question] {
		l.known[question] = true
		l.asked = append(l.asked, Lookup{LookupQuestion: question, Answered: answered})
	}
	if !answered {
		return map[string]any{}, nil
	}
	if answer.Error != "" {
		return map[string]any{}, errors.New(answer.Error)
	}
	if name == "" {
		return answer.list()
	}
	if len(answer.Object) == 0 || string(answer.Object) == "null" {
		return map[string]any{}, nil
	}
	return decodeObject(answer.Object)
}

// list returns the list that the API server would.
func (a *LookupAnswer) list() (map[string]any, error) {
	items := make([]any, 0, len(a.Items))
	for _, raw := range a.Items {
		item, err := decodeObject(raw)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return map[string]any{"apiVersion": a.APIVersion, "kind": a.Kind + "List", "metadata": map[string]any{}, "items": items}, nil
}

// decodeObject decodes as Kubernetes' client does: whole numbers are int64.
func decodeObject(raw []byte) (map[string]any, error) {
	var object map[string]any
	if err := kubejson.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("an answer to lookup is no object: %w", err)
	}
	return object, nil
}
