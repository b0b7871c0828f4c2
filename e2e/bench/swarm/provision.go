package swarm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Provisioning is the tenant that the calls of a Swarm are for.
func (s *Swarm) Provisioning(tenant string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tenants:\n  - name: %s\n    domains: [%s]\n    default: true\n    dns:\n", tenant, s.o.Domain)
	fmt.Fprintf(&b, "      - {number: carrier, type: trunk, options: {TServer: {contact: \"sip:%s\"}}}\n", s.carrier.addr)
	for _, number := range slices.Sorted(maps.Keys(numbers)) {
		contact, ring := Nowhere, RingSeconds
		if user := numbers[number]; user != "" {
			contact = user + "@" + s.phones.addr
			if user != rings { // these answer, however busy the machine is
				ring = 60
			}
		}
		fmt.Fprintf(&b, "      - {number: \"%s\", type: extension, options: {TServer: {contact: \"sip:%s\", no-answer-timeout: \"%d\"}}}\n", number, contact, ring)
	}
	return b.String()
}
