package main

import "errors"

// Kinds of what the parent fetches, since the renderer has no network.
const (
	fetchIndex   = "index"   // index.yaml of a chart repository
	fetchTags    = "tags"    // the tags of a repository in a registry, one per line
	fetchArchive = "archive" // a packed chart
	fetchGit     = "git"     // the files of a commit
	fetchFile    = "file"    // one YAML file
)

// Remote names something outside of the tree. Answers belong to wants by it.
type Remote struct {
	Kind string `json:"kind"`
	URL  string `json:"url"`
	// Reference is the branch, tag or commit of a repository; "" is its default
	// branch.
	Reference string `json:"reference"`
	// Digest is the SHA-256 that the content has to have, in hex.
	Digest string `json:"digest"`
}

// Answer is what the parent fetched. Its content comes after the tree.
type Answer struct {
	Remote
	// Pinned says that the want was: the content may be of any age.
	Pinned bool `json:"pinned"`

	content []byte // nil until it was read
	tree    *Tree  // of a repository
}

// Want is what a render needs, and where it is named: in the tree, or in
// something else that was fetched. All three are empty for the chart that the
// request itself names.
type Want struct {
	Remote
	// Index is the URL of the index that an archive is listed in.
	Index string `json:"index"`
	// Pinned says that the content is the same at any time. An index is pinned
	// where any one that has the version will do.
	Pinned bool   `json:"pinned"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	Field  string `json:"field"`
}

// errWanted says that something has to be fetched before the render can go on.
var errWanted = errors.New("something has to be fetched first")

// fetched gives answers out of the request, and collects what is not among them.
type fetched struct {
	answers map[Remote]*Answer
	wants   []Want
	places  map[Remote]int // of wants
}

func newFetched(answers []Answer) *fetched {
	f := &fetched{answers: map[Remote]*Answer{}, places: map[Remote]int{}}
	for i := range answers {
		f.answers[answers[i].Remote] = &answers[i]
	}
	return f
}

// get returns the answer to a want, or errWanted. An answer of any age is none to a
// want that is not pinned.
func (f *fetched) get(want Want) (*Answer, error) {
	answer, found := f.answers[want.Remote]
	if !found || answer.Pinned && !want.Pinned {
		f.add(want)
		return nil, errWanted
	}
	return answer, nil
}

// add keeps a want, once.
func (f *fetched) add(want Want) {
	if at, known := f.places[want.Remote]; known {
		f.wants[at].Pinned = f.wants[at].Pinned && want.Pinned
		return
	}
	f.places[want.Remote] = len(f.wants)
	f.wants = append(f.wants, want)
}
