{{/* What the agent needs for itself in its own namespace: docs/permissions.md. */}}
{{- define "driftless.ownRules" -}}
{{- if ne .Values.rbac.scope "cluster" }}
# The inventories.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# The key of the digests of Secrets.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
{{- with include "driftless.secrets" . | fromJsonArray }}
# What the configuration names, to take up a change of it at once: a watch of each by its name.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ join ", " . }}]
  verbs: [list, watch]
{{- end }}
{{- end }}
# Leader election.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- if ne .Values.rbac.scope "cluster" }}
{{ include "driftless.eventRules" . }}
{{- end }}
{{- end -}}

{{- define "driftless.eventRules" -}}
# What kubectl describe shows.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What syncs do with their objects; every verb is in docs/permissions.md. */}}
{{- define "driftless.objectVerbs" -}}
[get, list, watch, create, patch, delete]
{{- end -}}

{{/* The kinds that a team has in its namespace. */}}
{{- define "driftless.namespacedRules" -}}
{{- $verbs := include "driftless.objectVerbs" . -}}
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, pods, secrets, serviceaccounts, services]
  verbs: {{ $verbs }}
- apiGroups: [apps]
  resources: [daemonsets, deployments, statefulsets]
  verbs: {{ $verbs }}
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: {{ $verbs }}
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: {{ $verbs }}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: {{ $verbs }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: {{ $verbs }}
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: {{ $verbs }}
# The API server lets nobody grant what he does not have himself.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings, roles]
  verbs: {{ $verbs }}
{{- end -}}

{{/* Those of whoever runs the cluster: also the limits of the teams' namespaces. */}}
{{- define "driftless.clusterRules" -}}
{{- $verbs := include "driftless.objectVerbs" . -}}
- apiGroups: [""]
  resources: [limitranges, namespaces, persistentvolumes, resourcequotas]
  verbs: {{ $verbs }}
- apiGroups: [admissionregistration.k8s.io]
  resources:
    - mutatingwebhookconfigurations
    - validatingadmissionpolicies
    - validatingadmissionpolicybindings
    - validatingwebhookconfigurations
  verbs: {{ $verbs }}
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: {{ $verbs }}
- apiGroups: [apiregistration.k8s.io]
  resources: [apiservices]
  verbs: {{ $verbs }}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: {{ $verbs }}
- apiGroups: [node.k8s.io]
  resources: [runtimeclasses]
  verbs: {{ $verbs }}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, clusterroles]
  verbs: {{ $verbs }}
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: {{ $verbs }}
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: {{ $verbs }}
{{- end -}}

{{- define "driftless.extraRules" -}}
{{- with .Values.rbac.extraRules }}
# rbac.extraRules
{{ toYaml . }}
{{- end }}
{{- if .Values.rbac.allowEscalation }}
# rbac.allowEscalation
- apiGroups: [rbac.authorization.k8s.io]
  resources: {{ eq .Values.rbac.scope "cluster" | ternary "[clusterroles, roles]" "[roles]" }}
  verbs: [bind, escalate]
{{- end }}
{{- end -}}

{{- define "driftless.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "driftless.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The accounts that the agent acts as, as JSON: {"shop": ["deployer"]}. */}}
{{- define "driftless.accounts" -}}
{{- $accounts := .Values.rbac.serviceAccounts -}}
{{- if not .Values.existingConfigMap -}}
  {{- range .Values.config.syncs -}}
    {{- if .serviceAccount -}}{{- $accounts = append $accounts .serviceAccount -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $spaces := dict -}}
{{- range $accounts | uniq | sortAlpha -}}
  {{- $parts := splitList "/" . -}}
  {{- $space := index $parts 0 -}}
  {{- $_ := set $spaces $space (append (get $spaces $space | default list) (index $parts 1)) -}}
{{- end -}}
{{- toJson $spaces -}}
{{- end -}}

{{/* The Secrets that the configuration names, as a JSON list. */}}
{{- define "driftless.secrets" -}}
{{- $names := .Values.rbac.secrets -}}
{{- with (.Values.config.hooks | default dict).secret -}}{{- $names = append $names . -}}{{- end -}}
{{- if not .Values.existingConfigMap -}}
  {{- range .Values.config.syncs -}}
    {{- $render := .render | default dict -}}
    {{- $helm := $render.helm | default dict -}}
    {{- range concat ($helm.valuesFrom | default list) ($render.substituteFrom | default list) -}}
      {{- if eq .kind "Secret" -}}{{- $names = append $names .name -}}{{- end -}}
    {{- end -}}
    {{- with ($render.decrypt | default dict).secret -}}{{- $names = append $names . -}}{{- end -}}
    {{- with ($helm.auth | default dict).secret -}}{{- $names = append $names . -}}{{- end -}}
    {{- with ((.source | default dict).auth | default dict).secret -}}{{- $names = append $names . -}}{{- end -}}
    {{- with ((.source | default dict).verify | default dict).secret -}}{{- $names = append $names . -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $names | uniq | sortAlpha | toJson -}}
{{- end -}}
