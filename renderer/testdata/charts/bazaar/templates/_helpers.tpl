{{- define "bazaar.greeting" -}}
good day to {{ .who }} from {{ .root.Release.Name }}
{{- end -}}
{{- define "bazaar.labels" }}
app.kubernetes.io/name: {{ .Chart.Name }}
{{- with .Values.global.labels }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
