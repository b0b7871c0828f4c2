//go:build !(linux && (amd64 || arm64))

package media

func newDriver(Config) (driver, error) { return &netDriver{}, nil }
