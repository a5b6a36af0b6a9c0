{{/*
What selects pods. It cannot change once it is in a cluster.
*/}}
{{- define "reviews.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
The labels of objects. Pods have no version of the chart in theirs, which would restart them at each.
*/}}
{{- define "reviews.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "reviews.selectorLabels" . }}
app.kubernetes.io/part-of: shop
app.kubernetes.io/component: microservice
{{- end }}

{{- define "reviews.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
{{- end }}

{{/*
The configuration, here and not in its template so that its digest in the pods is of nothing else.
*/}}
{{- define "reviews.config" -}}
LOG_LEVEL: {{ .Values.logLevel }}
CATALOG_URL: http://catalog
{{- end }}

{{/*
How a container finds the database: the same for the service and for the migration.
*/}}
{{- define "reviews.databaseEnv" -}}
- name: PGHOST
  value: {{ .Values.database.host | quote }}
- name: PGPORT
  value: "5432"
- name: PGDATABASE
  value: {{ .Values.database.name | quote }}
- name: PGUSER
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secret }}
      key: username
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secret }}
      key: password
{{- end }}

{{- define "reviews.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "reviews.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
