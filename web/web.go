package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/web/live"
	"parley/web/ui"
)

const (
	maxStreams = 256 // pages with live updates at once, of everybody; the listener takes 512 connections
	maxPending = 256 // changes a page may be behind
)

// Names of the health checks.
const (
	checkKey  = "session-key" // the cluster secret has been read
	checkFeed = "live-feed"   // watches and subscriptions are running
)

// SIPEndpoint is where phones reach the platform over one transport.
type SIPEndpoint struct {
	Transport string // udp, tcp, tls, ws or wss
	Host      string // name or address for phones; "" = the host under which the page was asked for
	Port      int
	Path      string // ws and wss only, with its slash
}

// Options are what a Server needs.
type Options struct {
	Fabric   *fabric.Fabric
	Config   Config
	Phones   func() []SIPEndpoint // asked for each page that shows an account; the first one is recommended. nil = none
	Registry *prometheus.Registry
	Health   *obs.Health // nil = one of its own
	Log      *slog.Logger
	Version  string
}

// Server is the pages. See [New], [Server.Run] and [Server.Serve].
type Server struct {
	f        *fabric.Fabric
	cfg      Config
	phones   func() []SIPEndpoint
	health   *obs.Health
	log      *slog.Logger
	version  string
	now      func() time.Time
	cert     *tls.Certificate // nil = plain HTTP
	ui       *ui.Renderer
	hub      *live.Hub
	board    *board
	calls    *callBoard
	handouts *handouts
	metrics  *metrics
	http     *httpapi.Server
	keys     atomic.Pointer[keyring] // nil until the cluster secret is known
}

// New checks its arguments, reads the certificate if there is one, and starts nothing.
func New(o Options) (*Server, error) {
	if o.Fabric == nil || o.Registry == nil || o.Log == nil {
		return nil, errors.New("web: Fabric, Registry and Log are required")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Health == nil {
		o.Health = obs.NewHealth()
	}
	if o.Phones == nil {
		o.Phones = func() []SIPEndpoint { return nil }
	}
	s := &Server{
		f: o.Fabric, cfg: o.Config, phones: o.Phones, health: o.Health, log: o.Log, version: o.Version, now: time.Now,
		hub: live.NewHub(live.Limits{Streams: maxStreams, PerSession: o.Config.StreamsPerSession, Pending: maxPending}),
	}
	var err error
	if s.ui, err = ui.New(); err != nil {
		return nil, err
	}
	if o.Config.TLS.Cert != "" {
		cert, err := tls.LoadX509KeyPair(o.Config.TLS.Cert, o.Config.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("web.tls: %w", err)
		}
		s.cert = &cert
	}
	s.health.Set(checkKey, obs.LevelStarting, "starting")
	s.health.Set(checkFeed, obs.LevelStarting, "starting")
	s.board = newBoard(o.Fabric, s.hub, o.Log, s.now)
	s.calls = newCallBoard(o.Fabric, s.hub, o.Log, s.now, s.board.nodeIDs)
	s.handouts = newHandouts(s.now)
	s.metrics = newMetrics(o.Registry, s.hub, s.handouts)
	s.http = httpapi.New(httpapi.Options{
		Service: "web", Title: "Parley pages", Version: o.Version, Registry: o.Registry, Health: o.Health, Log: o.Log,
		Verify: func(ctx context.Context, token string) (voice.Principal, error) {
			return fabric.Call(ctx, s.f, contract.VerifyToken, token)
		},
	})
	s.routes(s.http.App())
	return s, nil
}

// Run listens on Config.Listen and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("web.listen: %w", err)
	}
	return s.Serve(ctx, ln)
}

// Serve answers on ln, which it closes, until ctx ends; then it ends the live streams, lets requests in progress
// finish for a bounded time and returns nil. Call it once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.cert != nil {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12})
	}
	g.Go(func() error { return s.http.Serve(ctx, ln) })
	g.Go(func() error { return s.readKey(ctx) })
	g.Go(func() error {
		return s.board.run(ctx, func() { s.health.Set(checkFeed, obs.LevelPass, "") })
	})
	g.Go(func() error { return s.calls.run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		s.hub.Close()
		return nil
	})
	err := g.Wait()
	s.hub.Wait()
	return err
}

