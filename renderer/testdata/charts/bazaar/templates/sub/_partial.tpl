{{- define "bazaar.count" }}{{ len . }}{{ end }}
