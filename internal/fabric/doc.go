// Package fabric is one node's client of the JetStream under everything: typed doors, event streams and
// key-value buckets. It is the only importer of nats.go.
package fabric
