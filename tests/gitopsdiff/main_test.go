package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestArgumentsThatAreWrongAreErrorsWithTheUsage(t *testing.T) {
	for _, args := range []string{
		"", "diff m.yaml", "argocd", "argocd a.yaml b.yaml", "argocd --mode four-way m.yaml", "flux --mode two-way m.yaml",
		"flux-apply --replace m.yaml", "argocd-apply --force m.yaml",
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(args), strings.NewReader(""), &stdout, &stderr)
		if code != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "usage:") {
			t.Errorf("%s: %d %s %s", args, code, &stdout, &stderr)
		}
	}
}
