package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/httpapi"
	"parley/internal/media"
	"parley/internal/media/play"
	"parley/internal/media/prompt"
	"parley/internal/media/wav"
	"parley/internal/obs"
	"parley/internal/sipua/digest"
	"parley/internal/sipua/locate"
	"parley/internal/store"
	"parley/internal/store/cdrs"
	"parley/internal/voice"
	"parley/server/heap"
	"parley/server/settings"
	"parley/services/callstate"
	"parley/services/cdr"
	"parley/services/config"
	"parley/services/dialplan"
	"parley/services/frontend"
	"parley/services/frontend/workspace"
	"parley/services/orchestration"
	"parley/services/registrar"
	"parley/services/rq"
	"parley/services/sip"
	"parley/services/sipproxy"
	"parley/services/tenant"
	"parley/web"
)

// build opens, makes and starts everything this node runs, in the order things need one another; what started first
// stops last. An error leaves what has been started to stop.
func (n *Node) build(ctx context.Context) error {
	// Listeners first: a port in use stops the start before anything has changed.
	open := map[string]*service{}
	for _, name := range n.cfg.Node.Running() {
		s, err := n.add(name)
		if err != nil {
			return err
		}
		open[name] = s
	}

	n.house.start("heap", heap.Run)
	if err := n.startFabric(ctx, open[settings.RQ]); err != nil {
		return err
	}
	if err := n.startRecord(ctx); err != nil {
		return err
	}
	if s := open[settings.Conf]; s != nil {
		db, err := store.Open(ctx, n.cfg.Store.DSN.Reveal(), n.dir.path)
		if err != nil {
			return fmt.Errorf("store.dsn: %w", err)
		}
		n.house.start("store", func(ctx context.Context) error {
			<-ctx.Done()
			return db.Close()
		})
		svc, err := config.New(config.Options{Fabric: n.fab, Store: db, Registry: s.reg, Health: s.health, Verify: n.verify, Log: s.log, Version: n.opts.Version})
		if err != nil {
			return err
		}
		n.run(s, svc.Run, svc.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
	}
	// What every service of this node knows of tenants and numbers, from here or from another node's config service.
	directory := contract.NewDirectory(n.fab, n.logs.For("directory", nil))
	n.directory = directory
	n.house.start("directory", directory.Run)

	if s := open[settings.Tenant]; s != nil {
		svc, err := tenant.New(tenant.Options{Fabric: n.fab, Config: n.cfg.Tenant, Registry: s.reg, Health: s.health, Log: s.log, Version: n.opts.Version})
		if err != nil {
			return err
		}
		n.run(s, svc.Run, svc.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.Dialplan]; s != nil {
		svc, err := dialplan.New(dialplan.Options{Fabric: n.fab, Directory: directory, Registry: s.reg, Health: s.health, Log: s.log})
		if err != nil {
			return err
		}
		rest := n.rest(s, "Parley dial plan: what a number means")
		svc.Routes(rest.API())
		n.run(s, svc.Run, rest.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.Registrar]; s != nil {
		svc, err := registrar.New(registrar.Options{Fabric: n.fab, Directory: directory, Config: n.cfg.Registrar, Registry: s.reg, Health: s.health, Log: s.log})
		if err != nil {
			return err
		}
		rest := n.rest(s, "Parley registrar: registrations and bans")
		svc.Routes(rest.API())
		n.run(s, svc.Run, rest.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.CDR]; s != nil {
		if err := n.startCDR(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.CallState]; s != nil {
		if err := n.startCallState(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.SIPProxy]; s != nil {
		certs, err := n.certificates()
		if err != nil {
			return err
		}
		o := sipproxy.Options{
			Fabric: n.fab, Directory: directory, Config: n.cfg.SIPProxy, Listen: n.cfg.SIP.Listen, Internal: n.cfg.SIP.InternalListen, ExternalHost: n.cfg.SIP.ExternalHost,
			Certificates: certs, Registry: s.reg, Health: s.health, Log: s.log, Version: n.opts.Version,
		}
		if o.Roots, err = n.trunkRoots(); err != nil {
			return err
		}
		calls, err := n.callNode(open[settings.SIPNode])
		if err != nil {
			return err
		}
		if calls != nil {
			o.Node = calls
		}
		svc, err := sipproxy.New(o)
		if err != nil {
			return err
		}
		if err := svc.Open(); err != nil {
			return n.sipListenError(err)
		}
		n.reachedAt(s, svc.Addresses)
		n.announceDoor(svc.ForNodes())
		n.run(s, svc.Run, svc.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
		if calls != nil {
			if err := n.startCalls(ctx, open[settings.SIPNode], calls, svc); err != nil {
				return err
			}
		}
	}
	if s := open[settings.Frontend]; s != nil {
		if err := n.startFrontend(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.Scripts]; s != nil {
		if err := n.startScripts(ctx, s); err != nil {
			return err
		}
	}
	if s := open[settings.Pages]; s != nil {
		svc, err := web.New(web.Options{Fabric: n.fab, Config: n.cfg.Web, Phones: n.phones, Registry: s.reg, Health: s.health, Log: s.log, Version: n.opts.Version})
		if err != nil {
			return err
		}
		n.run(s, nil, svc.Serve)
		if err := n.settle(ctx, s); err != nil {
			return err
		}
	}
	return n.serveControl()
}

// startCDR opens the records of calls, beside the configuration or in a file of their own.
func (n *Node) startCDR(ctx context.Context, s *service) error {
	records, err := cdrs.Open(ctx, n.cfg.Store.DSN.Reveal(), n.dir.path)
	if err != nil {
		return fmt.Errorf("store.dsn: %w", err)
	}
	n.house.start("cdr store", func(ctx context.Context) error {
		<-ctx.Done()
		return records.Close()
	})
	svc, err := cdr.New(cdr.Options{Fabric: n.fab, Store: records, Config: n.cfg.CDR, Registry: s.reg, Health: s.health, Log: s.log})
	if err != nil {
		return err
	}
	rest := n.rest(s, "Parley call detail records")
	svc.Routes(rest.API())
	n.run(s, svc.Run, rest.Serve)
	return n.settle(ctx, s)
}

// startCallState starts what knows the calls of all nodes. It stops after the SIP node, whose last events it wants to see.
func (n *Node) startCallState(ctx context.Context, s *service) error {
	svc, err := callstate.New(callstate.Options{
		Fabric: n.fab, Config: n.cfg.CallState, Mark: filepath.Join(n.dir.path, "callstate.json"), Registry: s.reg, Health: s.health, Log: s.log,
	})
	if err != nil {
		return err
	}
	rest := n.rest(s, "Parley call state: calls in progress on all nodes")
	svc.Routes(rest.API())
	n.run(s, svc.Run, rest.Serve)
	return n.settle(ctx, s)
}

// startFrontend starts what takes requests of clients. It stops before the SIP node, which does what they ask.
func (n *Node) startFrontend(ctx context.Context, s *service) error {
	svc, err := frontend.New(frontend.Options{Fabric: n.fab, Directory: n.directory, Config: n.cfg.Frontend, Registry: s.reg, Health: s.health, Log: s.log})
	if err != nil {
		return err
	}
	rest := n.rest(s, "Parley front end: requests, calls and events")
	svc.Routes(rest)
	desks := workspace.Doors(n.fab, n.directory)
	desks.Config, desks.Registry, desks.Log, desks.Stopping = n.cfg.Frontend.Workspace, s.reg, s.log, rest.Stopping()
	desktops, err := workspace.New(desks)
	if err != nil {
		return err
	}
	for _, prefix := range []string{workspace.PathWorkspace, workspace.PathAuth} {
		rest.Mount(prefix, desktops.Handler())
	}
	n.house.start(s.name+" (desktops)", desktops.Run)
	n.house.start(s.name+" (events for desktops)", func(ctx context.Context) error { return desktops.Follow(ctx, n.fab) })
	n.run(s, svc.Run, rest.Serve)
	return n.settle(ctx, s)
}

// startScripts starts what looks after calls at route points. It stops before the SIP node, while its calls still go on.
func (n *Node) startScripts(ctx context.Context, s *service) error {
	svc, err := orchestration.New(orchestration.Options{Fabric: n.fab, Config: n.cfg.Orchestration, Registry: s.reg, Health: s.health, Log: s.log})
	if err != nil {
		return err
	}
	rest := n.rest(s, "Parley orchestration: sessions of routing scripts")
	svc.Routes(rest, n.verify)
	n.run(s, svc.Run, rest.Serve)
	return n.settle(ctx, s)
}

// callNode makes the SIP node, if this node runs one. It works through the front door of its process.
func (n *Node) callNode(s *service) (*sip.Service, error) {
	if s == nil {
		return nil, nil
	}
	d := n.cfg.Registrar.Digest
	proof := digest.Policy{
		Options: digest.Options{Lifetime: d.Lifetime, Remember: d.Remember, Legacy: d.Legacy, MatchURI: d.MatchURI},
		MD5Only: d.MD5Only, BindSource: d.BindSource,
	}
	for _, name := range d.Offer {
		proof.Offer = append(proof.Offer, digest.ParseAlgorithm(name))
	}
	plane, err := n.mediaPlane(s)
	if err != nil {
		return nil, err
	}
	names, err := locate.New(locate.Options{Servers: n.cfg.SIP.DNS})
	if err != nil {
		return nil, fmt.Errorf("sip.dns: %w", err)
	}
	prompts, err := prompt.New(cmp.Or(n.cfg.Media.Prompts, filepath.Join(n.dir.path, "prompts")),
		play.NewCache(int64(n.cfg.Media.PromptCache), wav.DefaultLimits()))
	if err != nil {
		return nil, err
	}
	cfg := n.cfg.Calls
	cfg.Direct = n.cfg.Media.Mode == settings.MediaDirect
	cfg.T1 = n.cfg.SIPProxy.T1 // both halves of a transaction repeat at the same pace
	return sip.New(sip.Options{
		Fabric: n.fab, Directory: n.directory, Config: cfg, Media: plane, Digest: proof, Locator: names,
		Prompts: prompts, Recordings: cmp.Or(n.cfg.Media.Recordings, filepath.Join(n.dir.path, "recordings")),
		Announced: filepath.Join(n.dir.path, "announcements"),
		Changed:   n.record.renew, Started: n.started,
		Registry: s.reg, Health: s.health, Log: s.log,
	})
}

// mediaPlane starts what carries audio.
func (n *Node) mediaPlane(s *service) (*media.Plane, error) {
	cfg, err := n.cfg.Media.Relay()
	if err != nil {
		return nil, err
	}
	pool, err := media.NewPool(cfg)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	plane, err := media.NewPlane(pool, s.reg, s.log)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	n.house.start("media", plane.Run)
	return plane, nil
}

// startCalls joins node and front door, and starts the node; it stops before the front door does, which carries its BYEs.
func (n *Node) startCalls(ctx context.Context, s *service, calls *sip.Service, front *sipproxy.Service) error {
	at, ok := front.Address()
	if !ok {
		return errors.New("sip.listen: the SIP node needs a udp:// or tcp:// listener")
	}
	calls.Attach(front, reachable(at, n.cfg.SIP.ExternalHost))
	n.record.carriesCalls(calls.Load)
	rest := n.rest(s, "Parley SIP node: calls in progress")
	calls.Routes(rest.API())
	n.run(s, calls.Run, rest.Serve)
	return n.settle(ctx, s)
}

// announceDoor says in the node's record where other nodes reach its front door.
func (n *Node) announceDoor(udp, tcp netip.AddrPort) {
	// Listeners for nodes are on a network of their own, which is not the one phones know us by.
	host := n.cfg.SIP.ExternalHost
	if len(n.cfg.SIP.InternalListen) > 0 {
		host = ""
	}
	at := func(a netip.AddrPort) string {
		if !a.IsValid() {
			return ""
		}
		return reachable(a, host)
	}
	door := &contract.ProxyRecord{UDP: at(udp), TCP: at(tcp), Hosts: machineAddresses()}
	if door.UDP != "" || door.TCP != "" {
		n.record.update(func(r *contract.NodeRecord) { r.Proxy = door })
	}
}

// startFabric starts the embedded JetStream, if this node has one, and connects to it or to the one outside.
func (n *Node) startFabric(ctx context.Context, s *service) error {
	o := fabric.Options{Node: n.cfg.Node.ID, URL: n.cfg.Fabric.URL, Replicas: n.cfg.Fabric.Replicas,
		User: n.cfg.Fabric.User, Password: n.cfg.Fabric.Password.Reveal(), Log: n.logs.For("fabric", nil)}
	var queue *rq.Service
	if s != nil {
		var err error
		if queue, err = rq.New(n.cfg.RQ(), s.reg, s.log); err != nil {
			return err
		}
		if err := queue.Start(ctx); err != nil {
			return err
		}
		n.house.start(s.name, func(ctx context.Context) error {
			<-ctx.Done()
			queue.Stop()
			return nil
		})
		o.Registry = s.reg
		if o.URL == "" {
			o.Server = queue
		}
	}
	connectCtx, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	fab, err := fabric.Connect(connectCtx, o)
	if err != nil {
		return n.fabricError(err)
	}
	n.fab = fab
	n.house.start("fabric", func(ctx context.Context) error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		return fab.Close(last)
	})
	if s != nil {
		n.serveRQ(s, queue)
	}
	return nil
}

const (
	clusterPatience = 2 * time.Minute // for a majority of the nodes to come up
	flushTime       = 3 * time.Second // for events that wait when the node stops
)

// fabricError says what an operator should look at when there is no fabric.
func (n *Node) fabricError(err error) error {
	switch {
	case n.cfg.Fabric.URL != "":
		return fmt.Errorf("fabric.url: %w; check that a NATS server with JetStream listens there and takes fabric.user", err)
	case n.cfg.Fabric.Cluster.Listen != "":
		return fmt.Errorf("fabric.cluster: %w; check that a majority of the nodes is up and that their routes name each other", err)
	default:
		return err
	}
}

// serveRQ watches the health of the JetStream, and answers on rq's HTTP listener.
func (n *Node) serveRQ(s *service, queue *rq.Service) {
	n.reachedAt(s, func() []string {
		var out []string
		if a := queue.Address(); a != "" {
			out = append(out, "nats://"+a)
		}
		if a := queue.ClusterAddress(); a != "" {
			out = append(out, "nats-route://"+a)
		}
		return out
	})
	look := func() {
		for name, up := range map[string]obs.Connected{"jetstream": queue.Ready, "connection": n.fab.Connected} {
			if ok, reason := up(); ok {
				s.health.Set(name, obs.LevelPass, "")
			} else {
				s.health.Set(name, obs.LevelFail, reason)
			}
		}
	}
	look()
	n.house.start("rq health", func(ctx context.Context) error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				look()
			}
		}
	})
	probe := func(ctx context.Context) error { return queue.Run(ctx, n.fab) }
	rest := n.rest(s, "Parley queue service, and the nodes around it")
	n.nodesOperation(rest.API())
	n.run(s, probe, rest.Serve)
}

// rest is the HTTP server of a service that has none of its own.
func (n *Node) rest(s *service, title string) *httpapi.Server {
	return httpapi.New(httpapi.Options{Service: s.name, Title: title, Version: n.opts.Version,
		Registry: s.reg, Health: s.health, Verify: n.verify, Log: s.log})
}

// phones is where phones reach this node, for the pages that show an account.
func (n *Node) phones() []web.SIPEndpoint {
	var out []web.SIPEndpoint
	for _, a := range n.addresses(settings.SIPProxy) {
		u, err := url.Parse(a)
		if err != nil || u.Scheme == "http" || strings.HasPrefix(u.Scheme, sipproxy.InternalScheme) { // not for phones
			continue
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			continue
		}
		host := n.cfg.SIP.ExternalHost
		if ip, err := netip.ParseAddr(u.Hostname()); host == "" && err == nil && !ip.IsUnspecified() {
			host = ip.String()
		}
		out = append(out, web.SIPEndpoint{Transport: u.Scheme, Host: host, Port: port, Path: u.Path})
	}
	return out
}

// verify asks services/tenant, wherever it runs, who stands behind a token.
func (n *Node) verify(ctx context.Context, token string) (voice.Principal, error) {
	return fabric.Call(ctx, n.fab, contract.VerifyToken, token)
}
