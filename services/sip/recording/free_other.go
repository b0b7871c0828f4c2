//go:build !unix

package recording

import "errors"

// freeOn cannot tell here; a full disk is noticed when it refuses.
func freeOn(string) (int64, error) { return 0, errors.ErrUnsupported }
