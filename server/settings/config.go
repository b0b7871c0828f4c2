package settings

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"parley/internal/media"
	"parley/internal/obs"
	"parley/services/callstate"
	"parley/services/cdr"
	"parley/services/frontend"
	"parley/services/orchestration"
	"parley/services/registrar"
	"parley/services/rq"
	"parley/services/sip"
	"parley/services/sipproxy"
	"parley/services/tenant"
	"parley/web"
)

// Config is everything a node can be told.
type Config struct {
	Node   Node       `yaml:"node"`
	SIP    SIP        `yaml:"sip"`
	Media  Media      `yaml:"media"`
	Fabric Fabric     `yaml:"fabric"`
	Store  Store      `yaml:"store"`
	HTTP   HTTP       `yaml:"http"`
	Web    web.Config `yaml:"web"`
	Log    Log        `yaml:"log"`

	Tenant    tenant.Config    `yaml:"tenant"`
	Registrar registrar.Config `yaml:"registrar"`
	SIPProxy  sipproxy.Config  `yaml:"sipproxy"`
	Calls     sip.Config       `yaml:"calls"`
	CDR       cdr.Config       `yaml:"cdr"`
	Frontend  frontend.Config  `yaml:"frontend"`
	CallState callstate.Config `yaml:"callstate"`

	Orchestration orchestration.Config `yaml:"orchestration"`
}

// Node says who this node is and what it runs.
type Node struct {
	ID       string   `yaml:"id"`       // unique in the cluster; empty: the host name
	DataDir  string   `yaml:"data_dir"` // everything the node keeps; used by one node at a time
	Services []string `yaml:"services"` // what this node runs; "all" for everything
}

// SIP is where phones and trunks reach the node.
type SIP struct {
	Listen       []string `yaml:"listen"`        // udp://, tcp://, tls://, ws://, wss:// address:port; port 0 takes a free one
	ExternalHost string   `yaml:"external_host"` // name or address that peers see instead of the one listened on
	TLS          TLS      `yaml:"tls"`
	DNS          []string `yaml:"dns"` // address:port of name servers for the names of trunks; empty: those of the machine

	// InternalListen is udp:// and tcp:// address:port for the other nodes and nobody else; empty: they come to Listen.
	InternalListen []string `yaml:"internal_listen"`
}

// TLS is the certificate of tls and wss listeners; both empty: a self-signed one, made under the data directory.
type TLS struct {
	Cert string `yaml:"cert"` // PEM file with the chain, leaf first
	Key  string `yaml:"key"`  // PEM file
	CA   string `yaml:"ca"`   // PEM file of authorities that vouch for trunks, beside those of the machine
}

// Media is where voice flows.
type Media struct {
	Bind         string    `yaml:"bind"`
	ExternalHost string    `yaml:"external_host"`
	Ports        PortRange `yaml:"ports"`
	Mode         string    `yaml:"mode"` // MediaRelay or MediaDirect

	Prompts     string `yaml:"prompts"`      // directory of tenants' own recordings; empty: prompts under the data directory
	PromptCache Size   `yaml:"prompt_cache"` // memory for them
	Recordings  string `yaml:"recordings"`   // directory of what is recorded; empty: recordings under the data directory
}

// The ways of audio.
const (
	MediaRelay  = "relay"  // through the node's own ports
	MediaDirect = "direct" // from phone to phone where both are sure to reach each other, else as relay
)

// Relay is what the relay of audio is told.
func (m Media) Relay() (media.Config, error) {
	c := media.DefaultConfig()
	c.FirstPort, c.LastPort = m.Ports.First, m.Ports.Last
	var err error
	if c.Bind, err = netip.ParseAddr(m.Bind); err != nil {
		return c, fmt.Errorf("media.bind: %q is no IP address", m.Bind)
	}
	if m.ExternalHost != "" {
		if c.External, err = netip.ParseAddr(m.ExternalHost); err != nil {
			return c, fmt.Errorf("media.external_host: %q is no IP address, which audio needs", m.ExternalHost)
		}
	}
	return c, c.Validate()
}

// Fabric is the JetStream under everything.
type Fabric struct {
	URL      string  `yaml:"url"`    // nats://host:port[,...] of an outside server; empty: the embedded one
	Listen   string  `yaml:"listen"` // host:port where the embedded server takes clients; empty: in process only
	Cluster  Cluster `yaml:"cluster"`
	Replicas int     `yaml:"replicas"`  // copies of every stream and bucket: 1 on one node, 3 or 5 in a cluster
	StoreDir string  `yaml:"store_dir"` // empty: jetstream under the data directory

	User      string     `yaml:"user"`       // what clients outside and the other nodes present; needed in a cluster
	Password  obs.Secret `yaml:"password"`   //
	MaxMemory Size       `yaml:"max_memory"` // for streams kept in memory
	MaxStore  Size       `yaml:"max_store"`  // on disk, all streams together
}

// Cluster joins embedded servers.
type Cluster struct {
	Name   string   `yaml:"name"`
	Listen string   `yaml:"listen"` // host:port for the other nodes
	Routes []string `yaml:"routes"` // host:port of the other nodes
}

// Store is where configuration is kept.
type Store struct {
	DSN obs.Secret `yaml:"dsn"` // postgres://user:password@host/database; empty: SQLite under the data directory
}

// HTTP is the listeners of the services.
type HTTP struct {
	Bind  string         `yaml:"bind"`
	Ports map[string]int `yaml:"ports"` // by service; 0: any free one, -1: off
}

