{{/* Values that do not fit together. What a single one may be is in values.schema.json. */}}
{{- define "driftless.checks" -}}
{{- $config := .Values.config -}}
{{- $rbac := .Values.rbac -}}
{{- if and $config.namespace (ne $config.namespace .Release.Namespace) -}}
{{- fail (printf "config.namespace is %s, but the release is in %s, which is where the agent's permissions are: leave it out" $config.namespace .Release.Namespace) -}}
{{- end -}}
{{- if and .Values.existingConfigMap $config.syncs -}}
{{- fail (printf "config.syncs would be ignored, since existingConfigMap is %s: take one of them out" .Values.existingConfigMap) -}}
{{- end -}}
{{- if and (eq $rbac.scope "namespaced") (not $rbac.namespaces) -}}
{{- fail "rbac.scope is namespaced, but rbac.namespaces is empty: name the namespaces that the agent may write to" -}}
{{- end -}}
{{- if eq $rbac.scope "impersonation" -}}
  {{- range ternary list $config.syncs (ne .Values.existingConfigMap "") -}}
    {{- if not .serviceAccount -}}
      {{- fail (printf "rbac.scope is impersonation, but the sync %s has no serviceAccount to act as" .name) -}}
    {{- end -}}
  {{- end -}}
  {{- if and .Values.existingConfigMap (not $rbac.serviceAccounts) -}}
    {{- fail "rbac.scope is impersonation: with existingConfigMap, rbac.serviceAccounts has to name the accounts" -}}
  {{- end -}}
{{- end -}}
{{- if and (ne $rbac.scope "namespaced") (ne $rbac.scope "impersonation") $rbac.namespaces -}}
{{- fail (printf "rbac.namespaces has no meaning with rbac.scope: %s" $rbac.scope) -}}
{{- end -}}
{{- if and (or $rbac.extraRules $rbac.allowEscalation) (not (has $rbac.scope (list "cluster" "namespaced"))) -}}
{{- fail (printf "rbac.extraRules and rbac.allowEscalation have no meaning with rbac.scope: %s; give the rights to the accounts" $rbac.scope) -}}
{{- end -}}
{{- if and $rbac.clusterAdmin (ne $rbac.scope "cluster") -}}
{{- fail (printf "rbac.clusterAdmin has no meaning with rbac.scope: %s" $rbac.scope) -}}
{{- end -}}
{{- if eq .Values.dataVolume.type "existingClaim" -}}
  {{- $_ := required "dataVolume.existingClaim is needed with dataVolume.type: existingClaim" .Values.dataVolume.existingClaim -}}
  {{- if gt (int .Values.replicaCount) 1 -}}
    {{- fail "dataVolume.type: existingClaim is for one replica, since replicas must not share a claim: set replicaCount: 1, or take ephemeral" -}}
  {{- end -}}
{{- end -}}
{{- if and (hasKey $config "leaderElection") $config.leaderElection (eq (toString $config.leaderElection.enabled) "false") (gt (int .Values.replicaCount) 1) -}}
{{- fail "without leader election only one replica may run: set replicaCount: 1, or leave config.leaderElection out" -}}
{{- end -}}
{{- end -}}
