package main

import (
	"cmp"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// URLs as errors and warnings may show them: without user, password and query,
// which may be a signature, also where they are written wrongly.

const urlScheme = `(?:[A-Za-z0-9]+::)?[A-Za-z][A-Za-z0-9+.-]*:/+`

var (
	urlStart = regexp.MustCompile(`^(?:` + urlScheme + `|//+)`)
	// urlInText is a URL in a message. What stands before an @ may have quotes.
	urlInText = regexp.MustCompile(urlScheme + `(?:[^\s/?#]*@)?[^\s'"<>\\` + "`" + `]*`)
	plainUser = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)
)

// withoutCredentials returns a URL, or what may be meant as one, as it may be
// shown. The user of SSH is none.
func withoutCredentials(value string) string {
	scheme := urlStart.FindString(value)
	authority, rest := value[len(scheme):], ""
	parsed, err := url.Parse(value[strings.LastIndex(scheme, "::")+1:])
	isURL := err == nil && (parsed.Host != "" || parsed.Scheme == "file" && !strings.Contains(value, "@"))
	if end := strings.IndexAny(authority, "/?#"); isURL && end >= 0 {
		authority, rest = authority[:end], authority[end:]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user := authority[:at]
		isShown := plainUser.MatchString(user) && strings.HasSuffix(scheme, "ssh://")
		if scheme == "" {
			isShown = !strings.Contains(user, ":") // git@host:path, or a path
		}
		if !isShown {
			authority = authority[at+1:]
		}
	}
	shown := authority + rest
	if end := strings.IndexAny(shown, "?#"); end >= 0 && (shown[end] == '?' || !isURL) {
		shown = shown[:end]
	}
	return scheme + shown
}

// withoutURLCredentials returns a message with its URLs as they may be shown.
func withoutURLCredentials(message string) string {
	return urlInText.ReplaceAllStringFunc(message, withoutCredentials)
}

// writtenURLs are the values of a kustomization that errors of kustomize may quote
// and that may not be shown, in all their forms, with what is shown instead.
type writtenURLs map[string]string

func (w writtenURLs) add(value string) {
	shown := withoutCredentials(value)
	if shown == value {
		return
	}
	for _, form := range []string{value, path.Clean(value)} {
		quoted := strconv.Quote(form)
		w[form], w[quoted[1:len(quoted)-1]] = shown, shown
	}
}

// hide returns a message without them.
func (w writtenURLs) hide(message string) string {
	forms := make([]string, 0, len(w))
	for form := range w {
		forms = append(forms, form)
	}
	// The longest first, since one may begin another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, form := range forms {
		message = strings.ReplaceAll(message, form, w[form])
	}
	return message
}
