package tenant

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"parley/internal/contract"
	"parley/internal/voice"
)

const (
	defaultIssueTTL = 24 * time.Hour // of a token without a password, when nobody asks for another
	maxNameLen      = 128            // bytes of a tenant's or person's name; a longer one does not exist
)

// The answers to somebody who is not signed in. They say nothing about what exists.
var (
	errRefused = voice.Errorf(voice.ErrUnauthorized, "the name or the password is wrong")
	errLocked  = voice.Errorf(voice.ErrOverloaded, "too many failed attempts, try again in a few minutes")
	errBadge   = voice.Errorf(voice.ErrUnauthorized, "the token is not valid or has ended")
)

// SignIn serves contract.SignIn.
func (s *Service) SignIn(ctx context.Context, req contract.SignInRequest) (contract.Session, error) {
	session, outcome, err := s.signIn(ctx, req)
	s.metrics.signIns.WithLabelValues(outcome).Inc()
	attrs := []slog.Attr{
		slog.String("outcome", outcome), slog.String("source", req.Source.String()),
		slog.String("tenant", clip(req.Tenant)), slog.String("user", clip(req.User)),
	}
	level := slog.LevelInfo
	if outcome == outcomeError {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", err))
	}
	s.log.LogAttrs(ctx, level, "sign-in", attrs...)
	return session, err
}

func (s *Service) signIn(ctx context.Context, req contract.SignInRequest) (_ contract.Session, outcome string, _ error) {
	name, source := clip(req.Tenant)+"/"+clip(req.User), sourceKey(req.Source)
	if !s.guard.begin(s.now(), name, source) {
		return contract.Session{}, outcomeLocked, errLocked
	}
	tenant, who, err := s.find(ctx, req)
	if err != nil {
		s.guard.undecided(name, source)
		return contract.Session{}, outcomeError, err
	}
	right, err := s.checks.check(ctx, who.PasswordHash, req.Password)
	switch {
	case errors.Is(err, voice.ErrOverloaded):
		s.guard.undecided(name, source)
		return contract.Session{}, outcomeOverloaded, err
	case err != nil:
		s.guard.undecided(name, source)
		return contract.Session{}, outcomeError, err
	case !right || who.Disabled:
		return contract.Session{}, outcomeRefused, errRefused
	}
	s.guard.succeeded(name, source)
	session, err := s.issue(tenant, who, req.TTL, s.cfg.TokenTTL)
	if err != nil {
		return contract.Session{}, outcomeError, err
	}
	s.metrics.tokens.WithLabelValues("sign_in").Inc()
	return session, outcomeOK, nil
}

// find returns the person a sign-in names, or a zero person when there is none: the check then takes as long and fails.
func (s *Service) find(ctx context.Context, req contract.SignInRequest) (tenant string, who voice.Person, err error) {
	if req.User == "" || len(req.User) > maxNameLen || len(req.Tenant) > maxNameLen {
		return "", voice.Person{}, nil
	}
	tenant, err = s.people.tenantOr(ctx, req.Tenant)
	if err == nil {
		who, err = s.people.read(ctx, tenant, req.User)
	}
	// Names that cannot be (a blank, a slash) are as unknown as those that are not.
	if errors.Is(err, voice.ErrNotFound) || errors.Is(err, voice.ErrInvalid) {
		return tenant, voice.Person{}, nil
	}
	return tenant, who, err
}

// IssueToken serves contract.IssueToken: a token without a password, for who may ask (see contract.IssueTokenRequest).
func (s *Service) IssueToken(ctx context.Context, req contract.IssueTokenRequest) (contract.Session, error) {
	tenant, err := s.people.tenantOr(ctx, req.Tenant)
	if err != nil {
		return contract.Session{}, err
	}
	who, err := s.people.read(ctx, tenant, req.User)
	if errors.Is(err, voice.ErrNotFound) {
		return contract.Session{}, voice.Errorf(voice.ErrNotFound, "tenant %s has no person %q", tenant, req.User)
	}
	if err != nil {
		return contract.Session{}, err
	}
	if who.Disabled {
		return contract.Session{}, voice.Errorf(voice.ErrForbidden, "%s is disabled", req.User)
	}
	session, err := s.issue(tenant, who, req.TTL, defaultIssueTTL)
	if err != nil {
		return contract.Session{}, err
	}
	s.metrics.tokens.WithLabelValues("issue").Inc()
	s.log.LogAttrs(ctx, slog.LevelInfo, "token issued", slog.String("tenant", tenant), slog.String("user", req.User),
		slog.String("by", req.By), slog.Time("expires", session.Expires))
	return session, nil
}

// issue signs a token for who, living ttl (0: fallback) but no longer than Config.MaxTokenTTL.
func (s *Service) issue(tenant string, who voice.Person, ttl, fallback time.Duration) (contract.Session, error) {
	if ttl <= 0 {
		ttl = fallback
	}
	ttl = min(ttl, s.cfg.MaxTokenTTL)
	now := s.now()
	expires := now.Add(ttl).Truncate(time.Second)
	token, err := s.signer.sign(claims{
		Tenant: tenant, User: who.Username, ID: newTokenID(),
		Issued: now.Unix(), Expires: expires.Unix(), Proof: s.signer.proof(who.PasswordHash),
	})
	if err != nil {
		return contract.Session{}, err
	}
	return contract.Session{
		Token:     token,
		Principal: voice.Principal{Tenant: tenant, User: who.Username, Roles: who.Roles},
		Expires:   expires,
	}, nil
}

// VerifyToken serves contract.VerifyToken. Whatever is wrong with a token, the answer is the same.
func (s *Service) VerifyToken(ctx context.Context, token string) (voice.Principal, error) {
	p, err := s.verify(ctx, token)
	switch {
	case err == nil:
		s.metrics.checks.WithLabelValues(outcomeOK).Inc()
	case errors.Is(err, voice.ErrUnauthorized):
		s.metrics.checks.WithLabelValues(outcomeRefused).Inc()
	default:
		s.metrics.checks.WithLabelValues(outcomeError).Inc()
	}
	return p, err
}

func (s *Service) verify(ctx context.Context, token string) (voice.Principal, error) {
	c, err := s.signer.parse(token)
	if err != nil || c.expired(s.now()) || s.revoked.has(c.ID) {
		return voice.Principal{}, errBadge
	}
	good := func(who person) bool { return who.exists && !who.disabled && who.proof == c.Proof }
	who, err := s.people.get(ctx, c.Tenant, c.User, good)
	if err != nil {
		return voice.Principal{}, err
	}
	if !good(who) {
		return voice.Principal{}, errBadge
	}
	return voice.Principal{Tenant: c.Tenant, User: c.User, Roles: who.roles}, nil
}

// RevokeToken serves contract.RevokeToken. A token that has expired needs no revoking; a text that is no token of
// this cluster is voice.ErrUnauthorized.
func (s *Service) RevokeToken(ctx context.Context, token string) (struct{}, error) {
	c, err := s.signer.parse(token)
	if err != nil {
		return struct{}{}, errBadge
	}
	left := time.Unix(c.Expires, 0).Sub(s.now())
	if left <= 0 || s.revoked.has(c.ID) {
		return struct{}{}, nil
	}
	// One second more: the bucket counts whole seconds, and a token must not rise again in the last of them.
	if err := s.revoked.add(ctx, c.ID, left+time.Second); err != nil {
		return struct{}{}, err
	}
	s.metrics.revokes.Inc()
	return struct{}{}, nil
}

// clip copies a name from outside, cut to what a log line and a map key may hold.
func clip(s string) string { return strings.Clone(s[:min(len(s), maxNameLen)]) }
