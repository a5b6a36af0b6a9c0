package main

import (
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// batchSize is how many objects are given to kustomize at once, which takes a time
// quadratic in them.
const batchSize = 64

// prefixBatches divides objects into such that cannot refer to each other, for
// which kustomize does the same one after another as at once. A reference is a
// scalar that is a name of the object it refers to. It may follow several objects,
// one of which is named as another one will be with its prefix.
//
// Labels and selectors hold none, unless an overlay declares that they do: most
// objects of a chart have its name there.
//
// A definition that has to do with no other object is left out: kustomize changes
// nothing in it, and such are most of the text of large charts.
func prefixBatches(prefix string, references nameReferences, objects []*postObject, size int) [][]*postObject {
	named := map[string][]int{}
	for i, object := range objects {
		for _, name := range object.names() {
			named[name] = append(named[name], i)
		}
	}
	sets := newDisjointSets(len(objects))
	joinNamed := func(object int, name string) {
		for _, other := range named[name] {
			sets.join(object, other)
		}
		if others := named[name]; len(others) > 1 {
			named[name] = others[:1] // they are joined
		}
	}
	for i, object := range objects {
		joinNamed(i, prefix+object.resource.GetName())
		eachReference(object.resource.YNode(), references.isEmpty(), func(name string) { joinNamed(i, name) })
	}

	var batches [][]*postObject
	var batch []*postObject
	for _, members := range sets.members() {
		if len(members) == 1 && objects[members[0]].resource.GetKind() == "CustomResourceDefinition" {
			continue
		}
		if len(batch)+len(members) > size && len(batch) > 0 {
			batches, batch = append(batches, batch), nil
		}
		for _, member := range members {
			batch = append(batch, objects[member])
		}
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches
}

// labelKeys are those of labels and selectors. None is on the way to a field that
// kustomize knows to hold a name (its builtinpluginconsts/namereference.go).
var labelKeys = []string{"labels", "matchLabels", "matchExpressions", "selector"}

// eachReference calls a function with every value that may refer to an object. An
// alias of a label may stand elsewhere.
func eachReference(root *yaml.Node, skipLabels bool, visit func(value string)) {
	type value struct {
		node    *yaml.Node
		ofLabel bool
	}
	stack := []value{{root, false}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.node.Kind == yaml.ScalarNode && (!at.ofLabel || at.node.Anchor != "") {
			visit(at.node.Value)
		}
		for i, child := range at.node.Content {
			ofLabel := at.ofLabel
			if at.node.Kind == yaml.MappingNode {
				if i%2 == 0 {
					continue
				}
				ofLabel = ofLabel || skipLabels && slices.Contains(labelKeys, at.node.Content[i-1].Value)
			}
			stack = append(stack, value{child, ofLabel})
		}
	}
}

// names returns the names that an object has or had.
func (o *postObject) names() []string {
	names := []string{o.resource.CurId().Name}
	for _, id := range o.resource.PrevIds() {
		if !slices.Contains(names, id.Name) {
			names = append(names, id.Name)
		}
	}
	return names
}

// disjointSets are sets of numbers, each of which is in one of them.
type disjointSets []int

func newDisjointSets(count int) disjointSets {
	sets := make(disjointSets, count)
	for i := range sets {
		sets[i] = i
	}
	return sets
}

// first returns the least number in the set of a number.
func (s disjointSets) first(number int) int {
	for s[number] != number {
		s[number] = s[s[number]]
		number = s[number]
	}
	return number
}

func (s disjointSets) join(a, b int) {
	a, b = s.first(a), s.first(b)
	s[max(a, b)] = min(a, b)
}

// members returns the numbers in each set, by the least of them.
func (s disjointSets) members() [][]int {
	bySet := make([][]int, len(s))
	for number := range s {
		first := s.first(number)
		bySet[first] = append(bySet[first], number)
	}
	return slices.DeleteFunc(bySet, func(members []int) bool { return len(members) == 0 })
}
