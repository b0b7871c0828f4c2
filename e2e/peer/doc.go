// Package peer runs real programs beside the platform in tests: softphones, scanners, load generators. Each runs in
// a folder of its own with a configuration written for the test, and ends with the test.
package peer
