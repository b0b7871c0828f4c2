package scxml

// Data is the variables of the document's <data> elements, as they are now; those whose values only the runtime knows,
// such as functions, are left out. A session that sleeps is woken by it. After the end there are none, unless
// [Options].KeepData is set.
func (s *Session) Data() map[string]any {
	r := s.root()
	r.run.Lock()
	defer r.run.Unlock()
	if s.end != nil {
		return s.end.vars
	}
	return s.variables()
}

// variables reads them; run is held.
func (s *Session) variables() map[string]any {
	out := map[string]any{}
	if s.prog.null || !s.started {
		return out
	}
	m, err := s.js()
	if err != nil {
		return out
	}
	g := m.rt.GlobalObject()
	for _, d := range s.prog.data {
		v := g.Get(d.id)
		if v == nil {
			continue
		}
		if value, err := fromJS(m.rt, v, s.engine.opts.Limits.DataBytes); err == nil {
			out[d.id] = value
		}
	}
	return out
}

// kept is the variables for after the end, if anybody wants them.
func (s *Session) kept() map[string]any {
	if !s.engine.opts.KeepData {
		return nil
	}
	return s.variables()
}
