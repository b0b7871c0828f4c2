package tenant

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("DefaultConfig().Validate() = %v", err)
	}
}

func TestValidateNamesEveryKey(t *testing.T) {
	err := Config{Waiting: -1, TokenTTL: time.Hour, MaxTokenTTL: time.Minute}.Validate()
	if err == nil {
		t.Fatal("Validate() = nil")
	}
	for _, key := range []string{
		"tenant.verifications", "tenant.waiting", "tenant.max_token_ttl", "tenant.lockout.name_failures",
		"tenant.lockout.source_failures", "tenant.lockout.window", "tenant.lockout.duration", "tenant.lockout.remember",
	} {
		if !strings.Contains(err.Error(), key+":") {
			t.Errorf("Validate() does not name %s:\n%v", key, err)
		}
	}
	if strings.Contains(err.Error(), "tenant.token_ttl") {
		t.Errorf("Validate() names a good key:\n%v", err)
	}
}
