// metrics-server, with the cluster's own settings in place of its command line. Upstream's command is bound to an older
// Kubernetes library; the same packages with the library that the API server is built from compile in seconds, because
// both share their compiled parts.
package main

import (
	"log"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/metrics-server/pkg/api"
	generatedopenapi "sigs.k8s.io/metrics-server/pkg/api/generated/openapi"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/server"
)

const (
	port        = 10250
	certFolder  = "/tmp"
	kubeletPort = 10250
	resolution  = 10 * time.Second
	patience    = 5 * time.Second
)

func main() {
	apiServer, err := apiServerConfig()
	exitOn(err)
	kubernetes, err := rest.InClusterConfig()
	exitOn(err)
	kubernetes.ContentType = "application/vnd.kubernetes.protobuf"
	exitOn(rest.SetKubernetesDefaults(kubernetes))
	config := server.Config{
		Apiserver:        apiServer,
		Rest:             kubernetes,
		Kubelet:          kubeletConfig(kubernetes),
		MetricResolution: resolution,
		ScrapeTimeout:    patience,
	}
	metricsServer, err := config.Complete()
	exitOn(err)
	exitOn(metricsServer.RunUntil(genericapiserver.SetupSignalHandler()))
}

// apiServerConfig is the server's HTTPS side: rights are asked of the cluster's API server.
func apiServerConfig() (*genericapiserver.Config, error) {
	config := genericapiserver.NewConfig(api.Codecs)
	serving := genericoptions.NewSecureServingOptions().WithLoopback()
	serving.BindPort = port
	serving.ServerCert.CertDirectory = certFolder
	if err := serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, err
	}
	if err := serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return nil, err
	}
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	if err := authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		return nil, err
	}
	if err := genericoptions.NewDelegatingAuthorizationOptions().ApplyTo(&config.Authorization); err != nil {
		return nil, err
	}
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	names := openapinamer.NewDefinitionNamer(api.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(generatedopenapi.GetOpenAPIDefinitions, names)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, names)
	return config, nil
}

// kubeletConfig is how the kubelets are asked. Their certificates are self-signed, so these are not verified; the
// client shows its service account's token.
func kubeletConfig(kubernetes *rest.Config) *client.KubeletClientConfig {
	config := &client.KubeletClientConfig{
		Scheme:              "https",
		DefaultPort:         kubeletPort,
		AddressTypePriority: []corev1.NodeAddressType{corev1.NodeInternalIP},
		Client:              *rest.CopyConfig(kubernetes),
	}
	config.Client.Timeout = patience
	config.Client.TLSClientConfig = rest.TLSClientConfig{Insecure: true}
	return config
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
