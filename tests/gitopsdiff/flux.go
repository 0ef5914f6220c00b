package main

import (
	"context"
	"fmt"
	"io"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	fluxController = "kustomize-controller"
	fluxGroup      = "kustomize.toolkit.fluxcd.io"
)

func (c cluster) flux() *ssa.ResourceManager {
	poller := polling.NewStatusPoller(c.client, c.client.RESTMapper(), polling.Options{})
	return ssa.NewResourceManager(c.client, poller, ssa.Owner{Field: fluxController, Group: fluxGroup})
}

// fluxApplyOptions are those of kustomize-controller v1.10.1, apply in internal/controller/kustomization_controller.go, for a
// Kustomization that sets nothing.
func fluxApplyOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{fluxGroup + "/reconcile": "disabled", fluxGroup + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{fluxGroup + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation, fluxGroup + "/checksum", "fluxcd.io/sync-checksum"},
		Labels:      []string{"fluxcd.io/sync-gc-mark"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fluxController, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": "Merge"},
	}
	return options
}

func (c cluster) fluxDiff(ctx context.Context, manifest []*unstructured.Unstructured) ([]difference, error) {
	if err := normalize.UnstructuredList(manifest); err != nil {
		return nil, err
	}
	manager, apply := c.flux(), fluxApplyOptions()
	options := ssa.DiffOptions{
		Exclusions:           apply.ExclusionSelector,
		IfNotPresentSelector: apply.IfNotPresentSelector,
		ForceSelector:        apply.ForceSelector,
	}
	var differences []difference
	for _, object := range manifest {
		known, err := c.live(ctx, object)
		if err != nil {
			return nil, err
		}
		if known != nil && known.GetLabels()[fluxGroup+"/name"] != "" {
			manager.SetOwnerLabels([]*unstructured.Unstructured{object}, owner, ownerNamespace)
		}
		entry, live, made, err := manager.Diff(ctx, object, options)
		if err != nil {
			return nil, err
		}
		switch entry.Action {
		case ssa.UnchangedAction, ssa.SkippedAction:
			continue
		}
		d := difference{object: name(object), missing: known == nil}
		if entry.Action == ssa.ConfiguredAction {
			if d, err = differ(object, compared(live), compared(made)); err != nil {
				return nil, err
			}
		}
		differences = append(differences, d)
	}
	return differences, nil
}

// compared keeps what Flux compares: of metadata only labels and annotations, and no status.
func compared(object *unstructured.Unstructured) map[string]any {
	kept := object.DeepCopy().Object
	delete(kept, "status")
	kept["metadata"] = map[string]any{"labels": object.GetLabels(), "annotations": object.GetAnnotations()}
	return kept
}

// fluxApply prints each object with what kustomize-controller calls it: created, configured, unchanged or skipped.
func (c cluster) fluxApply(ctx context.Context, manifest []*unstructured.Unstructured, stdout io.Writer) error {
	manager := c.flux()
	manager.SetOwnerLabels(manifest, owner, ownerNamespace)
	if err := normalize.UnstructuredList(manifest); err != nil {
		return err
	}
	changed, err := manager.ApplyAllStaged(ctx, manifest, fluxApplyOptions())
	if changed != nil {
		for _, entry := range changed.Entries {
			fmt.Fprintf(stdout, "%s %s\n", entry.Subject, entry.Action)
		}
	}
	return err
}
