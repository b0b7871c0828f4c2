package scxml

import "math/bits"

// set is a set of states by index. It iterates in document order, which is the order that the algorithm wants.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (b set) has(s *state) bool { return b[s.index>>6]&(1<<(s.index&63)) != 0 }
func (b set) add(s *state)      { b[s.index>>6] |= 1 << (s.index & 63) }
func (b set) remove(s *state)   { b[s.index>>6] &^= 1 << (s.index & 63) }

// next returns the first index that is i or more, -1 if there is none.
func (b set) next(i int) int {
	if i >= len(b)<<6 {
		return -1
	}
	w := i >> 6
	word := b[w] >> (i & 63) << (i & 63)
	for {
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
		if w++; w == len(b) {
			return -1
		}
		word = b[w]
	}
}

// between tells whether there is a member from i to j.
func (b set) between(i, j int) bool {
	n := b.next(i)
	return n >= 0 && n <= j
}

// prev returns the last index that is i or less, -1 if there is none.
func (b set) prev(i int) int {
	if i < 0 {
		return -1
	}
	w := min(i>>6, len(b)-1)
	word := b[w]
	if w == i>>6 {
		word = word << (63 - i&63) >> (63 - i&63)
	}
	for {
		if word != 0 {
			return w<<6 + 63 - bits.LeadingZeros64(word)
		}
		if w--; w < 0 {
			return -1
		}
		word = b[w]
	}
}
