{{- define "flowgram.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "flowgram.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "flowgram.selector" . }}
{{- end -}}

{{- define "flowgram.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "flowgram.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "flowgram.check" -}}
{{- if not (has .Values.runtime (list "embedded" "temporal")) -}}
{{- fail (printf "runtime must be embedded or temporal, not %s" .Values.runtime) -}}
{{- end -}}
{{- if not .Values.insecureRemote -}}
{{- if not .Values.tls.secretName -}}
{{- fail "set tls.secretName, or insecureRemote for a server without TLS and authentication" -}}
{{- end -}}
{{- if not (or .Values.auth.apiKeysSecret .Values.authInSettings .Values.tls.clientCA) -}}
{{- fail "set auth.apiKeysSecret, or authInSettings and settings.auth, or tls.clientCA, or insecureRemote for a server without authentication" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "flowgram.serverEnvironment" -}}
- name: FLOWGRAM_ALLOWED_HOSTS
  value: {{ concat (list (include "flowgram.name" .) (printf "%s.%s.svc" (include "flowgram.name" .) .Release.Namespace)) .Values.allowedHosts | join "," | quote }}
{{- if .Values.insecureRemote }}
- {name: FLOWGRAM_INSECURE_REMOTE, value: "true"}
{{- end }}
{{- if .Values.tls.secretName }}
- {name: FLOWGRAM_TLS__CERT_FILE, value: /etc/flowgram/tls/tls.crt}
- {name: FLOWGRAM_TLS__KEY_FILE, value: /etc/flowgram/tls/tls.key}
{{- if .Values.tls.clientCA }}
- {name: FLOWGRAM_TLS__CLIENT_CA_FILE, value: /etc/flowgram/tls/{{ .Values.tls.clientCA }}}
{{- end }}
{{- end }}
{{- if .Values.auth.apiKeysSecret }}
- {name: FLOWGRAM_AUTH__API_KEYS_FILE, value: /etc/flowgram/keys/keys}
{{- end }}
{{- end -}}

{{- define "flowgram.environment" -}}
- {name: FLOWGRAM_RUNTIME, value: {{ .Values.runtime }}}
- {name: FLOWGRAM_SHUTDOWN_GRACE, value: {{ .Values.shutdownGrace | quote }}}
{{- if .Values.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .Values.otlpEndpoint | quote }}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "flowgram.containerRest" -}}
image: {{ include "flowgram.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
resources: {{ toYaml .Values.resources | nindent 2 }}
{{- with .Values.envFrom }}
envFrom: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "flowgram.podMeta" -}}
annotations:
  checksum/settings: {{ include (print $.Template.BasePath "/settings.yaml") . | sha256sum }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "flowgram.podRest" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add .Values.shutdownGrace 10 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "flowgram.mounts" -}}
- {name: settings, mountPath: /etc/flowgram/settings, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.tls.secretName }}
- {name: tls, mountPath: /etc/flowgram/tls, readOnly: true}
{{- end }}
{{- if .Values.auth.apiKeysSecret }}
- {name: keys, mountPath: /etc/flowgram/keys, readOnly: true}
{{- end }}
{{- end -}}

{{- define "flowgram.volumes" -}}
- name: settings
  configMap: {name: {{ include "flowgram.name" . }}-settings}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- if .Values.tls.secretName }}
- name: tls
  secret: {secretName: {{ .Values.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- if .Values.auth.apiKeysSecret }}
- name: keys
  secret: {secretName: {{ .Values.auth.apiKeysSecret }}, defaultMode: 0440}
{{- end }}
{{- end -}}
