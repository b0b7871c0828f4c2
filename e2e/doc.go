// Package e2e tests the built binary from outside, with the programs people really use: baresip, linphone, sipp,
// sipvicious, promtool, and scripted phones where no program does what a test needs. Everything stays on loopback.
package e2e
