{{- define "crackseg.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "crackseg.account" -}}
{{- .Values.serviceAccount.name | default (include "crackseg.name" .) -}}
{{- end -}}

{{/* The one label that selects the operator's pods; it is the release's own. */}}
{{- define "crackseg.selector" -}}
app.kubernetes.io/name: {{ include "crackseg.name" . }}
{{- end -}}

{{- define "crackseg.labels" -}}
{{ include "crackseg.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Role or ClusterRole: everywhere, or in this namespace. */}}
{{- define "crackseg.scope" -}}
{{- if eq .Values.watch "AllNamespaces" -}}Cluster{{- end -}}
{{- end -}}

{{- define "crackseg.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end -}}
