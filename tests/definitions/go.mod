// Resource definitions of others, as files of their modules, which go.sum pins. Nothing of them is built.
module meshagent.com/operator/definitions

go 1.26.0

require (
	github.com/fluxcd/helm-controller v1.6.1
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
