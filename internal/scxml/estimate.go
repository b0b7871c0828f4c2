package scxml

import (
	"fmt"

	"github.com/dop251/goja"
)

// checkEvery is after how many scripts the size of the data model is estimated, unless one of them ran for long.
const checkEvery = 256

// rest ends a step: a session whose data has grown beyond its limit is stopped, since the data would stay.
func (s *Session) rest() {
	if s.model == nil || s.end != nil || !s.model.long && s.model.scripts < checkEvery {
		return
	}
	s.model.long, s.model.scripts = false, 0
	limit := s.engine.opts.Limits.DataBytes
	left := limit
	if err := s.within(&expr{pos: Pos{File: s.prog.file, Line: 1, Column: 1}, element: "scxml", attr: "size"}, func(m *model) {
		w := &weigher{left: left, seen: map[*goja.Object]bool{}}
		w.weigh(m.rt.GlobalObject())
		left = w.left
	}); err != nil {
		s.fault(err) // a getter threw: what was counted until then counts
	}
	if left < 0 {
		s.abort(fmt.Errorf("%w: the data model is larger than %d bytes", ErrRunaway, limit))
	}
}

// weigher adds up what objects hold, each once, until there is nothing left.
type weigher struct {
	left int
	seen map[*goja.Object]bool
}

func (w *weigher) weigh(root *goja.Object) {
	queue := []*goja.Object{root}
	for len(queue) > 0 && w.left >= 0 {
		o := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if w.seen[o] {
			continue
		}
		w.seen[o] = true
		w.left -= 100
		if live(o) {
			continue
		}
		if o.ClassName() == "Array" && length(o) > int64(w.left) {
			w.left = -1
			return
		}
		for _, k := range o.Keys() {
			w.left -= 16 + len(k)
			switch v := o.Get(k).(type) {
			case goja.String:
				w.left -= v.Length()
			case *goja.Object:
				queue = append(queue, v)
			}
			if w.left < 0 {
				return
			}
		}
	}
}