// Log is how and how much is logged, on standard error.
type Log struct {
	Level  string        `yaml:"level"`  // debug, info, warn or error
	Format obs.LogFormat `yaml:"format"` // text or json
}

// The services of this release, in the order they start.
const (
	RQ        = "rq"
	Conf      = "config"
	Tenant    = "tenant"
	Dialplan  = "dialplan"
	Registrar = "registrar"
	CDR       = "cdr"
	CallState = "callstate"
	SIPProxy  = "sipproxy"
	SIPNode   = "sip" // after the front door, so that it stops first and can still say goodbye
	Frontend  = "frontend"
	Scripts   = "orchestration"
	Pages     = "web"
)

// Services lists the services a node can run, in the order they start.
func Services() []string {
	return []string{RQ, Conf, Tenant, Dialplan, Registrar, CDR, CallState, SIPProxy, SIPNode, Frontend, Scripts, Pages}
}

// Default returns the configuration of a node that is told nothing.
func Default() Config {
	return Config{
		Node: Node{DataDir: "./data", Services: []string{"all"}},
		SIP: SIP{Listen: []string{
			"udp://0.0.0.0:5060", "tcp://0.0.0.0:5060", "tls://0.0.0.0:5061", "ws://0.0.0.0:5062", "wss://0.0.0.0:5063",
		}},
		Media:  Media{Bind: "0.0.0.0", Ports: PortRange{20000, 29999}, Mode: MediaRelay, PromptCache: 32 << 20},
		Fabric: Fabric{Replicas: 1, MaxMemory: Size(rq.DefaultConfig().MaxMemory), MaxStore: Size(rq.DefaultConfig().MaxStore)},
		HTTP: HTTP{Bind: "127.0.0.1", Ports: map[string]int{
			// One file may serve nodes of several releases, so the ports of all services of the platform are known here.
			"sipproxy": 11400, "sip": 11300, "registrar": 11500, "cdr": 11310, "dialplan": 8800, "config": 9100, "frontend": 9101,
			"agentstate": 11000, "callstate": 11900, "orchestration": 11200, "rq": 12000, "voicemail": 8081,
			"tenant": 5580, "callback": 3050, "quality": 9310, "telemetry": 8107,
		}},
		Web: web.DefaultConfig(),
		Log: Log{Level: "info", Format: obs.FormatText},

		Tenant:    tenant.DefaultConfig(),
		Registrar: registrar.DefaultConfig(),
		SIPProxy:  sipproxy.DefaultConfig(),
		Calls:     sip.DefaultConfig(),
		CDR:       cdr.DefaultConfig(),
		Frontend:  frontend.DefaultConfig(),
		CallState: callstate.DefaultConfig(),

		Orchestration: orchestration.DefaultConfig(),
	}
}

// Runs tells whether the node runs the service.
func (n Node) Runs(service string) bool {
	for _, s := range n.Services {
		if s == "all" || s == service {
			return true
		}
	}
	return false
}

// Running lists the services the node runs, in the order they start.
func (n Node) Running() []string {
	var out []string
	for _, s := range Services() {
		if n.Runs(s) {
			out = append(out, s)
		}
	}
	return out
}

// JetStreamDir is where the embedded server stores.
func (c Config) JetStreamDir() string {
	if c.Fabric.StoreDir != "" {
		return c.Fabric.StoreDir
	}
	return filepath.Join(c.Node.DataDir, "jetstream")
}

// PortRange is the ports from First to Last, both included; it is written "20000-29999".
type PortRange struct{ First, Last int }

// UnmarshalText reads "first-last".
func (p *PortRange) UnmarshalText(b []byte) error {
	first, last, ok := strings.Cut(string(b), "-")
	f, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	l, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return fmt.Errorf("want two port numbers such as 20000-29999")
	}
	*p = PortRange{int(f), int(l)}
	return nil
}

// String is the form UnmarshalText reads.
func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// Size is a number of bytes; it is written "64MiB", "4GiB" or as a plain number.
type Size int64

var units = []struct {
	name  string
	bytes Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalText reads a number with or without a unit.
func (s *Size) UnmarshalText(b []byte) error {
	for _, u := range units {
		if text, ok := strings.CutSuffix(string(b), u.name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil || n < 0 || n > int64(1<<62/u.bytes) {
				break
			}
			*s = Size(n) * u.bytes
			return nil
		}
	}
	return fmt.Errorf("want a size such as 64MiB or 4GiB")
}

// String is the shortest exact form.
func (s Size) String() string {
	for _, u := range units {
		if s%u.bytes == 0 && (s > 0 || u.bytes == 1) {
			return fmt.Sprintf("%d%s", s/u.bytes, u.name)
		}
	}
	return fmt.Sprint(int64(s))
}

// RQ is the configuration of the embedded server.
func (c Config) RQ() rq.Config {
	routes := make([]string, len(c.Fabric.Cluster.Routes))
	for i, r := range c.Fabric.Cluster.Routes {
		routes[i] = strings.TrimPrefix(r, "nats://")
	}
	return rq.Config{
		Node: c.Node.ID, StoreDir: c.JetStreamDir(), Listen: c.Fabric.Listen,
		User: c.Fabric.User, Password: c.Fabric.Password.Reveal(),
		ClusterName: c.Fabric.Cluster.Name, ClusterListen: c.Fabric.Cluster.Listen, Routes: routes,
		MaxMemory: int64(c.Fabric.MaxMemory), MaxStore: int64(c.Fabric.MaxStore),
	}
}
