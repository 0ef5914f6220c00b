{{- /* The name of the release's objects. Those of a component other than the operator get its name behind it. */ -}}
{{- define "meshagent-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The same for objects of the cluster, of which two scoped releases may have one each. */ -}}
{{- define "meshagent-operator.clusterName" -}}
{{- if .Values.watchNamespaces -}}
{{- printf "%s-%s" .Release.Namespace (include "meshagent-operator.fullname" .) -}}
{{- else -}}
{{- include "meshagent-operator.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "meshagent-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "meshagent-operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- /* By which a Deployment and a Service find the operator's pods. */ -}}
{{- define "meshagent-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- /* By which they find the webhook's. */ -}}
{{- define "meshagent-operator.webhookSelectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "meshagent-operator.webhookName" -}}
{{- printf "%s-webhook" (include "meshagent-operator.fullname" .) -}}
{{- end -}}

{{- /* The Secret with the webhook's certificate, by whomever it is written. */ -}}
{{- define "meshagent-operator.webhookSecretName" -}}
{{- printf "%s-certificate" (include "meshagent-operator.webhookName" .) -}}
{{- end -}}

{{- /* Whether the operator that leads keeps the webhook's certificate; empty if not. */ -}}
{{- define "meshagent-operator.keepsCertificate" -}}
{{- if and .Values.injection.enabled (not .Values.injection.certManager) }}true{{ end -}}
{{- end -}}

{{- /* The pods that get a credential: labelled ones, but for those of this namespace and of the cluster's own. */ -}}
{{- define "meshagent-operator.podSelectors" -}}
objectSelector:
  matchExpressions:
    - {key: meshagent.com/oauth-client, operator: Exists}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{- list "kube-system" .Release.Namespace | toYaml | nindent 8 }}
    {{- with .Values.watchNamespaces }}
    - key: kubernetes.io/metadata.name
      operator: In
      values: {{- toYaml . | nindent 8 }}
    {{- end }}
{{- end -}}

{{- define "meshagent-operator.podRules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
  scope: Namespaced
{{- end -}}

{{- /* A mirror pod stands for one that its node runs already, and cannot be changed. */ -}}
{{- define "meshagent-operator.podConditions" -}}
- name: is-no-mirror-pod
  expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"
{{- end -}}

{{- define "meshagent-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: meshagent-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meshagent-operator.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry | default (.Values.global).imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- /* Requests and limits by the number of clients. Measured by make bench: 20 MB with 1,000 clients and 44 MB with 10,000, at most 20 and 46 after a start. */ -}}
{{- define "meshagent-operator.resources" -}}
{{- if .Values.resources -}}
{{- toYaml .Values.resources -}}
{{- else -}}
{{- $rows := list (list 5000 "64Mi" "128Mi") (list 10000 "96Mi" "192Mi") (list 20000 "160Mi" "320Mi") (list 50000 "320Mi" "640Mi") (list 100000 "640Mi" "1280Mi") -}}
{{- $row := last $rows -}}
{{- range reverse $rows }}{{ if le (int $.Values.clients) (index . 0) }}{{ $row = . }}{{ end }}{{ end -}}
requests: {cpu: 50m, memory: {{ index $row 1 }}}
limits: {memory: {{ index $row 2 }}}
{{- end -}}
{{- end -}}

{{- define "meshagent-operator.args" -}}
- run
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
- --resync-interval={{ .Values.resyncInterval }}
- --default-deletion-policy={{ .Values.defaultDeletionPolicy }}
- --allowed-api-hosts={{ join "," .Values.allowedApiHosts }}
{{- with .Values.clusterId }}
- {{ printf "--cluster-id=%s" . | quote }}
{{- end }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.defaultProject.secretName }}
- --default-project-secret={{ . }}/{{ $.Values.defaultProject.secretKey }}
{{- end }}
{{- if include "meshagent-operator.keepsCertificate" . }}
- --webhook={{ include "meshagent-operator.clusterName" . }}/{{ include "meshagent-operator.webhookSecretName" . }}
{{- end }}
{{- end -}}

{{- define "meshagent-operator.webhookArgs" -}}
- webhook
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
- --https-address=0.0.0.0:{{ .Values.injection.port }}
- --inject-as={{ .Values.injection.form }}
{{- with .Values.injection.skipContainers }}
- --skip-containers={{ join "," . }}
{{- end }}
{{- end -}}

{{- define "meshagent-operator.env" -}}
- name: MESHAGENT_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- $proxy := .Values.proxy }}
{{- with $proxy.http }}
- {name: HTTP_PROXY, value: {{ quote . }}}
{{- end }}
{{- with $proxy.https }}
- {name: HTTPS_PROXY, value: {{ quote . }}}
{{- end }}
{{- if or $proxy.http $proxy.https }}
- name: NO_PROXY
  value: {{ prepend (compact (list $proxy.exclude)) "$(KUBERNETES_SERVICE_HOST),kubernetes.default.svc" | join "," | quote }}
{{- end }}
{{- end -}}

{{- /* What the pods of both Deployments have in common. Takes the root and the labels that select its pods. */ -}}
{{- define "meshagent-operator.commonPodSpec" -}}
{{- with .root.Values.image.pullSecrets | default (.root.Values.global).imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") }}
  {{- end }}
{{- end }}
nodeSelector: {kubernetes.io/os: linux}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- $.selected | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* What their containers have in common. */ -}}
{{- define "meshagent-operator.commonContainer" -}}
image: {{ include "meshagent-operator.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: http}
  timeoutSeconds: 5
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* The operator's pod, before `pod` is merged into it. */ -}}
{{- define "meshagent-operator.podSpec" -}}
serviceAccountName: {{ include "meshagent-operator.serviceAccountName" . }}
automountServiceAccountToken: true
# Above the 20 seconds that work under way has to end.
terminationGracePeriodSeconds: 30
{{ include "meshagent-operator.commonPodSpec" (dict "root" . "selected" (include "meshagent-operator.selectorLabels" .)) }}
containers:
  - name: operator
    args: {{- include "meshagent-operator.args" . | nindent 6 }}
    env: {{- include "meshagent-operator.env" . | nindent 6 }}
    ports:
      - {name: http, containerPort: 8080, protocol: TCP}
    resources: {{- include "meshagent-operator.resources" . | nindent 6 }}
    {{- include "meshagent-operator.commonContainer" . | nindent 4 }}
{{- end -}}

{{- /* The webhook's pod, before `pod` is merged into it: without a token, since it talks to nobody. */ -}}
{{- define "meshagent-operator.webhookPodSpec" -}}
serviceAccountName: {{ ternary (include "meshagent-operator.webhookName" .) "default" .Values.serviceAccount.create }}
automountServiceAccountToken: false
enableServiceLinks: false
# Above the 10 seconds for which it serves on.
terminationGracePeriodSeconds: 20
{{ include "meshagent-operator.commonPodSpec" (dict "root" . "selected" (include "meshagent-operator.webhookSelectorLabels" .)) }}
containers:
  - name: webhook
    args: {{- include "meshagent-operator.webhookArgs" . | nindent 6 }}
    ports:
      - {name: https, containerPort: {{ .Values.injection.port }}, protocol: TCP}
      - {name: http, containerPort: 8080, protocol: TCP}
    resources:
      {{- if .Values.injection.resources }}
      {{- toYaml .Values.injection.resources | nindent 6 }}
      {{- else }}
      requests: {cpu: 20m, memory: 32Mi}
      limits: {memory: 128Mi}
      {{- end }}
    volumeMounts:
      - {name: certificates, mountPath: /certificates, readOnly: true}
    {{- include "meshagent-operator.commonContainer" . | nindent 4 }}
volumes:
  # Never by subPath: a new certificate would not arrive.
  - name: certificates
    secret: {secretName: {{ include "meshagent-operator.webhookSecretName" . }}}
{{- end -}}

{{- /* A pod's spec, `base`, with a value merged into it, `more`; its containers for the other Deployment are left out. */ -}}
{{- define "meshagent-operator.mergedPodSpec" -}}
{{- $merged := mustMergeOverwrite (deepCopy .base) (omit .more "containers" | deepCopy) -}}
{{- $ours := first .base.containers -}}
{{- $others := list -}}
{{- range .more.containers -}}
{{- if eq .name $ours.name -}}
{{- $lists := dict -}}
{{- range $field := list "args" "env" "volumeMounts" -}}
{{- $_ := set $lists $field (index $ours $field | default list) -}}
{{- end -}}
{{- range $field, $values := pick . "args" "env" "volumeMounts" -}}
{{- $_ := set $lists $field (concat (index $lists $field) $values) -}}
{{- end -}}
{{- $ours = mustMergeOverwrite (deepCopy $ours) (deepCopy .) $lists -}}
{{- else if not (has .name (list "operator" "webhook")) -}}
{{- $others = append $others . -}}
{{- end -}}
{{- end -}}
{{- range $field := list "args" "env" "volumeMounts" -}}
{{- if not (index $ours $field) }}{{ $_ := unset $ours $field }}{{ end -}}
{{- end -}}
{{- $_ := set $merged "containers" (prepend $others $ours) -}}
{{- with concat (.base.volumes | default list) (.more.volumes | default list) }}{{ $_ := set $merged "volumes" . }}{{ end -}}
{{- toYaml $merged -}}
{{- end -}}

{{- /* The operator's rules: all of them as `all`; those of the cluster as `cluster`, and those of namespaces as `namespaced`. */ -}}
{{- define "meshagent-operator.rules" -}}
{{- $ofCluster := list "clustermeshagentprojects" "clustermeshagentprojects/status" "namespaces" "customresourcedefinitions" -}}
{{- $rules := list -}}
{{- range (.Files.Get "files/cluster-role.yaml" | fromYaml).rules -}}
{{- $cluster := has (first .resources) $ofCluster -}}
{{- $forId := has "kube-system" (.resourceNames | default list) -}}
{{- $left := or (and $forId $.Values.clusterId) (and (has "pods" .resources) (not $.Values.rbac.pods)) -}}
{{- if and (or (eq $.which "all") (eq $cluster (eq $.which "cluster"))) (not $left) -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- if and .Values.rollout.enabled (ne .which "cluster") -}}
{{- if not .Values.rbac.pods -}}
{{- fail "rollout.enabled needs rbac.pods, because only pods show which workloads hold a former credential; set rbac.pods to true, or rollout.enabled to false" -}}
{{- end -}}
{{- $rules = concat $rules (.Files.Get "files/restart-role.yaml" | fromYaml).rules -}}
{{- end -}}
{{- if and .webhook (ne .which "namespaced") -}}
{{- $rules = append $rules (dict "apiGroups" (list "admissionregistration.k8s.io") "resources" (list "mutatingwebhookconfigurations") "resourceNames" (list .webhook) "verbs" (list "get" "list" "watch" "patch")) -}}
{{- end -}}
{{- if and .Values.defaultProject.secretName (ne .which "namespaced") -}}
{{- $rules = append $rules (dict "apiGroups" (list "meshagent.com") "resources" (list "clustermeshagentprojects") "resourceNames" (list "default") "verbs" (list "create")) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
