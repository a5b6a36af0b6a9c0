{{- define "kit.name" }}{{ $root := index . 0 }}{{ printf "%s-%s" $root.Release.Name (index . 1) | trunc 63 }}{{ end }}
