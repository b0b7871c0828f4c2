package secure

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pion/dtls/v3"
)

// keyLabel is what the keys of SRTP are exported by (RFC 5764 §4.2).
const keyLabel = "EXTRACTOR-dtls_srtp"

// run does one handshake and stays a while, so that our last message can be asked for again.
func (d *DTLS) run(h *handshake, t Terms) {
	conn, keys, err := d.shake(h, t)
	<-d.identity.slots
	if err == nil {
		err = d.won(h, keys)
	}
	keys.local.Key.Wipe()
	keys.remote.Key.Wipe()
	if d.ctx.Err() == nil && (err == nil || d.wanting(h)) {
		d.outcome(err)
	}
	if err == nil {
		linger := time.NewTimer(lingerFor)
		select {
		case <-linger.C:
		case <-d.ctx.Done():
		}
		linger.Stop()
	}
	h.wire.mute()
	if conn != nil {
		_ = conn.Close() // its socket is ours and has nothing left to say
	}
	_ = h.wire.Close() // never fails
	d.mu.Lock()
	h.of.shakes = slices.DeleteFunc(h.of.shakes, func(o *handshake) bool { return o == h })
	d.mu.Unlock()
}

// wanting tells whether the association of a handshake has no keys yet. When it has, another handshake got them and ended this one,
// which is then nobody's failure.
func (d *DTLS) wanting(h *handshake) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !h.of.done
}

// keys are what a handshake agrees on, and with whom.
type keys struct {
	local, remote Crypto
	shown         []byte // certificate
}

// won sets the keys of the first handshake of an association that has some. One that is second is nobody's.
func (d *DTLS) won(h *handshake, k keys) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.of.done || d.closed {
		return errors.New("DTLS handshake: another one was first, or the call is over")
	}
	if err := h.of.session.agree(k.local, k.remote); err != nil {
		return err
	}
	h.of.done = true
	d.shown = k.shown
	d.apart.Store(d.control.done)
	for _, o := range h.of.shakes {
		if o != h {
			_ = o.wire.Close() // never fails; it ends the handshake
		}
	}
	return nil
}

// shake does the handshake.
func (d *DTLS) shake(h *handshake, t Terms) (*dtls.Conn, keys, error) {
	conn, err := d.connect(h, t)
	if err != nil {
		return nil, keys{}, err
	}
	ctx, cancel := context.WithTimeout(d.ctx, handshakeFor)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return conn, keys{}, fmt.Errorf("DTLS handshake: %w", err)
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return conn, keys{}, errors.New("DTLS handshake: its state is not to be had")
	}
	if err := verify(t.Fingerprints, state.PeerCertificates); err != nil { // again, in case the library forgot to ask
		return conn, keys{}, err
	}
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return conn, keys{}, fmt.Errorf("DTLS without use_srtp: %w", ErrUnsupported)
	}
	k, err := export(&state, profile, t.Setup == Active)
	k.shown = state.PeerCertificates[0]
	return conn, k, err
}

// connect makes a side of an association.
func (d *DTLS) connect(h *handshake, t Terms) (*dtls.Conn, error) {
	check := func(certificates [][]byte, _ [][]*x509.Certificate) error {
		return verify(t.Fingerprints, certificates)
	}
	common := []dtls.Option{
		dtls.WithCertificates(d.identity.certificate), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithInsecureSkipVerify(true), // nobody signed the certificate; its fingerprint is what counts
		dtls.WithVerifyPeerCertificate(check), dtls.WithFlightInterval(repeatAfter), dtls.WithMTU(fragment), dtls.WithLoggerFactory(d.identity.quiet),
	}
	if t.Setup == Active {
		var opts []dtls.ClientOption
		for _, o := range common {
			opts = append(opts, o)
		}
		return dtls.ClientWithOptions(h.wire, h.wire.RemoteAddr(), opts...)
	}
	opts := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(d.ice != nil)} // ICE has shown already that the address is the peer's
	for _, o := range common {
		opts = append(opts, o)
	}
	return dtls.ServerWithOptions(h.wire, h.wire.RemoteAddr(), opts...)
}

// export takes the keys of SRTP out of an association (RFC 5764 §4.2): those of the client, those of the server, then the
// salts.
func export(state *dtls.State, profile dtls.SRTPProtectionProfile, client bool) (keys, error) {
	suite := CM80
	if profile == dtls.SRTP_AEAD_AES_128_GCM {
		suite = GCM128
	}
	salt := suite.saltSize()
	material, err := state.ExportKeyingMaterial(keyLabel, nil, 2*(keySize+salt))
	if err != nil {
		return keys{}, fmt.Errorf("keys of DTLS: %w", err)
	}
	defer clear(material)
	masters, salts := material[:2*keySize], material[2*keySize:]
	ofClient, errClient := keyOf(suite, masters[:keySize], salts[:salt])
	ofServer, errServer := keyOf(suite, masters[keySize:], salts[salt:])
	if err := errors.Join(errClient, errServer); err != nil {
		return keys{}, err
	}
	k := keys{local: Crypto{Suite: suite, Key: ofServer}, remote: Crypto{Suite: suite, Key: ofClient}}
	if client {
		k.local, k.remote = k.remote, k.local
	}
	return k, nil
}
