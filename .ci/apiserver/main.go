// Command apiserver shows YAML from standard input to a real kube-apiserver, which it runs in this process with
// etcd beside it, and fails unless every object is accepted. It is a module of its own: nothing of the program
// may depend on Kubernetes.
//
// Objects are created for real, with strict validation of their fields, in a namespace that enforces the
// restricted Pod Security Standard. No controllers run, so nobody would make pods of a Deployment: each pod
// template is therefore created as a pod too. Kinds of custom resources are skipped by name, since their
// definitions are not here; kubeconform checks those.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	namespace := flag.String("namespace", "audittrail", "where objects without a namespace are created")
	flag.Parse()
	if err := run(context.Background(), *namespace); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "audittrail-apiserver.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder below TMPDIR
	etcd, err := startEtcd(dir)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	config, ended, err := startServer(ctx, dir, etcd.Config().ListenClientUrls[0].String())
	if err != nil {
		return err
	}
	cluster, err := connect(ctx, config, ended)
	if err != nil {
		return err
	}
	return cluster.accept(ctx, input, namespace)
}

func startEtcd(dir string) (*embed.Etcd, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	local := url.URL{Scheme: "unix", Host: "localhost:" + fmt.Sprint(os.Getpid())}
	peers := url.URL{Scheme: "unix", Host: "localhost:" + fmt.Sprint(os.Getpid()) + "1"}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{local}, []url.URL{local}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	if err := os.Chdir(dir); err != nil { // the sockets are named relative to it
		return nil, err
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	<-etcd.Server.ReadyNotify()
	return etcd, nil
}

// startServer runs the API server until this process ends, with one user who may do everything.
func startServer(ctx context.Context, dir, etcd string) (*rest.Config, <-chan error, error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, nil, err
	}
	token := hex.EncodeToString(secret)
	keyFile, tokenFile := filepath.Join(dir, "accounts.key"), filepath.Join(dir, "tokens.csv")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := errors.Join(os.WriteFile(keyFile, encoded, 0o600),
		os.WriteFile(tokenFile, []byte(token+",tester,tester,system:masters\n"), 0o600)); err != nil {
		return nil, nil, err
	}
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{
		"--etcd-servers=" + etcd, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--cert-dir=" + dir,
		"--service-account-issuer=https://localhost", "--service-account-key-file=" + keyFile, "--service-account-signing-key-file=" + keyFile,
		"--token-auth-file=" + tokenFile, "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "-v=0",
		// Its controller, which makes accounts and their tokens, does not run.
		"--disable-admission-plugins=ServiceAccount",
	})
	ended := make(chan error, 1)
	go func() { ended <- command.ExecuteContext(ctx) }()
	return &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", port), BearerToken: token, QPS: 200, Burst: 200,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true}, // its certificate is made as it starts
		WarningHandler:  warnings{},
	}, ended, nil
}

// warnings are what the server says of objects that it takes all the same.
type warnings struct{}

func (warnings) HandleWarningHeader(_ int, _, text string) { fmt.Println("warning:", text) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nobody connected
	return l.Addr().(*net.TCPAddr).Port, nil
}

type cluster struct {
	objects dynamic.Interface
	kinds   meta.RESTMapper
}

// connect waits until the server is ready.
func connect(ctx context.Context, config *rest.Config, ended <-chan error) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	for client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() != nil {
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the API server ended: %w", err)
		case <-ctx.Done():
			return nil, errors.New("the API server is not ready after two minutes")
		case <-time.After(100 * time.Millisecond):
		}
	}
	version, err := client.ServerVersion()
	if err != nil {
		return nil, err
	}
	fmt.Println("kube-apiserver", version)
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	return &cluster{objects, restmapper.NewDiscoveryRESTMapper(groups)}, err
}

// accept creates everything, and reports all that is refused.
func (c *cluster) accept(ctx context.Context, input []byte, namespace string) error {
	if err := c.create(ctx, restrictedNamespace(namespace), ""); err != nil {
		return err
	}
	var refused []error
	accepted, skipped := 0, 0
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(input), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := documents.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(object.Object) == 0 || object.GetKind() == "Namespace" {
			continue
		}
		name := object.GetKind() + "/" + object.GetName()
		switch err := c.create(ctx, object, namespace); {
		case meta.IsNoMatchError(err):
			fmt.Println("SKIPPED, no definition here:", name)
			skipped++
			continue
		case err != nil:
			refused = append(refused, fmt.Errorf("%s: %w", name, err))
			continue
		}
		accepted++
		if pod := podOf(object); pod != nil {
			if err := c.create(ctx, pod, namespace); err != nil {
				refused = append(refused, fmt.Errorf("pod of %s: %w", name, err))
				continue
			}
			accepted++
		}
	}
	fmt.Printf("%d accepted, %d refused, %d skipped\n", accepted, len(refused), skipped)
	if accepted == 0 {
		return errors.New("there was nothing to accept")
	}
	return errors.Join(refused...)
}

func (c *cluster) create(ctx context.Context, object *unstructured.Unstructured, namespace string) error {
	mapping, err := c.kinds.RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	if object.GetNamespace() != "" {
		namespace = object.GetNamespace()
	}
	var to dynamic.ResourceInterface = c.objects.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		to = c.objects.Resource(mapping.Resource).Namespace(namespace)
	}
	object.SetNamespace("")
	_, err = to.Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	return err
}

func restrictedNamespace(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": name, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"},
	}}}
}

// podOf is what a controller would make of object's pod template; nil without one.
func podOf(object *unstructured.Unstructured) *unstructured.Unstructured {
	template, found, err := unstructured.NestedMap(object.Object, "spec", "template")
	if err != nil || !found {
		return nil
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	pod.SetName(object.GetName() + "-pod")
	if volumes, found, _ := unstructured.NestedSlice(object.Object, "spec", "volumeClaimTemplates"); found {
		pod = withClaims(pod, volumes)
	}
	return pod
}

// withClaims gives a StatefulSet's pod the volumes of its claims.
func withClaims(pod *unstructured.Unstructured, claims []any) *unstructured.Unstructured {
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	for _, claim := range claims {
		name, _, _ := unstructured.NestedString(claim.(map[string]any), "metadata", "name")
		volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name + "-" + pod.GetName()}})
	}
	_ = unstructured.SetNestedSlice(pod.Object, volumes, "spec", "volumes")
	return pod
}
