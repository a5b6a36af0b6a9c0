package main

import (
	"errors"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// repoSpec is a directory of a repository, as an entry of a kustomization names
// it.
type repoSpec struct {
	clone string // to clone from
	ref   string // a branch, tag or commit; "" is the default branch
	path  string // of the directory; "" is the root
}

// parseRepoSpec reads an entry by the rules of NewRepoSpecFromURL in kustomize's
// package api/internal/git, which no other module may import. The parameters
// timeout and submodules are ignored: the parent decides over both.
func parseRepoSpec(value string) (*repoSpec, error) {
	if path.IsAbs(value) {
		return nil, errors.New("uri looks like abs path")
	}
	address, query, _ := strings.Cut(value, "?")
	spec := &repoSpec{}
	if parameters, err := url.ParseQuery(query); err == nil {
		spec.ref = parameters.Get("version")
		if ref := parameters.Get("ref"); ref != "" {
			spec.ref = ref
		}
	}
	host, rest, err := repoHost(address)
	if err != nil {
		return nil, err
	}
	repository, directory, found := splitRepoPath(rest)
	if !found || repository == "" {
		return nil, errors.New("failed to parse repo path segment")
	}
	spec.clone = host + repository
	spec.path = strings.TrimPrefix(directory, "/")
	if cleaned := path.Clean(spec.path); cleaned == ".." || strings.HasPrefix(cleaned, "../") {
		return nil, errors.New("url path exits repo")
	}
	return spec, nil
}

// schemes are those of repositories.
var schemes = []string{"ssh://", "https://", "http://", fileScheme}

var repoUser = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// repoHost splits an address into the part up to the path, and the path. Those of
// github.com are brought into one form.
func repoHost(address string) (host, rest string, err error) {
	rest = address
	if cut, found := cutPrefixFold(rest, "git::"); found {
		rest = cut
	}
	scheme := ""
	for _, known := range schemes {
		if cut, found := cutPrefixFold(rest, known); found {
			scheme, rest = known, cut
			break
		}
	}
	if scheme == fileScheme {
		return scheme, rest, nil
	}
	user := repoUser.FindString(rest)
	rest = rest[len(user):]
	lower := strings.ToLower(rest)
	isGitHub := strings.HasPrefix(lower, "github.com/") || strings.HasPrefix(lower, "github.com:")
	likeSCP := scheme == "" && (user != "" || isGitHub) // user@host:path
	if scheme == "" && !likeSCP {
		return "", "", errors.New("failed to parse scheme")
	}
	end := strings.Index(rest, "/")
	if colon := strings.Index(rest, ":"); likeSCP && (end < 0 || colon > 0 && colon < end) {
		end = colon
	}
	if end < 0 {
		host, rest = rest, ""
	} else {
		host, rest = rest[:end+1], rest[end+1:]
	}
	if isGitHub {
		if scheme == "ssh://" || user != "" {
			scheme, host = "", "github.com:"
		} else {
			scheme, host = "https://", "github.com/"
		}
	}
	if host == "" {
		return "", "", errors.New("failed to parse host segment")
	}
	return scheme + user + host, rest, nil
}

func cutPrefixFold(text, prefix string) (string, bool) {
	if len(prefix) <= len(text) && strings.EqualFold(text[:len(prefix)], prefix) {
		return text[len(prefix):], true
	}
	return text, false
}

// splitRepoPath splits a path into that of the repository and the directory in
// it: at _git/, // or .git, or else after two names, as on GitHub.
func splitRepoPath(full string) (repository, directory string, found bool) {
	const azure, suffix = "_git/", ".git"
	if at := strings.Index(full, azure); at >= 0 {
		name, directory, _ := strings.Cut(full[at+len(azure):], "/")
		return full[:at+len(azure)] + name, directory, true
	}
	if repository, directory, found := strings.Cut(full, "//"); found {
		return repository, directory, true
	}
	if at := strings.Index(full, suffix); at >= 0 {
		return full[:at+len(suffix)], full[at+len(suffix):], true
	}
	parts := strings.SplitN(full, "/", 3)
	if len(parts) < 2 {
		return "", "", false
	}
	return parts[0] + "/" + parts[1], strings.Join(parts[2:], "/"), true
}

// odd is what no URL or ref has, and what libraries disagree about: which part of
// a URL with it is the host.
var odd = regexp.MustCompile(`[\x00-\x20\x7f\\#]`)

// check refuses what is nothing to fetch from.
func (s *repoSpec) check() error {
	if strings.HasPrefix(s.clone, fileScheme) {
		return errors.New("a repository on a disk cannot be fetched")
	}
	host := s.clone
	for _, scheme := range schemes {
		host = strings.TrimPrefix(host, scheme)
	}
	host = strings.TrimPrefix(host, repoUser.FindString(host))
	if strings.HasPrefix(host, "-") || strings.HasPrefix(s.ref, "-") || odd.MatchString(s.clone) || odd.MatchString(s.ref) {
		return errors.New("it has characters that no repository or ref has")
	}
	return nil
}

// show names a file of the repository in a form that says where it is.
func (s *repoSpec) show(name string) string {
	shown := withoutCredentials(s.clone) + "//" + name
	if name == "." {
		shown = withoutCredentials(s.clone)
	}
	if s.ref != "" {
		shown += "?ref=" + s.ref
	}
	return shown
}
