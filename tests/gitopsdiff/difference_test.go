package main

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type object = map[string]any

func called(kind, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": kind, "metadata": object{"name": name, "namespace": "team"}}}
}

func printedDifference(t *testing.T, of *unstructured.Unstructured, live, made any) string {
	t.Helper()
	d, err := differ(of, live, made)
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestEachChangeHasItsPathAndBothValues(t *testing.T) {
	live := []byte(`{"spec": {"replicas": 1, "paused": true, "containers": [{"name": "app", "image": "a:1"}], "args": ["x", "y"]},
		"metadata": {"annotations": {"example.com/by": "someone"}}}`)
	made := object{
		"spec": object{
			"replicas":   int64(2),
			"containers": []any{object{"name": "proxy"}, object{"name": "app", "image": "a:2"}},
			"args":       []any{"x", "z"},
		},
		"metadata": object{"annotations": object{}},
	}
	same(t, printedDifference(t, called("Deployment", "shop"), live, made), `Deployment team/shop
  metadata.annotations["example.com/by"]: "someone" -> none
  spec.args[1]: "y" -> "z"
  spec.containers[name=app].image: "a:1" -> "a:2"
  spec.containers[name=proxy]: none -> {"name":"proxy"}
  spec.paused: true -> none
  spec.replicas: 1 -> 2
`)
}

func TestNoValueOfASecretIsPrinted(t *testing.T) {
	live, made := object{"data": object{"key": "b2xk"}}, object{"data": object{"key": "bmV3", "other": "bmV3"}}
	same(t, printedDifference(t, called("Secret", "shop"), live, made), `Secret team/shop
  data.key
  data.other
`)
}

func TestAnObjectThatTheClusterLacksIsSaidToBeMissing(t *testing.T) {
	same(t, printedDifference(t, called("Secret", "shop"), []byte("null"), object{"data": object{"key": "bmV3"}}),
		"Secret team/shop: not in the cluster\n")
}
