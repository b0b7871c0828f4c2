package config

import (
	"fmt"

	"parley/internal/voice"
)

// maxProblems is how many problems are told at once; a file that has more is broken in one way many times.
const maxProblems = 100

// problems collects what is wrong, all of it, so that nobody has to fix a file one error at a time.
type problems struct {
	list []voice.FieldError
	more int // beyond maxProblems
}

func (p *problems) add(at voice.FieldError, format string, args ...any) {
	if len(p.list) >= maxProblems {
		p.more++
		return
	}
	at.Reason = fmt.Sprintf(format, args...)
	p.list = append(p.list, at)
}

func (p *problems) any() bool { return len(p.list) > 0 }

// err is nil or a voice.ErrInvalid with every problem.
func (p *problems) err() error {
	if !p.any() {
		return nil
	}
	e := voice.Invalid(p.list...)
	if p.more > 0 {
		e.Message = fmt.Sprintf("%d problems, the first: %s", len(p.list)+p.more, p.list[0].Error())
		e.Fields = append(e.Fields, voice.FieldError{File: p.list[0].File, Field: "(more)", Reason: fmt.Sprintf("and %d problems more", p.more)})
	}
	return e
}

// place says where a field of a resource stands: in a file, or in a request.
type place interface {
	at(field string) voice.FieldError
}

// inRequest is the place of a resource that came alone.
type inRequest struct{}

func (inRequest) at(field string) voice.FieldError { return voice.FieldError{Field: field} }

// report tells what is wrong with the fields of one resource.
type report struct {
	place place
	out   *problems
}

func (r *report) bad(field, format string, args ...any) {
	r.out.add(r.place.at(field), format, args...)
}
