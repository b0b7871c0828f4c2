package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parley/configs"
	"parley/internal/contract"
	"parley/internal/fabric"
	"parley/internal/obs"
	"parley/internal/voice"
	"parley/server/panel"
	"parley/server/provision"
	"parley/server/settings"
)

// The accounts of the first start.
const (
	demoDomain      = "demo.local"
	firstExtension  = 1001
	extensions      = 10
	adminName       = "admin"
	adminLength     = 20 // characters of the administrator's password: 99 bits
	extensionLength = 14 // of a phone's: 69 bits

	// alphabet has no pair of characters that look alike in any type: no 0 O o, 1 l I i, and no capitals.
	alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
)

// secrets are the passwords of a first start that is under way, by account. They are written down before they are
// applied and removed after they have been shown, so that a node killed in between neither loses them nor makes others.
type secrets map[string]string

// Secret is the password of an account, made when it is first asked for; the template calls it.
func (s secrets) Secret(account string) (string, error) {
	if s[account] == "" {
		length := extensionLength
		if account == adminName {
			length = adminLength
		}
		p, err := randomText(length)
		if err != nil {
			return "", err
		}
		s[account] = p
	}
	return s[account], nil
}

// Admin and Extensions are what the template makes accounts for.
func (s secrets) Admin() string { return adminName }

// Extensions lists the numbers of the first phones.
func (s secrets) Extensions() []string {
	out := make([]string, extensions)
	for i := range out {
		out[i] = strconv.Itoa(firstExtension + i)
	}
	return out
}

func randomText(length int) (string, error) {
	var b strings.Builder
	for range length {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", fmt.Errorf("random password: %w", err)
		}
		b.WriteByte(alphabet[i.Int64()])
	}
	return b.String(), nil
}

// firstStart makes the demo tenant when the store has no tenant at all, and goes on with one that was interrupted.
// accounts is what the panel shows, nil when there is nothing to show; done is called once it has been shown.
func (n *Node) firstStart(ctx context.Context, provisioning *contract.ConfigApplyRequest) (accounts *panel.Accounts, done func() error, err error) {
	nothing := func() error { return nil }
	if !n.cfg.Node.Runs(settings.Conf) {
		return nil, nothing, nil
	}
	file := n.dir.join("first-start.json")
	pending, err := readSecrets(file)
	if err != nil {
		return nil, nil, err
	}
	again := pending != nil
	if !again {
		if provisioning != nil && provision.DefinesTenants(*provisioning) {
			return nil, nothing, nil
		}
		tenants, err := fabric.Call(ctx, n.fab, contract.ConfigList, contract.ConfigListRequest{Tenant: voice.SystemTenant, Kind: voice.KindTenant, Limit: 1})
		if err != nil {
			return nil, nil, fmt.Errorf("look for tenants: %w", err)
		}
		if tenants.Total > 0 {
			return nil, nothing, nil
		}
		pending = secrets{}
	}
	if ours, err := n.leaseFirstStart(ctx); err != nil || !ours {
		return nil, nothing, err
	}
	req, err := provision.FromTemplate(configs.Files, configs.Demo, pending)
	if err != nil {
		return nil, nil, err
	}
	if err := writeSecrets(file, pending); err != nil {
		return nil, nil, err
	}
	made, err := n.makeFirst(ctx, req, again)
	if err != nil {
		return nil, nil, err
	}
	if !made {
		n.log.Info("first start: another node has made a tenant meanwhile")
		return nil, nothing, os.Remove(file)
	}
	n.log.Info("first start: tenant made", slog.String("tenant", "demo"))
	return pending.accounts(), func() error { return os.Remove(file) }, nil
}

// makeFirst makes the first tenant, unless there is one: another node may be provisioned at this moment, and its
// passwords must not be replaced by random ones. A tenant that is exactly what is to be made is this node's own, from before it was interrupted.
func (n *Node) makeFirst(ctx context.Context, req contract.ConfigApplyRequest, again bool) (bool, error) {
	req.User, req.First = "first start", true
	_, err := n.Apply(ctx, req)
	if !errors.Is(err, voice.ErrConflict) {
		return err == nil, err
	}
	if !again {
		return false, nil
	}
	req.First, req.DryRun = false, true
	res, err := n.Apply(ctx, req)
	return err == nil && len(res.Changes) == 0, err
}

// leaseFirstStart tells whether this node is to make the demo tenant. In a cluster, nodes that start together find
// the same empty store; the lease lets one of them go ahead.
func (n *Node) leaseFirstStart(ctx context.Context) (bool, error) {
	bucket, key := n.fab.Bucket(fabric.BucketLeases), fabric.Key("first-start")
	_, err := bucket.Put(ctx, key, []byte(n.cfg.Node.ID), fabric.PutOptions{CAS: true, TTL: time.Minute})
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, voice.ErrConflict) {
		return false, fmt.Errorf("lease: %w", err)
	}
	e, err := bucket.Get(ctx, key)
	if err != nil && !errors.Is(err, voice.ErrNotFound) {
		return false, fmt.Errorf("lease: %w", err)
	}
	holder := string(e.Value)
	if holder != n.cfg.Node.ID {
		n.log.Info("another node makes the first tenant", slog.String("node", holder))
		return false, nil
	}
	return true, nil // this node, before it was killed
}

func (s secrets) accounts() *panel.Accounts {
	a := &panel.Accounts{Domain: demoDomain, Admin: panel.Account{Name: adminName, Password: s[adminName]}}
	for _, e := range s.Extensions() {
		a.Extensions = append(a.Extensions, panel.Account{Name: e, Password: s[e]})
	}
	return a
}

// readSecrets reads what an interrupted first start left; nil if there was none.
func readSecrets(file string) (secrets, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s secrets
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w; remove the file to begin again", file, err)
	}
	return s, nil
}

// writeSecrets writes the file whole or not at all, and on disk.
func writeSecrets(file string, s secrets) (err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".first-start-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// provision applies the file of --provision.
func (n *Node) provision(ctx context.Context, req contract.ConfigApplyRequest) error {
	req.User = "--provision"
	res, err := n.Apply(ctx, req)
	if err != nil {
		return err
	}
	n.log.Info("provisioned", slog.String("file", req.File), slog.Int("changed", len(res.Changes)), slog.Int("unchanged", res.Unchanged))
	return nil
}

// panel is what is printed when the node is ready.
func (n *Node) panel(ctx context.Context, accounts *panel.Accounts) panel.Panel {
	p := panel.Panel{Node: n.cfg.Node.ID, Version: n.opts.Version, DataDir: n.dir.path, Certificate: n.selfSigned, Accounts: accounts}
	if n.cfg.Node.DataDir != settings.Default().Node.DataDir {
		p.Flags = " --data-dir " + n.dir.path
	}
	var waiting []string
	for _, s := range n.Status(ctx).Services {
		if s.Level < obs.LevelDegraded {
			waiting = append(waiting, s.Name)
		}
		for _, a := range s.Address {
			switch {
			case s.Name == settings.Pages:
				p.Pages = a
			case s.Name == settings.SIPProxy && !strings.HasPrefix(a, "http://"):
				p.SIP = append(p.SIP, forPhones(a, n.cfg.SIP.ExternalHost))
			}
		}
	}
	p.Waiting = strings.Join(waiting, ", ")
	return p
}
