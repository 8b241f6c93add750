{{- define "stream-lineage.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stream-lineage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stream-lineage.labels" -}}
{{ include "stream-lineage.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "stream-lineage.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "stream-lineage.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The pod of a role. Takes a dict: root, role (the command) and values (the role's own). */}}
{{- define "stream-lineage.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "stream-lineage.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "stream-lineage.serviceAccount" $root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .role }}
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [{{ .role }}, --config, /etc/stream-lineage/config.yaml]
      env:
        - name: STREAM_LINEAGE_STATE_DIR
          value: /var/lib/stream-lineage
        - name: STREAM_LINEAGE_LOG_FORMAT
          value: json
        - name: STREAM_LINEAGE_TELEMETRY_LISTEN
          value: 0.0.0.0:9464
        {{- if and (eq .role "collect") .values.staticMembership }}
        - name: STREAM_LINEAGE_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- if eq .role "serve" }}
        - name: STREAM_LINEAGE_SERVE_LISTEN
          value: 0.0.0.0:8080
        - name: STREAM_LINEAGE_SERVE_AUTH
          value: {{ .values.auth | quote }}
        {{- end }}
        {{- $own := .values.secrets | default list }}
        {{- $said := list }}
        {{- range $own }}{{ $said = append $said .variable }}{{ end }}
        {{- $secrets := $own }}
        {{- range $root.Values.secrets }}{{ if not (has .variable $said) }}{{ $secrets = append $secrets . }}{{ end }}{{ end }}
        {{- range $secrets }}
        - name: {{ .variable }}
          valueFrom: {secretKeyRef: {name: {{ .secretName | quote }}, key: {{ .key | quote }}}}
        {{- end }}
      ports:
        - {name: telemetry, containerPort: 9464}
        {{- if eq .role "serve" }}
        - {name: api, containerPort: 8080}
        {{- end }}
      {{- /* The API by itself: its metrics are answered beside it. */}}
      {{- $probed := eq .role "serve" | ternary "api" "telemetry" }}
      startupProbe:
        httpGet: {path: /healthz, port: {{ $probed }}}
        periodSeconds: 5
        failureThreshold: 36
      livenessProbe:
        httpGet: {path: /healthz, port: {{ $probed }}}
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: {{ $probed }}}
        periodSeconds: 10
        timeoutSeconds: 10
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/stream-lineage/config.yaml, subPath: config.yaml, readOnly: true}
        - {name: state, mountPath: /var/lib/stream-lineage}
        - {name: tmp, mountPath: /tmp}
        {{- range $root.Values.files }}
        - {name: file-{{ .name }}, mountPath: /etc/stream-lineage/files/{{ .name }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "stream-lineage.name" $root }}}
    - name: tmp
      emptyDir: {}
    {{- if not (and .values.persistence .values.persistence.enabled) }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- range $root.Values.files }}
    - name: file-{{ .name }}
      {{- if .secretName }}
      secret: {secretName: {{ .secretName | quote }}}
      {{- else }}
      configMap: {name: {{ .configMapName | quote }}}
      {{- end }}
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
