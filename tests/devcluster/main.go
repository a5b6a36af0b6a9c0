// Command devcluster is a throwaway Kubernetes control plane in one binary:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, KWOK (which
// plays the part of nodes and kubelets) and kubectl, plus the few helpers that
// the up script needs to put a cluster together.
//
// Each component runs as a process of its own, chosen by the first argument.
// They share no state, so a test can stop, freeze or kill any one of them just
// as it could in a real cluster.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// A subcommand runs with os.Args rewritten to its own name and arguments,
// because several of the components read os.Args themselves. It returns the
// exit status of the process.
type subcommand struct {
	name, summary string
	run           func(args []string) int
}

func subcommands() []subcommand {
	return []subcommand{
		{"etcd", "etcd, with its usual flags", runEtcd},
		{"kube-apiserver", "the API server, with its usual flags", func([]string) int {
			return cli.Run(apiserver.NewAPIServerCommand())
		}},
		{"kube-controller-manager", "the controllers, with their usual flags", func([]string) int {
			return cli.Run(controllermanager.NewControllerManagerCommand())
		}},
		{"kube-scheduler", "the scheduler, with its usual flags", func([]string) int {
			return cli.Run(scheduler.NewSchedulerCommand())
		}},
		{"kwok", "KWOK, with its usual flags", reporting(runKwok)},
		{"kubectl", "kubectl, with its usual commands", runKubectl},
		{"stages", "print the KWOK stages that simulate nodes, pods and volumes", reporting(printStages)},
		{"certs", "certs DIR: write a CA, a serving certificate and a service account key", reporting(runCerts)},
		{"settle", "settle --kubeconfig FILE: add the node and the storage class, wait until all components work", reporting(runSettle)},
	}
}

// usage lists the subcommands.
func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: devcluster SUBCOMMAND [ARGUMENT...]")
	fmt.Fprintln(w)
	for _, s := range subcommands() {
		fmt.Fprintf(w, "  %-24s %s\n", s.name, s.summary)
	}
}

func main() {
	if len(os.Args) < 2 {
		usage(os.Stderr)
		os.Exit(2)
	}
	name, args := os.Args[1], os.Args[2:]
	if slices.Contains([]string{"help", "-h", "--help"}, name) {
		usage(os.Stdout)
		return
	}
	for _, s := range subcommands() {
		if s.name == name {
			os.Args = append([]string{name}, args...)
			os.Exit(s.run(args))
		}
	}
	fmt.Fprintf(os.Stderr, "devcluster: unknown subcommand %q\n\n", name)
	usage(os.Stderr)
	os.Exit(2)
}

// reporting turns a function with an error into one with an exit status.
func reporting(run func(args []string) error) func(args []string) int {
	return func(args []string) int {
		if err := run(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// runEtcd calls etcd's own entry point rather than its embed package, so that
// the flags are those of the etcd that KUBEBUILDER_ASSETS may hold instead.
func runEtcd([]string) int {
	etcdmain.Main(os.Args)
	return 0
}

// runKubectl reports errors the way kubectl's own main function does.
func runKubectl([]string) int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return 0
}
