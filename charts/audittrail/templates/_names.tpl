{{- define "audittrail.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "audittrail.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "audittrail.labels" -}}
{{ include "audittrail.selector" . }}
{{ include "audittrail.labels.chart" . }}
{{- end -}}

{{- define "audittrail.labels.chart" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "audittrail.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "audittrail.serviceAccount" -}}
{{- default (ternary (include "audittrail.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "audittrail.tlsSecret" -}}
{{- default (ternary (printf "%s-tls" (include "audittrail.fullname" .)) "" .Values.tls.certManager.enabled) .Values.tls.secret -}}
{{- end -}}

{{- define "audittrail.servicePort" -}}
{{- default (ternary 443 80 (ne (include "audittrail.tlsSecret" .) "")) .Values.service.port -}}
{{- end -}}
