{{- define "port" -}}
{{- .Values.service.port.number -}}
{{- end -}}
