package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// confine takes away from the libraries what they could reach outside of the
// input, in case that a check further up overlooks a way to it. It returns where
// their messages go.
//
//   - The environment is empty: no configuration of a user, no proxy, and no
//     PATH on which kustomize would find git.
//   - HTTP and name resolution fail.
//   - The local time zone is UTC, which would be read from a file.
//   - os.Stderr is closed, as kustomize writes there about deprecated fields,
//     which checkKustomizations reports with their file.
func confine() *warnings {
	os.Clearenv()
	http.DefaultTransport = refusingTransport{}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errNetwork
	}}
	time.Local = time.UTC
	os.Stderr = nil

	collected := &warnings{}
	log.SetFlags(0)
	log.SetOutput(logLines{collected})
	slog.SetDefault(slog.New(collected))
	return collected
}

var errNetwork = failuref(KindRemote, "", "the renderer has no network")

// refusingTransport refuses every request.
type refusingTransport struct{}

func (refusingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	return nil, failuref(KindRemote, "", "%s is remote, and the renderer has no network", withoutCredentials(request.URL.String()))
}

// maxWarnings bounds what a template could write with every value it sees.
const maxWarnings = 100

// warnings collects what libraries log: an slog.Handler, and the output of the
// package log. Each is kept once.
type warnings struct {
	mutex sync.Mutex
	lines []string
}

func (w *warnings) add(line string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if line != "" && len(w.lines) < maxWarnings && !slices.Contains(w.lines, line) {
		w.lines = append(w.lines, line)
	}
}

// take returns what was collected.
func (w *warnings) take() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	lines := w.lines
	w.lines = nil
	return lines
}

// skippedHooks is logged by Helm below the level of warnings, though it means
// that a manifest is left out.
const skippedHooks = "skipping unknown hooks"

// Enabled implements slog.Handler.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn && record.Message != skippedHooks {
		return nil
	}
	line := record.Message
	record.Attrs(func(attribute slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", attribute.Key, attribute.Value)
		return true
	})
	w.add(line)
	return nil
}

// WithAttrs implements slog.Handler. Attributes of loggers are left out.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }

// logLines passes on what the package log writes.
type logLines struct{ warnings *warnings }

func (l logLines) Write(text []byte) (int, error) {
	l.warnings.add(strings.TrimSpace(string(bytes.TrimPrefix(text, []byte("Warning: ")))))
	return len(text), nil
}
