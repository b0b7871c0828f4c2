package config

import (
	"testing"

	"parley/internal/httpapi/apitest"
	"parley/internal/store/pgtest"
)

var postgres pgtest.Server

func TestMain(m *testing.M) { postgres.Main(m, apitest.Clock()) }
