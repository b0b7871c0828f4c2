package media

// Join lets two legs hear each other; what either was joined with before hears nothing any more. Sound passes as it comes
// where the peer knows its format, and is coded anew where not. What the peer does not know and nobody here can code anew is
// dropped and counted. A leg that is closed is joined with none, nor is the other one then.
func Join(a, b *Leg) {
	a.plane.joining.Lock()
	defer a.plane.joining.Unlock()
	a.part()
	b.part()
	if a.joinTo(b) && !b.joinTo(a) {
		a.leave()
	}
}

// Part ends what Join began. A leg that is joined with none is left as it is.
func (l *Leg) Part() {
	l.plane.joining.Lock()
	defer l.plane.joining.Unlock()
	l.part()
}

// part, joinTo and leave are called with the plane's lock for joining held: two legs change, and one lock at a time is held of
// theirs.
func (l *Leg) part() {
	if other := l.leave(); other != nil {
		other.leave()
	}
}

// joinTo sets the joined leg, and tells whether it could.
func (l *Leg) joinTo(other *Leg) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.joined = other
	return true
}

// leave forgets the joined leg, and returns it.
func (l *Leg) leave() (before *Leg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.joined = l.joined, nil
	return before
}
