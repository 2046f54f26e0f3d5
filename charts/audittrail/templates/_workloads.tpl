{{/* The workloads, as a map by component: {name, roles, ready, and the role's values}. `ready` is the role that readiness asks about. */}}
{{- define "audittrail.workloads" -}}
{{- $all := dict -}}
{{- $names := list -}}
{{- range $role, $values := .Values.roles -}}
  {{- $v := mustMergeOverwrite (deepCopy $.Values.roleDefaults) (deepCopy $values) -}}
  {{- if $v.enabled -}}
    {{- $names = append $names $role -}}
    {{- if eq $.Values.topology "split" -}}
      {{- $_ := set $all $role (dict "name" (printf "%s-%s" (include "audittrail.fullname" $) $role) "roles" (list $role) "ready" $role "values" $v) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if eq .Values.topology "single" -}}
  {{- $v := mustMergeOverwrite (deepCopy .Values.roleDefaults) (deepCopy .Values.single) -}}
  {{- $_ := set $all "all" (dict "name" (include "audittrail.fullname" .) "roles" $names "ready" (ternary "api" "" (has "api" $names)) "values" $v) -}}
{{- end -}}
{{- range $component, $w := $all -}}
  {{- if and (has "maintain" $w.roles) (include "audittrail.sealing" $) -}}
    {{- $_ := set $w.values "stateful" true -}}
  {{- end -}}
  {{- if and (has "notary" $w.roles) (not $w.values.stateful) -}}
    {{- fail (printf "%s runs the notary, so it needs stateful: true: the notary's memory must outlive its pods" $w.name) -}}
  {{- end -}}
  {{- if and $w.values.autoscaling.enabled $w.values.keda.enabled -}}
    {{- fail (printf "%s: enable autoscaling or keda, not both" $w.name) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Not empty where values are sealed or opened. */}}
{{- define "audittrail.sealing" -}}
{{- if or (hasKey .Values.secrets "encryption.kek_url") (default dict .Values.config.encryption).kek_url -}}true{{- end -}}
{{- end -}}

{{/* The configuration file: what the user gave, and what the chart knows. {root, values}, these of a workload: without kafka, no login there; without seals, no rules: their secret would be missing. */}}
{{- define "audittrail.config" -}}
{{- $v := .values -}}
{{- with .root -}}
{{- $ := . -}}
{{- range $path := list "roles" "shutdown" "http.addr" "admin.addr" "http.tls.cert" "http.tls.key" "http.tls_terminated" "admin.tls" "notary.state_file" "encryption.journal" -}}
  {{- $at := $.Values.config -}}
  {{- range $part := splitList "." $path -}}
    {{- $at = ternary (get (ternary $at dict (kindIs "map" $at)) $part) "" (kindIs "map" $at) -}}
  {{- end -}}
  {{- if $at -}}{{- fail (printf "config.%s is set by the chart: use topology, roles, shutdown or tls" $path) -}}{{- end -}}
{{- end -}}
{{- range $key := concat (keys .Values.secrets | sortAlpha) (list "encryption.keys_url") -}}
  {{- $at := $.Values.config -}}
  {{- range $part := splitList "." $key -}}
    {{- $at = ternary (get (ternary $at dict (kindIs "map" $at)) $part) "" (kindIs "map" $at) -}}
  {{- end -}}
  {{- if $at -}}{{- fail (printf "config.%s is a secret: the ConfigMap can be read by many; leave it to secrets" $key) -}}{{- end -}}
{{- end -}}
{{- $encryption := default dict .Values.config.encryption -}}
{{- if and $encryption.rules (not (include "audittrail.sealing" .)) -}}
  {{- fail "config.encryption.rules: which key seals? Give secrets.encryption.kek_url, or config.encryption.kek_url if the URL holds no secret" -}}
{{- end -}}
{{- if hasPrefix "base64key:" (default "" $encryption.kek_url) -}}
  {{- fail "config.encryption.kek_url holds the key itself: the ConfigMap can be read by many; leave it to secrets" -}}
{{- end -}}
{{- $own := dict
    "http" (dict "addr" ":8080")
    "admin" (dict "addr" ":9090")
    "shutdown" (dict "delay" (printf "%ds" (int .Values.shutdown.delaySeconds)) "grace" (printf "%ds" (int .Values.shutdown.graceSeconds)))
    "notary" (dict "state_file" "/var/lib/audittrail/notary.json") -}}
{{- $pair := dict "cert" "/etc/audittrail/tls/tls.crt" "key" "/etc/audittrail/tls/tls.key" -}}
{{- if include "audittrail.tlsSecret" . -}}
  {{- $_ := set $own.http "tls" $pair -}}
  {{- if .Values.tls.admin -}}{{- $_ := set $own.admin "tls" $pair -}}{{- end -}}
{{- else if .Values.tls.terminated -}}
  {{- $_ := set $own.http "tls_terminated" true -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- if and (not $v.kafka) $config.kafka -}}{{- $_ := set $config "kafka" (omit $config.kafka "sasl") -}}{{- end -}}
{{- if and (not $v.seals) $config.encryption -}}{{- $_ := set $config "encryption" (omit $config.encryption "rules" "kek_url") -}}{{- end -}}
{{- if include "audittrail.sealing" . -}}{{- $_ := set $own "encryption" (dict "journal" "/var/lib/audittrail/erasures.jsonl") -}}{{- end -}}
{{- toYaml (mustMergeOverwrite $config $own) -}}
{{- end -}}
{{- end -}}

