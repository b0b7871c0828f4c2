package rq

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"parley/internal/fabric"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Config says how the embedded server runs. Paths in messages are those of the platform's YAML.
type Config struct {
	Node          string   `yaml:"-"`         // id of this node, unique in the cluster and the same after every restart
	StoreDir      string   `yaml:"store_dir"` // where JetStream keeps its files
	Listen        string   `yaml:"listen"`    // host:port for NATS clients outside the process; "" = none. On a single node it costs an fsync a write
	User          string   `yaml:"user"`      // what such clients, and the other nodes of a cluster, present
	Password      string   `yaml:"password"`  // "" = random at each start on a single node, required in a cluster
	ClusterName   string   `yaml:"cluster_name"`
	ClusterListen string   `yaml:"cluster_listen"` // host:port for the other nodes; "" = no cluster
	Routes        []string `yaml:"routes"`         // host:port of the other nodes' ClusterListen
	MaxMemory     int64    `yaml:"max_memory"`     // bytes for streams and consumers in memory
	MaxStore      int64    `yaml:"max_store"`      // bytes on disk for all streams
}

// DefaultConfig is one node for an edge box, which talks to nobody.
func DefaultConfig() Config {
	return Config{StoreDir: filepath.Join("data", "jetstream"), MaxMemory: 64 * mib, MaxStore: 4 * gib}
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Validate reports everything that is wrong, each under its YAML path.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if !nodeName.MatchString(c.Node) {
		bad("node.id", "%q: want 1 to 63 letters, digits, '.', '-' or '_', the first a letter or digit", c.Node)
	}
	if c.StoreDir == "" || strings.ContainsFunc(c.StoreDir, unicode.IsControl) {
		bad("fabric.store_dir", "%q: want a directory", c.StoreDir)
	}
	if c.Listen != "" {
		if err := checkAddress(c.Listen); err != nil {
			bad("fabric.listen", "%v", err)
		}
	}
	for key, s := range map[string]string{"fabric.user": c.User, "fabric.password": c.Password} {
		if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) || strings.HasPrefix(s, "$2") {
			bad(key, "want printable text that does not look like a bcrypt hash")
		}
	}
	if (c.User == "") != (c.Password == "") {
		bad("fabric.user", "user and password go together")
	}
	if c.ClusterListen != "" {
		errs = append(errs, c.validateCluster()...)
	} else if len(c.Routes) > 0 || c.ClusterName != "" {
		bad("fabric.cluster.listen", "is missing: a cluster with a name or routes needs it")
	}
	if c.MaxMemory < mib {
		bad("fabric.max_memory", "%d: want at least %d bytes", c.MaxMemory, mib)
	}
	if need := fabric.StoreNeeded(nil); c.MaxStore < need {
		bad("fabric.max_store", "%d: want at least the %d bytes that the streams and buckets may fill", c.MaxStore, need)
	}
	return errors.Join(errs...)
}

func (c Config) validateCluster() (errs []error) {
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("fabric.cluster.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if !nodeName.MatchString(c.ClusterName) {
		bad("name", "%q: want letters, digits, '.', '-' or '_', the same on all nodes", c.ClusterName)
	}
	if err := checkAddress(c.ClusterListen); err != nil {
		bad("listen", "%v", err)
	}
	if len(c.Routes) == 0 {
		bad("routes", "is empty: name the cluster.listen of the other nodes")
	}
	for i, r := range c.Routes {
		if err := checkAddress(r); err != nil {
			bad("routes["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
	if c.User == "" {
		errs = append(errs, errors.New("fabric.user: is missing: the nodes of a cluster know each other by user and password"))
	}
	return errs
}

// Clustered tells whether the node is one of several.
func (c Config) Clustered() bool { return c.ClusterListen != "" }

func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q: want host:port", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: want a port from 1 to 65535, or 0 for any free one", s)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == 0x7f }) {
		return fmt.Errorf("%q: bad host", s)
	}
	return nil
}

// render writes the configuration the server is built from. Options set one by one are known to leave an embedded
// cluster without a leader after a restart; what goes through the server's own parser is treated as it treats a file.
func (c Config) render() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server_name: %q", c.Node)
	listen := anyPort(c.Listen)
	if listen == "" {
		listen = "127.0.0.1:-1" // used in a cluster only, where routing waits for a client listener
	}
	line("listen: %q", listen)
	line("max_payload: %d", maxPayload)
	line("max_connections: %d", maxClients)
	line("disable_sublist_cache: true") // a node has a few hundred subscriptions, and every subject is used once
	line("write_deadline: %q", "10s")
	line("ping_interval: %q", "30s")
	line("jetstream {")
	line("  store_dir: %q", c.StoreDir)
	line("  max_memory_store: %d", c.MaxMemory)
	line("  max_file_store: %d", c.MaxStore)
	line("  sync_interval: %s", c.syncInterval())
	line("  request_queue_limit: %d", apiQueue)
	line("  limits { default_max_consumers: %d }", maxConsumers)
	line("}")
	if c.User != "" {
		line("authorization { user: %q, password: %q, timeout: 5 }", c.User, c.Password)
	}
	if c.Clustered() {
		routes := make([]string, len(c.Routes))
		for i, r := range c.Routes {
			u := url.URL{Scheme: "nats", User: url.UserPassword(c.User, c.Password), Host: r}
			routes[i] = strconv.Quote(u.String())
		}
		slices.Sort(routes)
		line("cluster {")
		line("  name: %q", c.ClusterName)
		line("  listen: %q", anyPort(c.ClusterListen))
		line("  authorization { user: %q, password: %q, timeout: 5 }", c.User, c.Password)
		line("  routes: [%s]", strings.Join(routes, ", "))
		line("}")
	}
	return b.String()
}

// syncAlways tells whether the server fsyncs every write before it acknowledges. It does in a cluster, where that is
// cheap (one fsync of the Raft log for many writes), and when clients outside the process publish, since they
// know nothing of SyncStream. A node that talks to nobody has its promises synced by internal/fabric.
func (c Config) syncAlways() bool { return c.Clustered() || c.Listen != "" }

func (c Config) syncInterval() string {
	if c.syncAlways() {
		return "always"
	}
	return `"2m"` // the server's default, set so that it is known
}

// anyPort writes port 0 as the server wants it.
func anyPort(address string) string {
	if host, ok := strings.CutSuffix(address, ":0"); ok {
		return host + ":-1"
	}
	return address
}

const (
	maxPayload = 8 * mib // a configuration export is the largest message
	maxClients = 1024

	// maxConsumers bounds the consumers of one stream. The server's default (1,000) is set here so that it is known:
	// a node needs one for each bucket it watches and one for each subscription.
	maxConsumers = 1000

	apiQueue = 10_000 // JetStream API requests waiting; more are dropped by the server
)
