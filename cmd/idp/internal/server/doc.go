// Package server puts a handler on the network: with limits, a log line for
// each request, the client's address as far as listed proxies tell it, a
// certificate that can change, health endpoints, and an end in which whoever
// is being served is served.
package server
