package registrar

// The addresses-of-record of a shard that wait for a time form a binary heap, one slot each. A refresh only moves a
// time further away, so it leaves the heap alone; whoever takes the top looks at the record and puts it back if
// its time has moved. So a REGISTER rarely touches the heap, and there is no timer per contact.

// scheduleLocked has a looked at not later than that time. s.mu is held.
func (s *shard) scheduleLocked(a *aor, atMS int64) {
	if a.pos == notDue {
		a.due, a.pos = atMS, int32(len(s.due))
		s.due = append(s.due, a)
		s.upLocked(int(a.pos))
		return
	}
	if atMS < a.due {
		a.due = atMS
		s.upLocked(int(a.pos))
	}
}

// postponeLocked moves a to a later time. s.mu is held.
func (s *shard) postponeLocked(a *aor, atMS int64) {
	a.due = atMS
	s.downLocked(int(a.pos))
}

func (s *shard) unscheduleLocked(a *aor) {
	if a.pos == notDue {
		return
	}
	i, last := int(a.pos), len(s.due)-1
	a.pos = notDue
	moved := s.due[last]
	s.due[last] = nil
	s.due = s.due[:last]
	if i == last {
		return
	}
	s.due[i] = moved
	moved.pos = int32(i)
	s.upLocked(i)
	s.downLocked(int(moved.pos))
}

func (s *shard) upLocked(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if s.due[parent].due <= s.due[i].due {
			return
		}
		s.swapLocked(i, parent)
		i = parent
	}
}

func (s *shard) downLocked(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s.due); child++ {
			if s.due[child].due < s.due[least].due {
				least = child
			}
		}
		if least == i {
			return
		}
		s.swapLocked(i, least)
		i = least
	}
}

func (s *shard) swapLocked(i, j int) {
	s.due[i], s.due[j] = s.due[j], s.due[i]
	s.due[i].pos, s.due[j].pos = int32(i), int32(j)
}
