// Gitopsdiff is what Argo CD and Flux make of a manifest in git and of the objects that live in a cluster: it compares, and
// applies, with their own code and their default settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
	runtimelog "sigs.k8s.io/controller-runtime/pkg/log"
)

const usage = `usage:
  gitopsdiff argocd [--mode two-way|three-way|server-side] [--kubeconfig FILE] MANIFEST
  gitopsdiff argocd-apply [--server-side] [--replace] [--kubeconfig FILE] MANIFEST
  gitopsdiff flux [--kubeconfig FILE] MANIFEST
  gitopsdiff flux-apply [--kubeconfig FILE] MANIFEST

argocd and flux print each object that differs, and where; for a Secret never a value. argocd-apply and flux-apply print what
became of each object. MANIFEST may be -, which is standard input.

Without --mode, Argo CD compares three ways if the live object has kubectl's last-applied annotation, else two ways.
Argo CD's mark (the tracking-id annotation) and Flux's (two labels) are part of what is in git: argocd-apply and flux-apply set
them, and argocd and flux expect them where the live object has one.

Exit codes: 0 no object differs, or all are applied; 2 an object differs; 1 an error.
`

// How long a comparison or an apply may take.
const patience = 2 * time.Minute

type arguments struct {
	command, mode, kubeconfig, manifest string
	serverSide, replace                 bool
}

func parse(args []string) (arguments, error) {
	var a arguments
	commands := []string{"argocd", "argocd-apply", "flux", "flux-apply"}
	if len(args) == 0 || !slices.Contains(commands, args[0]) {
		return a, errors.New("the first argument is none of its commands")
	}
	a.command = args[0]
	flags := flag.NewFlagSet(a.command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "")
	switch a.command {
	case "argocd":
		flags.StringVar(&a.mode, "mode", "", "")
	case "argocd-apply":
		flags.BoolVar(&a.serverSide, "server-side", false, "")
		flags.BoolVar(&a.replace, "replace", false, "")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return a, err
	}
	if !slices.Contains([]string{"", twoWay, threeWay, serverSide}, a.mode) {
		return a, fmt.Errorf("no such mode: %s", a.mode)
	}
	if flags.NArg() != 1 {
		return a, errors.New("one manifest is needed, after the flags")
	}
	a.manifest = flags.Arg(0)
	return a, nil
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// What the libraries log is theirs: a caller reads results and errors.
	klog.SetLogger(logr.Discard())
	runtimelog.SetLogger(logr.Discard())
	logrus.SetOutput(io.Discard)
	a, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "gitopsdiff: %v\n%s", err, usage)
		return 1
	}
	differ, err := execute(a, stdin, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "gitopsdiff:", err)
		return 1
	case differ:
		return 2
	}
	return 0
}

// execute reports whether an object differs.
func execute(a arguments, stdin io.Reader, stdout io.Writer) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := connect(a.kubeconfig)
	if err != nil {
		return false, err
	}
	manifest, err := c.read(a.manifest, stdin)
	if err != nil {
		return false, err
	}
	var differences []difference
	switch a.command {
	case "argocd":
		differences, err = c.argocdDiff(ctx, manifest, a.mode)
	case "argocd-apply":
		err = c.argocdApply(ctx, manifest, a.serverSide, a.replace, stdout)
	case "flux":
		differences, err = c.fluxDiff(ctx, manifest)
	case "flux-apply":
		err = c.fluxApply(ctx, manifest, stdout)
	}
	for _, d := range differences {
		fmt.Fprint(stdout, d)
	}
	return len(differences) > 0, err
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
