package main

import (
	"context"
	"fmt"
	"io"
	"os"

	ssautil "github.com/fluxcd/pkg/ssa/utils"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The names of the Argo CD Application and of the Flux Kustomization that the objects belong to.
const (
	owner          = "gitopsdiff"
	ownerNamespace = "gitops"
)

// cluster is the one of the kubeconfig's context, whose namespace is that of objects without one.
type cluster struct {
	config    *rest.Config
	client    client.Client
	namespace string
}

func connect(kubeconfig string) (cluster, error) {
	loading := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, &clientcmd.ConfigOverrides{})
	config, err := loading.ClientConfig()
	if err != nil {
		return cluster{}, err
	}
	namespace, _, err := loading.Namespace()
	if err != nil {
		return cluster{}, err
	}
	// The clients' own limit would only make tests wait.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.New(config, client.Options{})
	return cluster{config: config, client: c, namespace: namespace}, err
}

// read returns the objects of a manifest, each in the namespace that it is going to live in.
func (c cluster) read(path string, stdin io.Reader) ([]*unstructured.Unstructured, error) {
	source := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		source = file
	}
	objects, err := ssautil.ReadObjects(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%s holds no object", path)
	}
	for _, object := range objects {
		namespaced, err := c.client.IsObjectNamespaced(object)
		switch {
		// Its CRD may come with the same manifest.
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name(object), err)
		case namespaced && object.GetNamespace() == "":
			object.SetNamespace(c.namespace)
		}
	}
	return objects, nil
}

// live returns the object as the cluster has it, or nil.
func (c cluster) live(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	err := c.client.Get(ctx, client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name(object), err)
	}
	return live, nil
}

// name is how lines of the output begin: kind, namespace and name.
func name(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return object.GetKind() + " " + object.GetName()
	}
	return object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
}
