package main

import (
	"slices"

	release "helm.sh/helm/v4/pkg/release/v1"
)

// isTest reports whether `helm template --skip-tests` leaves a hook out.
func isTest(hook *release.Hook) bool {
	return slices.Contains(hook.Events, release.HookTest)
}

// hookOf returns a hook as the response has it.
func hookOf(hook *release.Hook, file string) Hook {
	converted := Hook{
		Document: Document{YAML: hook.Manifest, Source: hook.Path, File: file},
		Kind:     hook.Kind, Name: hook.Name, Weight: hook.Weight,
		Events: []string{}, DeletePolicies: []string{}, OutputLogPolicies: []string{},
	}
	for _, event := range hook.Events {
		converted.Events = append(converted.Events, event.String())
	}
	for _, policy := range hook.DeletePolicies {
		converted.DeletePolicies = append(converted.DeletePolicies, policy.String())
	}
	for _, policy := range hook.OutputLogPolicies {
		converted.OutputLogPolicies = append(converted.OutputLogPolicies, policy.String())
	}
	return converted
}
