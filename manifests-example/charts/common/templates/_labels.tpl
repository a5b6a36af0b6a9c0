{{/*
The labels of every object. `component` is given by the chart that includes this:
  {{- include "common.labels" (dict "context" . "component" "database") | nindent 4 }}
*/}}
{{- define "common.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
{{ include "common.podLabels" . }}
{{- end }}

{{/*
The labels of pods, and of volume claims: none that a new version of the chart changes, which would restart every pod, and
which no StatefulSet takes for its claims.
*/}}
{{- define "common.podLabels" -}}
{{ include "common.selectorLabels" .context }}
app.kubernetes.io/part-of: shop
app.kubernetes.io/component: {{ required "common.podLabels needs a component" .component }}
{{- end }}

{{/*
What selects pods. It cannot change once it is in a cluster.
*/}}
{{- define "common.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
