package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"
	"k8s.io/utils/ptr"
)

const (
	nodeName    = "node-0"
	probePod    = "devcluster-probe"
	provisioner = "devcluster/simulated" // as in volume-stages.yaml

	pollInterval = 50 * time.Millisecond
)

// A step of settling is repeated until it succeeds. The component is the one
// to blame while it does not.
type step struct {
	component, what string
	try             func(context.Context) error
}

// runSettle gives a cluster that has just started its node and its storage
// class, and returns when every component has been seen to do its work. It
// looks at results only: a process that runs, or even answers a health check,
// may still be far from doing anything.
//
// Its error starts with the name of the component at fault and a colon, from
// which the up script knows whose log to show.
func runSettle(args []string) error {
	flags := flag.NewFlagSet("settle", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "the cluster to settle (required: there is no default on purpose)")
	timeout := flags.Duration("timeout", time.Minute, "how long to wait for everything")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *kubeconfig == "" || flags.NArg() != 0 {
		return errors.New("usage: devcluster settle --kubeconfig FILE [--timeout DURATION]")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // polling a few objects needs no rate limit
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	for _, s := range steps(client) {
		if err := s.untilDone(ctx); err != nil {
			return err
		}
	}
	return nil
}

// steps are in the order in which one needs another: kubelets have no work
// before the scheduler, and pods none before their service account exists.
func steps(client kubernetes.Interface) []step {
	core := client.CoreV1()
	return []step{
		{"kube-apiserver", "the node could not be created", func(ctx context.Context) error {
			_, err := core.Nodes().Create(ctx, simulatedNode(), metav1.CreateOptions{})
			return ignoreExisting(err)
		}},
		{"kube-apiserver", "the default storage class could not be created", func(ctx context.Context) error {
			_, err := client.StorageV1().StorageClasses().Create(ctx, defaultStorageClass(), metav1.CreateOptions{})
			return ignoreExisting(err)
		}},
		{"kube-controller-manager", "namespace default has no default service account", func(ctx context.Context) error {
			_, err := core.ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err
		}},
		{"kube-controller-manager", "namespace default has no config map kube-root-ca.crt", func(ctx context.Context) error {
			_, err := core.ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			return err
		}},
		{"kwok", "the node is not Ready", func(ctx context.Context) error {
			node, err := core.Nodes().Get(ctx, nodeName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return wantNodeReady(node)
		}},
		{"kube-controller-manager", "the node still has the taint of one that is not ready", func(ctx context.Context) error {
			node, err := core.Nodes().Get(ctx, nodeName, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if len(node.Spec.Taints) != 0 {
				return fmt.Errorf("its taints are %v", node.Spec.Taints)
			}
			return nil
		}},
		{"kube-controller-manager", "a pod cannot be created", func(ctx context.Context) error {
			_, err := core.Pods("kube-system").Create(ctx, probe(), metav1.CreateOptions{})
			return ignoreExisting(err)
		}},
		{"kube-scheduler", "a pod is not scheduled", func(ctx context.Context) error {
			pod, err := core.Pods("kube-system").Get(ctx, probePod, metav1.GetOptions{})
			if err == nil && pod.Spec.NodeName == "" {
				err = errors.New("it has no node yet")
			}
			return err
		}},
		{"kwok", "a pod does not run", func(ctx context.Context) error {
			pod, err := core.Pods("kube-system").Get(ctx, probePod, metav1.GetOptions{})
			if err == nil && pod.Status.Phase != corev1.PodRunning {
				err = fmt.Errorf("it is %s", pod.Status.Phase)
			}
			return err
		}},
		{"kube-apiserver", "a pod cannot be deleted", func(ctx context.Context) error {
			err := core.Pods("kube-system").Delete(ctx, probePod, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		}},
	}
}

// untilDone repeats a step. If time runs out it reports what was wrong before
// that, not that the last attempt was cut short.
func (s step) untilDone(ctx context.Context) error {
	var cause error
	for {
		err := s.try(ctx)
		if err == nil {
			return nil
		}
		if cause == nil || ctx.Err() == nil {
			cause = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s: %w", s.component, s.what, cause)
		case <-time.After(pollInterval):
		}
	}
}

func ignoreExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func wantNodeReady(node *corev1.Node) error {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("its condition Ready is not True")
}

// simulatedNode has room for whatever a test deploys, and says that its
// kubelet is of the cluster's version, so that checks for version skew pass.
func simulatedNode() *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("256"),
		corev1.ResourceMemory:           resource.MustParse("1Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("5000"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: nodeName,
			Labels: map[string]string{
				corev1.LabelHostname:   nodeName,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: runtime.GOARCH,
			},
		},
		Status: corev1.NodeStatus{
			Allocatable: room,
			Capacity:    room,
			NodeInfo: corev1.NodeSystemInfo{
				Architecture:    runtime.GOARCH,
				KubeletVersion:  version.Get().GitVersion,
				OperatingSystem: "linux",
			},
		},
	}
}

func defaultStorageClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:       provisioner,
		ReclaimPolicy:     ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode: ptr.To(storagev1.VolumeBindingImmediate),
	}
}

func probe() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: probePod},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false),
			Containers:                   []corev1.Container{{Name: "probe", Image: "devcluster.invalid/probe"}},
		},
	}
}