{{/* The file of that configuration: {root, values}. */}}
{{- define "audittrail.configFile" -}}
{{- $without := list -}}
{{- if not .values.kafka -}}{{- $without = append $without "kafka-login" -}}{{- end -}}
{{- if and (not .values.seals) (include "audittrail.sealing" .root) -}}{{- $without = append $without "rules" -}}{{- end -}}
{{- if $without -}}without-{{ join "-and-" $without }}.yaml{{- else -}}audittrail.yaml{{- end -}}
{{- end -}}

{{- define "audittrail.env" -}}AUDITTRAIL_{{ . | upper | replace "." "_" }}_FILE{{- end -}}

{{- define "audittrail.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "audittrail.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* A pod template of a workload: {root, component, workload}. */}}
{{- define "audittrail.pod" -}}
{{- $ := .root -}}
{{- $w := .workload -}}
{{- $component := .component -}}
{{- $v := $w.values -}}
{{- $tls := and (include "audittrail.tlsSecret" $) (or (has "api" $w.roles) $.Values.tls.admin) -}}
{{- $mine := dict -}}
{{- $needless := list -}}
{{- if not $v.seals -}}
  {{- $needless = ternary (list "encryption.kek_url") (list "encryption.kek_url" "encryption.keys_url") (has "maintain" $w.roles) -}}
{{- end -}}
{{- range $key, $s := $.Values.secrets -}}
  {{- $for := default $w.roles $s.roles -}}
  {{- range $role := $w.roles -}}{{- if and (has $role $for) (not (has $key $needless)) -}}{{- $_ := set $mine $key $s -}}{{- end -}}{{- end -}}
{{- end -}}
{{- $mounts := list -}}
{{- range $m := $.Values.mounts -}}
  {{- $for := default $w.roles $m.roles -}}
  {{- $wanted := false -}}
  {{- range $role := $w.roles -}}{{- if has $role $for -}}{{- $wanted = true -}}{{- end -}}{{- end -}}
  {{- if $wanted -}}{{- $mounts = append $mounts $m -}}{{- end -}}
{{- end -}}
{{- $scheme := ternary "HTTPS" "HTTP" (and $.Values.tls.admin (ne (include "audittrail.tlsSecret" $) "")) -}}
metadata:
  labels:
    {{- include "audittrail.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include "audittrail.config" (dict "root" $ "values" $v) | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "audittrail.serviceAccount" $ }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # More than shutdown.delay and shutdown.grace together.
  terminationGracePeriodSeconds: {{ add $.Values.shutdown.delaySeconds $.Values.shutdown.graceSeconds 5 }}
  securityContext: {{- include "audittrail.podSecurity" $ | nindent 4 }}
  {{- with $.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: audittrail
      image: {{ include "audittrail.image" $ }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      args: [serve, {{ printf "--roles=%s" (join "," $w.roles) | quote }}]
      env:
        - {name: AUDITTRAIL_CONFIG, value: /etc/audittrail/config/{{ include "audittrail.configFile" (dict "root" $ "values" $v) }}}
        {{- range $key, $_ := $mine }}
        - {name: {{ include "audittrail.env" $key }}, value: /etc/audittrail/secrets/{{ $key }}}
        {{- end }}
        {{- with $.Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        {{- if has "api" $w.roles }}
        - {name: api, containerPort: 8080}
        {{- end }}
        - {name: admin, containerPort: 9090}
      startupProbe:
        httpGet: {path: /startupz, port: admin, scheme: {{ $scheme }}}
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: admin, scheme: {{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: {{ ternary (printf "/readyz/%s" $w.ready) "/readyz" (ne $w.ready "") }}, port: admin, scheme: {{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      resources: {{- toYaml $v.resources | nindent 8 }}
      securityContext: {{- include "audittrail.containerSecurity" $ | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/audittrail/config, readOnly: true}
        {{- if $mine }}
        - {name: secrets, mountPath: /etc/audittrail/secrets, readOnly: true}
        {{- end }}
        {{- if $tls }}
        - {name: tls, mountPath: /etc/audittrail/tls, readOnly: true}
        {{- end }}
        {{- range $mounts }}
        - {name: {{ printf "mount-%s" .name }}, mountPath: {{ .path }}, readOnly: true}
        {{- end }}
        {{- if $v.stateful }}
        - {name: state, mountPath: /var/lib/audittrail}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "audittrail.fullname" $ }}}
    {{- if $mine }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $key, $s := $mine }}
          - secret: {name: {{ $s.name }}, items: [{key: {{ $s.key }}, path: {{ $key }}}]}
          {{- end }}
    {{- end }}
    {{- if $tls }}
    - name: tls
      secret: {secretName: {{ include "audittrail.tlsSecret" $ }}, defaultMode: 0440}
    {{- end }}
    {{- range $mounts }}
    - name: {{ printf "mount-%s" .name }}
      {{- if .secret }}
      secret: {secretName: {{ .secret }}, defaultMode: 0440}
      {{- else }}
      configMap: {name: {{ .configMap }}}
      {{- end }}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $v.topologySpread }}
    {{- toYaml $v.topologySpread | nindent 4 }}
    {{- else }}
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "audittrail.selector" $ | nindent 10 }}
          app.kubernetes.io/component: {{ $component }}
    {{- end }}
    {{- end }}
{{- end -}}
