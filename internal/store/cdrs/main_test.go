package cdrs

import (
	"testing"

	"parley/internal/store/pgtest"
)

var postgres pgtest.Server

func TestMain(m *testing.M) { postgres.Main(m) }