// readKey asks for the cluster secret until it is there; config may start after us. Until then pages say so.
func (s *Server) readKey(ctx context.Context) error {
	const first, longest = 50 * time.Millisecond, 2 * time.Second
	for wait := first; ; wait = min(2*wait, longest) {
		key, err := fabric.Call(ctx, s.f, contract.ClusterSecret, "web")
		if err == nil {
			s.keys.Store(&keyring{key})
			s.health.Set(checkKey, obs.LevelPass, "")
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		s.health.Set(checkKey, obs.LevelStarting, "waiting for the configuration service: "+string(voice.CodeOf(err)))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// routes is the map of the site. The helpers say who may come in: anybody, whoever is signed in, readers and writers
// of the tenant in the path, administrators, and the system role.
func (s *Server) routes(app *fiber.App) {
	app.Get("/static/:name", s.static)
	app.Get("/provision/:key", s.provision)
	app.Use(s.around)

	app.Get("/signin", s.open(s.signInPage))
	app.Post("/signin", s.open(s.signIn))
	app.Post("/signout", s.signedIn(anybody, s.signOut))
	app.Post("/theme", s.theme)

	app.Get("/", s.signedIn(anybody, s.overview))
	app.Get("/live", s.signedIn(anybody, s.stream))
	app.Get("/switch", s.signedIn(system, s.switchTenant))
	app.Get("/me", s.signedIn(anybody, s.me))
	app.Post("/me/password", s.signedIn(anybody, s.changePassword))

	app.Get("/t/:tenant/extensions", s.signedIn(reader, s.extensions))
	app.Post("/t/:tenant/extensions", s.signedIn(writer, s.createExtension))
	app.Get("/t/:tenant/extensions/new", s.signedIn(writer, s.newExtension))
	app.Get("/t/:tenant/extensions/:key", s.signedIn(reader, s.extension))
	app.Get("/t/:tenant/extensions/:key/edit", s.signedIn(writer, s.editExtension))
	app.Post("/t/:tenant/extensions/:key/edit", s.signedIn(writer, s.updateExtension))
	app.Get("/t/:tenant/extensions/:key/delete", s.signedIn(writer, s.confirmDeleteExtension))
	app.Post("/t/:tenant/extensions/:key/delete", s.signedIn(writer, s.deleteExtension))
	app.Get("/t/:tenant/extensions/:key/forwarding", s.signedIn(writer, s.editForwarding))
	app.Post("/t/:tenant/extensions/:key/forwarding", s.signedIn(writer, s.updateForwarding))
	app.Get("/t/:tenant/extensions/:key/password", s.signedIn(writer, s.confirmPassword))
	app.Post("/t/:tenant/extensions/:key/password", s.signedIn(writer, s.resetPassword))
	app.Post("/t/:tenant/extensions/:key/bindings/remove", s.signedIn(writer, s.removeBinding))

	app.Get("/t/:tenant/trunks", s.signedIn(reader, s.trunks))
	app.Post("/t/:tenant/trunks", s.signedIn(writer, s.createTrunk))
	app.Get("/t/:tenant/trunks/new", s.signedIn(writer, s.newTrunk))
	app.Get("/t/:tenant/trunks/:key", s.signedIn(reader, s.trunk))
	app.Get("/t/:tenant/trunks/:key/edit", s.signedIn(writer, s.editTrunk))
	app.Post("/t/:tenant/trunks/:key/edit", s.signedIn(writer, s.updateTrunk))
	app.Get("/t/:tenant/trunks/:key/delete", s.signedIn(writer, s.confirmDeleteTrunk))
	app.Post("/t/:tenant/trunks/:key/delete", s.signedIn(writer, s.deleteTrunk))

	app.Get("/t/:tenant/dialplan", s.signedIn(reader, s.dialplan))
	app.Get("/t/:tenant/dialplan/try", s.signedIn(reader, s.tryNumber))
	app.Post("/t/:tenant/dialplan/partitions", s.signedIn(writer, s.createPartition))
	app.Get("/t/:tenant/dialplan/partitions/new", s.signedIn(writer, s.newPartition))
	app.Get("/t/:tenant/dialplan/partitions/:key", s.signedIn(writer, s.editPartition))
	app.Post("/t/:tenant/dialplan/partitions/:key", s.signedIn(writer, s.updatePartition))
	app.Post("/t/:tenant/dialplan/profiles", s.signedIn(writer, s.createProfile))
	app.Get("/t/:tenant/dialplan/profiles/new", s.signedIn(writer, s.newProfile))
	app.Get("/t/:tenant/dialplan/profiles/:key", s.signedIn(writer, s.editProfile))
	app.Post("/t/:tenant/dialplan/profiles/:key", s.signedIn(writer, s.updateProfile))
	for part := range planKinds {
		app.Get("/t/:tenant/dialplan/"+part+"/:key/delete", s.signedIn(writer, s.confirmDeletePlan(part)))
		app.Post("/t/:tenant/dialplan/"+part+"/:key/delete", s.signedIn(writer, s.deletePlan(part)))
	}

	app.Get("/t/:tenant/people", s.signedIn(reader, s.people))
	app.Post("/t/:tenant/people", s.signedIn(writer, s.createPerson))
	app.Get("/t/:tenant/people/new", s.signedIn(writer, s.newPerson))
	app.Get("/t/:tenant/people/:key/edit", s.signedIn(writer, s.editPerson))
	app.Post("/t/:tenant/people/:key/edit", s.signedIn(writer, s.updatePerson))
	app.Get("/t/:tenant/people/:key/delete", s.signedIn(writer, s.confirmDeletePerson))
	app.Post("/t/:tenant/people/:key/delete", s.signedIn(writer, s.deletePerson))

	app.Get("/t/:tenant/cdrs", s.signedIn(reader, s.cdrs))
	app.Get("/t/:tenant/cdrs.csv", s.signedIn(reader, s.exportCDRs))
	app.Get("/t/:tenant/cdrs/:call", s.signedIn(reader, s.cdr))

	app.Get("/t/:tenant/calls", s.signedIn(reader, s.liveCallsPage))
	app.Get("/t/:tenant/calls/:call/hangup", s.signedIn(writer, s.confirmHangUp))
	app.Post("/t/:tenant/calls/:call/hangup", s.signedIn(writer, s.hangUp))
	app.Get("/t/:tenant/calls/:call", s.signedIn(reader, s.call))
	app.Get("/t/:tenant/calls/:call/sip.txt", s.signedIn(reader, s.callText))

	app.Get("/t/:tenant/sessions", s.signedIn(reader, s.sessionsPage))
	app.Get("/t/:tenant/sessions/:session", s.signedIn(reader, s.session))

	app.Get("/t/:tenant/history", s.signedIn(reader, s.history))

	app.Get("/tenants", s.signedIn(system, s.tenants))
	app.Post("/tenants", s.signedIn(system, s.createTenant))
	app.Get("/tenants/new", s.signedIn(system, s.newTenant))
	app.Get("/tenants/:key/edit", s.signedIn(system, s.editTenant))
	app.Post("/tenants/:key/edit", s.signedIn(system, s.updateTenant))
	app.Get("/tenants/:key/delete", s.signedIn(system, s.confirmDeleteTenant))
	app.Post("/tenants/:key/delete", s.signedIn(system, s.deleteTenant))

	app.Get("/bans", s.signedIn(admin, s.bans))
	app.Post("/bans", s.signedIn(system, s.addBan))
	app.Post("/bans/lift", s.signedIn(system, s.liftBan))
}
