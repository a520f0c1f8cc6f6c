{{- define "riskml.selector" -}}
app.kubernetes.io/name: riskml
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "riskml.labels" -}}
{{ include "riskml.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "riskml.secret" -}}
{{ .Values.existingSecret | default .Release.Name }}
{{- end }}

{{- define "riskml.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s-%s" $image.repository .image -}}
{{- $digest := get $image.digests .image -}}
image: {{ if $digest }}{{ $name }}@{{ $digest }}{{ else }}{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- /* What every pod has in common. Service links would set RISKML_… variables of their own. */ -}}
{{- define "riskml.pod" -}}
serviceAccountName: {{ .Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "riskml.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Variables of the Secret: each container has those that it reads, and no others. */ -}}
{{- define "riskml.secretEnv" -}}
{{- $secret := include "riskml.secret" .root -}}
{{- range .needed }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}
{{- end }}
{{- range .optional }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}, optional: true}}
{{- end }}
{{- end }}

{{- define "riskml.metricsEnv" -}}
- name: RISKML_METRICS
  valueFrom: {configMapKeyRef: {name: {{ .Release.Name }}, key: RISKML_METRICS}}
{{- end }}

{{- /* Volumes and where they are mounted: all that may be written is /tmp. */ -}}
{{- define "riskml.bundlesVolume" -}}
- name: bundles
  persistentVolumeClaim:
    claimName: {{ .Values.bundles.existingClaim | default (printf "%s-bundles" .Release.Name) }}
    readOnly: true
{{- end }}

{{- define "riskml.reportsVolume" -}}
- name: reports
  persistentVolumeClaim:
    claimName: {{ .Values.reports.existingClaim | default (printf "%s-reports" .Release.Name) }}
{{- end }}

{{- /* A node that is emptied is no failure of a job. */ -}}
{{- define "riskml.drained" -}}
rules:
  - action: Ignore
    onPodConditions:
      - {type: DisruptionTarget, status: "True"}
{{- end }}

{{- define "riskml.bundle" -}}
/bundles/{{ .Values.bundles.path }}
{{- end }}
