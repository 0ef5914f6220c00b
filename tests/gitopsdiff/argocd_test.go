package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/diff"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func deployment(replicas int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: object{
		"apiVersion": "apps/v1",
		"kind":       "Deployment",
		"metadata":   object{"name": "shop", "namespace": "team"},
		"spec": object{
			"replicas":        replicas,
			"minReadySeconds": int64(5),
			"template":        object{"spec": object{"containers": []any{object{"name": "app", "image": "a:1"}}}},
		},
	}}
}

// changedByAnother is the deployment as kubectl applied it and as another manager then annotated its pods.
func changedByAnother(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	applied, err := json.Marshal(deployment(1))
	if err != nil {
		t.Fatal(err)
	}
	live := deployment(1)
	live.SetAnnotations(map[string]string{diff.AnnotationLastAppliedConfig: string(applied)})
	annotation := []string{"spec", "template", "metadata", "annotations", "example.com/by"}
	if err := unstructured.SetNestedField(live.Object, "someone", annotation...); err != nil {
		t.Fatal(err)
	}
	return live
}

func compare(t *testing.T, target, live *unstructured.Unstructured, mode string) string {
	t.Helper()
	d, err := argocdCompare(context.Background(), settingsOfArgoCD(), target, live, mode)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return ""
	}
	return d.String()
}

func TestArgoCDSeesWhatGitChangesAndNotWhatAnotherAdded(t *testing.T) {
	for _, mode := range []string{"", twoWay, threeWay} {
		same(t, compare(t, deployment(1), changedByAnother(t), mode), "")
		same(t, compare(t, deployment(2), changedByAnother(t), mode), "Deployment team/shop\n  spec.replicas: 1 -> 2\n")
	}
}

func TestArgoCDSeesThreeWaysThatGitNoLongerSetsAField(t *testing.T) {
	target := deployment(1)
	unstructured.RemoveNestedField(target.Object, "spec", "minReadySeconds")
	same(t, compare(t, target, changedByAnother(t), threeWay), "Deployment team/shop\n  spec.minReadySeconds: 5 -> none\n")
	same(t, compare(t, target, changedByAnother(t), twoWay), "")
}

func TestAnObjectThatNobodyAppliedFromAClientIsNotComparedThreeWays(t *testing.T) {
	_, err := argocdCompare(context.Background(), settingsOfArgoCD(), deployment(1), deployment(1), threeWay)
	if err == nil {
		t.Error("it was compared")
	}
}
