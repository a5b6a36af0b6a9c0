package main

import "testing"

// TestEntriesAreReadAsKustomizeDoes holds cases of kustomize's own test of
// NewRepoSpecFromURL.
func TestEntriesAreReadAsKustomizeDoes(t *testing.T) {
	for value, want := range map[string]repoSpec{
		"https://github.com/org/repo//path/to?ref=v1":              {"https://github.com/org/repo", "v1", "path/to"},
		"https://github.com/org/repo/path/to?ref=v1":               {"https://github.com/org/repo", "v1", "path/to"},
		"github.com/org/repo":                                      {"https://github.com/org/repo", "", ""},
		"GitHub.com:org/repo.git/x":                                {"https://github.com/org/repo.git", "", "x"},
		"git@github.com:org/repo.git//examples?version=v2&ref=v1":  {"git@github.com:org/repo.git", "v1", "examples"},
		"git@github.com/org/repo":                                  {"git@github.com:org/repo", "", ""},
		"ssh://git@github.com/org/repo?version=x":                  {"git@github.com:org/repo", "x", ""},
		"ssh://git@gitlab.example:2222/group/sub/repo.git//a/b":    {"ssh://git@gitlab.example:2222/group/sub/repo.git", "", "a/b"},
		"org-12345@github.com:kubernetes-sigs/kustomize":           {"org-12345@github.com:kubernetes-sigs/kustomize", "", ""},
		"git@gitlab.example:group/repo.git":                        {"git@gitlab.example:group/repo.git", "", ""},
		"git::https://git.example/org/repo.git//x":                 {"https://git.example/org/repo.git", "", "x"},
		"HTTPS://git.example/org/repo":                             {"https://git.example/org/repo", "", ""},
		"https://user@dev.azure.com/org/project/_git/repo/base":    {"https://user@dev.azure.com/org/project/_git/repo", "", "base"},
		"https://bitbucket.example/scm/project/repo.git?ref=%2Fa":  {"https://bitbucket.example/scm/project/repo.git", "/a", ""},
		"https://git-codecommit.us.amazonaws.com/v1/repos/x//base": {"https://git-codecommit.us.amazonaws.com/v1/repos/x", "", "base"},
		"http://git.example/org/repo/a/../b":                       {"http://git.example/org/repo", "", "a/../b"},
	} {
		got, err := parseRepoSpec(value)
		if err != nil || *got != want {
			t.Errorf("%s: want %+v, got %+v, %v", value, want, got, err)
		}
	}
	for _, value := range []string{"/abs/path", "../base", "base", "htxxtp://github.com/", "ssh:git.example", "https://", "https://host.example", "https://h.example/org/repo//../x", "git.example/org/repo", "iauhsueih"} {
		if got, err := parseRepoSpec(value); err == nil {
			t.Errorf("%s is no repository, and was read as %+v", value, got)
		}
	}
}
