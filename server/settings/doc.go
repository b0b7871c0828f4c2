// Package settings is the configuration of one node: its keys, their defaults, and where each value came from.
//
// A value comes from, each over the one before: [Default], the YAML file, PARLEY_ variables of the environment, flags
// of the command line. [Load] reads all four and reports everything that is wrong at once, each problem with its
// place (file, line and column, or the name of the variable or flag), its key and what is wanted instead.
//
// The names of variables follow from the keys: sip.external_host is PARLEY_SIP_EXTERNAL_HOST, and lists are comma
// separated. A variable that begins with PARLEY_ and names no key is reported as a warning and not an error, because
// some orchestrators set such variables on their own (PARLEY_SERVICE_HOST and the like).
//
// State: none. A Config is a plain value; copy it freely.
//
// Not here: what is provisioned (tenants, numbers, people: services/config), and what a service's own keys mean,
// which its Config type says.
package settings
