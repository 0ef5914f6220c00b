package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// runKstatus reads one object as JSON from standard input and prints the status that Flux and other users of kstatus
// give it: InProgress, Failed, Current, Terminating, NotFound or Unknown, a tab, and kstatus's message.
func runKstatus() int {
	// Unstructured's own decoder reads whole numbers as int64, which kstatus insists on.
	object := &unstructured.Unstructured{}
	if err := json.NewDecoder(os.Stdin).Decode(object); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus: standard input is not a Kubernetes object:", err)
		return 1
	}
	result, err := status.Compute(object)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		return 1
	}
	fmt.Printf("%s\t%s\n", result.Status, result.Message)
	return 0
}
