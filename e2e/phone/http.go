package phone

import (
	"crypto/tls"
	"net/http"
)

func httpClient(c *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
}
