package config

import (
	"context"
	"maps"
	"strings"

	"parley/internal/contract"
	"parley/internal/passwd"
	"parley/internal/store"
	"parley/internal/voice"
)

// This file holds what is known of trunks and softswitches: the options that the SIP node reads, and the password that we show
// to a carrier.

const trunkSection = "options.TServer."

func isTrunk(d *voice.DN) bool { return d.Type == voice.DNTrunk || d.Type == voice.DNSoftswitch }

// checkTrunk checks the options of section TServer that the SIP node reads.
func checkTrunk(r *report, d *voice.DN) {
	o := d.Options["TServer"]
	if !isTrunk(d) {
		for _, name := range []string{voice.OptionAuthPassword, voice.OptionRegister, voice.OptionCapacity} {
			if _, given := o[name]; given {
				r.bad(trunkSection+name, "only a trunk or softswitch has this option; this is %s", article(string(d.Type)))
			}
		}
		if cpn := o[voice.OptionCPN]; !voice.DialSymbols(cpn) || len(cpn) > maxDigits {
			r.bad(trunkSection+voice.OptionCPN, "%.64q is not a number; want at most %d digits, '+', '*' or '#'", cpn, maxDigits)
		}
		return
	}
	_, problems := voice.ParseTrunkOptions(d.Number, o)
	for _, p := range problems {
		r.bad(trunkSection+p.Field, "of %s %q: %s", d.Type, d.Number, p.Reason)
	}
	if uri, given := o[voice.OptionRegister]; given {
		if err := checkSIPURI(uri); err != nil {
			r.bad(trunkSection+voice.OptionRegister, "%v", err)
		}
	}
	if host, given := o[voice.OptionOverrideDomain]; given && !isHost(contract.NormalHost(host)) {
		r.bad(trunkSection+voice.OptionOverrideDomain, "%.64q is not a host name or IP address", host)
	}
	password, given := o[voice.OptionAuthPassword]
	switch {
	case !given:
	case o[voice.OptionAuthUser] == "":
		r.bad(trunkSection+voice.OptionAuthPassword, "needs the option %s", voice.OptionAuthUser)
	case password == "":
		r.bad(trunkSection+voice.OptionAuthPassword, "must not be empty; leave it out to keep the one there is")
	case !strings.HasPrefix(password, passwd.SealedPrefix):
		checkText(r, trunkSection+voice.OptionAuthPassword, password, maxSIPPassword)
	}
}

// softswitchRef is the softswitch that the calls of an extension go through.
func softswitchRef(d *voice.DN) []pointer {
	if name := d.Options["TServer"][voice.OptionSoftswitch]; name != "" {
		return []pointer{{trunkSection + voice.OptionSoftswitch, store.Ref{Kind: voice.KindDN, Key: name}}}
	}
	return nil
}

// sealer encrypts what must be known again, under the secret that SIP nodes ask for by contract.ClusterSecret.
func (s *Service) sealer(ctx context.Context) (*passwd.Sealer, error) {
	key, err := s.store.Secret(ctx, contract.TrunkSecret)
	if err != nil {
		return nil, err
	}
	return passwd.NewSealer(key)
}

// sealTrunk seals the password of a trunk. One that is the same as before stays as it is, and a body without one keeps the one
// there is, as long as it has a user.
func (p *planner) sealTrunk(ctx context.Context, w *want, d, before *voice.DN) error {
	known := trunkPassword(before)
	typed := trunkPassword(d)
	switch {
	case !isTrunk(d), typed == "" && (known == "" || d.Options["TServer"][voice.OptionAuthUser] == ""):
		return nil
	case typed == "":
		setTrunkPassword(d, known)
		return nil
	case typed == known:
		return nil
	}
	sealer, err := p.s.sealer(ctx)
	if err != nil {
		return err
	}
	owner := contract.TrunkOwner(w.tenant, d.Number)
	if strings.HasPrefix(typed, passwd.SealedPrefix) {
		if _, err := sealer.Open(owner, typed); err != nil {
			w.report(&p.out).bad(trunkSection+voice.OptionAuthPassword, "%v", err)
		}
		return nil
	}
	if plain, err := sealer.Open(owner, known); err == nil && plain == typed {
		setTrunkPassword(d, known)
		return nil
	}
	setTrunkPassword(d, sealer.Seal(owner, typed))
	return nil
}

func trunkPassword(d *voice.DN) string {
	if d == nil {
		return ""
	}
	return d.Options["TServer"][voice.OptionAuthPassword]
}

// setTrunkPassword gives d another password, "" for none, and leaves the maps it shares with others alone.
func setTrunkPassword(d *voice.DN, password string) {
	d.Options = maps.Clone(d.Options)
	section := maps.Clone(d.Options["TServer"])
	if section == nil {
		return
	}
	if password == "" {
		delete(section, voice.OptionAuthPassword)
	} else {
		section[voice.OptionAuthPassword] = password
	}
	d.Options["TServer"] = section
}
