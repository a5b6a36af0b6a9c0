{{- define "driftless.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "driftless.fullname" -}}
{{- $name := include "driftless.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "driftless.selectorLabels" -}}
app.kubernetes.io/name: {{ include "driftless.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "driftless.labels" -}}
{{ include "driftless.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}

{{/* Labels and annotations, for metadata that stands at two spaces. */}}
{{- define "driftless.marks" }}
  labels:
    {{- include "driftless.labels" . | nindent 4 }}
  {{- with .Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "driftless.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "driftless.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed with serviceAccount.create: false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* With a dot, which no sync has in its name: the state of the sync `config` is driftless-config. */}}
{{- define "driftless.configMapName" -}}
{{- .Values.existingConfigMap | default (printf "%s.config" (include "driftless.fullname" .)) -}}
{{- end -}}

{{- define "driftless.image" -}}
{{- $repository := required "image.repository is needed: where you keep the image of driftless, such as registry.example.com/driftless; no public one exists" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "driftless.port" -}}
{{- .Values.config.listen | default "0.0.0.0:8080" | regexFind "[0-9]+$" -}}
{{- end -}}

{{/* The port of webhooks; nothing where none are received. */}}
{{- define "driftless.hooksPort" -}}
{{- with .Values.config.hooks -}}
{{- .listen | default "0.0.0.0:9292" | regexFind "[0-9]+$" -}}
{{- end -}}
{{- end -}}

{{- define "driftless.dataDir" -}}
{{- .Values.config.dataDir | default "/var/lib/driftless" -}}
{{- end -}}

{{/* The ports of git hosts, chart repositories and other hosts that renders fetch from, as a JSON list. Of an address without a port: that of its scheme. */}}
{{- define "driftless.gitPorts" -}}
{{- $ports := .Values.networkPolicy.gitPorts -}}
{{- if and (not $ports) .Values.existingConfigMap -}}
{{- $ports = list 443 22 -}}
{{- else if not $ports -}}
{{- $urls := list -}}
{{- range .Values.config.syncs -}}
  {{- $urls = append $urls .source.url -}}
  {{- with .render -}}
    {{- with .helm -}}{{- with .repository -}}
      {{- $urls = append $urls (. | replace "oci://" "https://") -}}
      {{- /* Archives that an index names are mostly there. */ -}}
      {{- $ports = append $ports 443 -}}
    {{- end -}}{{- end -}}
    {{- range .remoteHosts -}}
      {{- $urls = append $urls (contains "://" . | ternary . (printf "https://%s" .)) -}}
      {{- if not (contains ":" .) -}}
        {{- $ports = append $ports 22 -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- range $urls -}}
  {{- $url := . -}}
  {{- $given := regexFind "^[a-z]+://[^/]*:[0-9]+(/|$)" $url | regexFind "[0-9]+/?$" | trimSuffix "/" -}}
  {{- if $given -}}
    {{- $ports = append $ports (int $given) -}}
  {{- else if hasPrefix "https://" $url -}}
    {{- $ports = append $ports 443 -}}
  {{- else if hasPrefix "http://" $url -}}
    {{- $ports = append $ports 80 -}}
  {{- else if not (hasPrefix "file://" $url) -}}
    {{- $ports = append $ports 22 -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}
