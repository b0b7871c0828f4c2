package sip

import (
	"strings"

	"parley/internal/contract"
	"parley/internal/media/sdp"
	"parley/internal/voice"
)

// device is what is known of a phone or trunk before it says anything about its audio.
type device struct {
	srtp   voice.SRTP
	webrtc bool // it is a browser, or behaves like one
	hold   voice.HoldAudio
	record bool // its calls are recorded
}

// device reads how a number is configured, of which transport is the way it registered or called; "" = not known.
func (o *outside) device(tenant, number, transport string) device {
	var options map[string]string
	if r, ok := o.dir.DN(tenant, number); ok {
		if all, err := r.Options(); err == nil {
			options = all["TServer"]
		}
	}
	a, _ := voice.ParseAudioOptions(options) // what cannot be is refused when it is configured
	d := device{srtp: a.SRTP, hold: a.Hold, record: a.Record, webrtc: strings.EqualFold(transport, "ws") || strings.EqualFold(transport, "wss")}
	if a.WebRTC != nil {
		d.webrtc = *a.WebRTC
	}
	return d
}

// profile is what the device is offered.
func (d *device) profile() sdp.Profile {
	switch {
	case d.webrtc:
		return sdp.WebRTC
	case d.srtp == voice.SRTPRequired:
		return sdp.SAVP
	}
	return sdp.AVP
}

// profile is what the side is offered: what it has shown to speak, else what is known of its device.
func (e *end) profile() sdp.Profile {
	if e.said.known {
		return e.said.profile
	}
	return e.device.profile()
}

// mayOffer refuses an offer that the device is not meant to make.
func (e *end) mayOffer(au *sdp.Audio) error {
	if e.device.srtp == voice.SRTPRequired && au.Keys() == sdp.NoKeys {
		return errMustEncrypt
	}
	return nil
}

// callerDevice is how the one who calls is configured: an extension or a trunk.
func (c *call) callerDevice(transport string) device {
	if c.from.number == "" {
		return c.w.device(c.id.tenant, c.from.trunk, "")
	}
	return c.w.device(c.id.tenant, c.from.number, transport)
}

// placeDevice is how the place of a branch is configured.
func (c *call) placeDevice(b *branch, to *contract.Binding) device {
	if b.exit != nil {
		return c.w.device(c.id.tenant, b.exit.DN, "")
	}
	return c.w.device(c.id.tenant, c.called(b), to.Transport)
}

// facing makes a branch the other end of what is said about audio, since one leg serves all that ring.
func (c *call) facing(b *branch) {
	c.hosts[callee] = b.host
	c.calledDevice = b.device
	if c.audio != nil {
		e := c.audio.ends[callee]
		e.device = b.device
		if b.offered != nil {
			e.ours = b.offered
		}
	}
}
