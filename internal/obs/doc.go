// Package obs is how a service is observed: its health level with reasons ([Health]), its metrics registry
// ([NewRegistry] and the gauges that every service has) and its log ([Logs]).
//
// State: a Health holds the checks of one service; a Logs holds the one writer that all services of a node share.
// Gauges keep nothing: they ask when they are scraped, so what /metrics shows is never older than the scrape.
//
// Concurrency: everything here may be used by many goroutines at once. The functions given to gauges are called
// by scrapes; they must not block.
//
// Not here: listeners (internal/httpapi serves what is collected here) and the metrics of a single service, which
// stand in metrics.go beside it.
package obs
