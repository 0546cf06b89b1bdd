// Package k8s holds the manifests in deploy/k8s and the Helm chart to what
// docs/kubernetes.md says, and runs them in a cluster that $KUBECONFIG names. It is a
// module of its own, so that the product depends on nothing of Kubernetes.
package k8s
