package main

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodelease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwokcmd "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// volumeStages provision volumes. KWOK has such stages too, but does not embed
// them in a Go package, and they bind claims behind the back of the real
// controller.
//
//go:embed volume-stages.yaml
var volumeStages string

// printStages prints what kwok --config takes. KWOK simulates nothing without
// stages: a node would never be Ready and a pod would stay Pending.
func printStages(args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("usage: devcluster stages")
	}
	_, err := fmt.Println(strings.Join([]string{
		nodefast.DefaultNodeInit,
		nodelease.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady,
		podfast.DefaultPodComplete,
		podfast.DefaultPodDelete,
		volumeStages,
	}, "\n---\n"))
	return err
}

// runKwok does what KWOK's main function does. It parses --config and --v
// ahead of the command, from os.Args, and then hands both to the command so
// that they are not unknown to it.
func runKwok([]string) error {
	// Kubernetes' packages register global flags which collide with KWOK's.
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ContinueOnError)

	early := pflag.NewFlagSet("global", pflag.ContinueOnError)
	early.ParseErrorsAllowlist.UnknownFlags = true
	early.Usage = func() {} // --help is the command's to answer

	ctx, _ := kwoklog.InitFlags(signals.SetupSignalContext(), early)
	ctx, err := kwokconfig.InitFlags(ctx, early)
	if err != nil {
		return fmt.Errorf("kwok: %w", err)
	}
	command := kwokcmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(early)
	if err := command.ExecuteContext(ctx); err != nil {
		return fmt.Errorf("kwok: %w", err)
	}
	return nil
}
