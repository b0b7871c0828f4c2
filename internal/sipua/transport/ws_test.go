package transport

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// dialWeb is a browser that offers the subprotocol sip.
func dialWeb(ctx context.Context, url string, header http.Header, protocols ...string) (*websocket.Conn, error) {
	if protocols == nil {
		protocols = []string{subprotocol}
	}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols: protocols,
		HTTPHeader:   header,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: insecure(), DisableKeepAlives: true}},
	})
	return ws, err
}
