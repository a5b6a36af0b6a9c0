package main

import (
	"cmp"
	"errors"
	"slices"
)

// postRun is post for one render.
type postRun struct {
	post    *Post
	objects []*postObject
	// matched are the objects that each patch was applied to, and renamed says that
	// a patch changed a name.
	matched [][]*postObject
	renamed bool

	// before is the run for the first render, in a second one that works only on
	// the documents and hooks that are not steady.
	before *postRun
	steady []bool // by index
}

// errNeedsAll says that a run needs all documents.
var errNeedsAll = errors.New("names change")

// applyAgain applies post to a second render. What is steady, as it was before post
// in the first render, is not worked on again.
func (r *postRun) applyAgain(response *Response, steady []bool) error {
	if r.post.isEmpty() {
		return nil
	}
	if steady != nil && !r.needsAll() {
		again := &postRun{post: r.post, before: r, steady: steady}
		if err := again.apply(response); !errors.Is(err, errNeedsAll) {
			return err
		}
	}
	return (&postRun{post: r.post}).apply(response)
}

// needsAll reports whether names change: references to them follow, and may be in
// any document.
func (r *postRun) needsAll() bool { return r.post.NamePrefix != "" || r.renamed }

func (r *postRun) isSteady(index int) bool { return r.before != nil && r.steady[index] }

// match notes what a patch is applied to, and returns how many objects that makes,
// with those that are steady.
func (r *postRun) match(objects []*postObject) int {
	count := len(objects)
	if r.before != nil {
		for _, object := range r.before.matched[len(r.matched)] {
			if r.isSteady(object.index) {
				count++
			}
		}
	}
	r.matched = append(r.matched, objects)
	return count
}

// fill replaces the documents and hooks of a response by the objects.
func (r *postRun) fill(response *Response) {
	if r.before != nil {
		for _, object := range r.before.objects {
			if r.isSteady(object.index) {
				r.objects = append(r.objects, object)
			}
		}
		slices.SortStableFunc(r.objects, func(a, b *postObject) int { return cmp.Compare(a.index, b.index) })
	}
	response.Documents, response.Hooks = []Document{}, []Hook{}
	for _, object := range r.objects {
		if object.hook == nil {
			response.Documents = append(response.Documents, object.document)
			continue
		}
		hook := *object.hook
		hook.Document = object.document
		response.Hooks = append(response.Hooks, hook)
	}
}
