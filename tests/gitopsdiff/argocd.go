package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/sync"
	synccommon "github.com/argoproj/argo-cd/gitops-engine/v3/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The modes of Argo CD's diff.
const (
	twoWay     = "two-way"
	threeWay   = "three-way"
	serverSide = "server-side"
)

func kubectl() *kube.KubectlCmd {
	return &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
}

// settingsOfArgoCD are those of the application controller, CompareAppState in controller/state.go, for an argocd-cm without data.
// Without data, SettingsManager.GetResourceOverrides ignores every status.
func settingsOfArgoCD() *argodiff.DiffConfigBuilder {
	overrides := map[string]v1alpha1.ResourceOverride{
		"*/*": {IgnoreDifferences: v1alpha1.OverrideIgnoreDiff{JSONPointers: []string{"/status"}}},
	}
	ignoreAggregatedRoles := settings.GetDefaultDiffOptions().IgnoreAggregatedRoles
	return argodiff.NewDiffConfigBuilder().
		WithDiffSettings(nil, overrides, ignoreAggregatedRoles, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(v1alpha1.TrackingMethodAnnotation)).
		WithNoCache().
		WithManager(common.ArgoCDSSAManager)
}

func (c cluster) argocdDiff(ctx context.Context, manifest []*unstructured.Unstructured, mode string) ([]difference, error) {
	builder := settingsOfArgoCD()
	if mode == serverSide {
		_, parser, err := kubectl().LoadOpenAPISchema(c.config)
		if err != nil {
			return nil, err
		}
		applier, cleanup, err := kubectl().ManageServerSideDiffDryRuns(c.config)
		if err != nil {
			return nil, err
		}
		defer cleanup()
		builder = builder.WithGVKParser(parser).WithServerSideDiff(true).
			WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier))
	}
	var differences []difference
	for _, object := range manifest {
		live, err := c.live(ctx, object)
		if err != nil {
			return nil, err
		}
		d, err := argocdCompare(ctx, builder, object, live, mode)
		if err != nil {
			return nil, err
		}
		if d != nil {
			differences = append(differences, *d)
		}
	}
	return differences, nil
}

// argocdCompare returns nil if the object does not differ. A live object that the cluster lacks is nil.
func argocdCompare(ctx context.Context, builder *argodiff.DiffConfigBuilder, object, live *unstructured.Unstructured, mode string) (*difference, error) {
	if live != nil {
		if _, marked := live.GetAnnotations()[common.AnnotationKeyAppInstance]; marked {
			if err := track(object); err != nil {
				return nil, err
			}
		}
		annotations := live.GetAnnotations()
		_, applied := annotations[diff.AnnotationLastAppliedConfig]
		switch {
		case mode == threeWay && !applied:
			return nil, fmt.Errorf("%s: has no last-applied annotation, so Argo CD does not compare three ways", name(object))
		// Argo CD compares two ways what nobody applied from a client.
		case mode == twoWay && applied:
			live = live.DeepCopy()
			delete(annotations, diff.AnnotationLastAppliedConfig)
			live.SetAnnotations(annotations)
		}
	}
	config, err := builder.Build()
	if err != nil {
		return nil, err
	}
	result, err := argodiff.StateDiff(ctx, live, object, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name(object), err)
	}
	if !result.Modified {
		return nil, nil
	}
	d, err := differ(object, result.NormalizedLive, result.PredictedLive)
	return &d, err
}

// track marks an object as the repo-server does when it renders a manifest.
func track(object *unstructured.Unstructured) error {
	if kube.IsCRD(object) {
		return nil
	}
	return argo.NewResourceTracking().
		SetAppInstance(object, common.LabelKeyAppInstance, owner, object.GetNamespace(), v1alpha1.TrackingMethodAnnotation, "")
}

// argocdApply synchronizes as SyncAppState in controller/sync.go does; serverSide and replace are the sync options of these names.
func (c cluster) argocdApply(ctx context.Context, manifest []*unstructured.Unstructured, serverSide, replace bool, stdout io.Writer) error {
	pairs := sync.ReconciliationResult{Target: manifest}
	for _, object := range manifest {
		if err := track(object); err != nil {
			return fmt.Errorf("%s: %w", name(object), err)
		}
		live, err := c.live(ctx, object)
		if err != nil {
			return err
		}
		pairs.Live = append(pairs.Live, live)
	}
	operation, cleanup, err := sync.NewSyncContext("", pairs, c.config, c.config, kubectl(), c.namespace,
		sync.WithLogr(logr.Discard()),
		sync.WithOperationSettings(false, false, false, false),
		sync.WithManifestValidation(true),
		sync.WithReplace(replace),
		sync.WithServerSideApply(serverSide),
		sync.WithServerSideApplyManager(common.ArgoCDSSAManager),
		sync.WithClientSideApplyMigration(true, synccommon.DefaultClientSideApplyMigrationManager))
	if err != nil {
		return err
	}
	defer cleanup()
	for {
		operation.Sync(ctx)
		phase, message, results := operation.GetState()
		if !phase.Completed() {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: %s", ctx.Err(), message)
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		for _, result := range results {
			fmt.Fprintln(stdout, result.Message)
		}
		if !phase.Successful() {
			return fmt.Errorf("the sync is %s: %s", phase, message)
		}
		return nil
	}
}
