package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"parley/internal/fabric"
	"parley/internal/voice"
)

// voiceEvents are the events of a call that its chart is drawn of: an hour of both sides. Each costs a question.
const voiceEvents = 720

// score is a mean opinion score in words.
type score struct {
	Value       string
	Word, Class string
}

// scoreOf uses the categories of user satisfaction of ITU-T G.107 Annex B; "" where the score is not known.
func scoreOf(mos float64) score {
	s := score{Value: fmt.Sprintf("%.1f", mos)}
	switch {
	case mos == 0:
		return score{}
	case mos >= 4.34:
		s.Word, s.Class = "Excellent", "good"
	case mos >= 4.03:
		s.Word, s.Class = "Good", "good"
	case mos >= 3.6:
		s.Word, s.Class = "Fair", "warn"
	case mos >= 3.1:
		s.Word, s.Class = "Poor", "warn"
	default:
		s.Word, s.Class = "Bad", "bad"
	}
	return s
}

// voiceChoice is a choice of the filter by voice.
type voiceChoice struct {
	Value, Name string
	most        float64 // the lowest score is at most this
}

var voiceChoices = []voiceChoice{{"fair", "Fair or worse", 4.02}, {"poor", "Poor or worse", 3.59}, {"bad", "Bad", 3.09}}

// voiceView is how the voice of a call was.
type voiceView struct {
	Rows  []voiceRow
	Chart voiceChart
	Live  bool
}

// voiceRow is one direction of one side; "" is not known.
type voiceRow struct {
	From, To           string
	Codec, Packets     string
	Loss, Jitter, Trip string
	Detail             string // bursts and what else was noticed
	Score              score
	ByPeer             bool
}

// voiceChart is the score over the life of the call: a line a side, in a box of chartWidth by voiceHeight.
type voiceChart struct {
	Lines        []voiceLine
	Label        string
	Since, Until time.Time
}

type voiceLine struct {
	Name, Class string
	Path        string // of an SVG path; a gap where nothing is known
	Now         score
}

const voiceHeight = 110.0

// voiceOf is the view of a call whose record or events tell something; nil when nothing is known. Of a call in progress the
// events tell, of one that is over the record.
func voiceOf(c *voice.CDR, events []voice.QualityEvent, caller, callee string) *voiceView {
	v := &voiceView{Live: c == nil}
	sides := map[voice.Side]*voice.MediaQuality{}
	for i := range events {
		sides[events[i].Side] = &events[i].Whole
	}
	if c != nil {
		sides[voice.SideCaller], sides[voice.SideCallee] = c.CallerMedia, c.CalleeMedia
	}
	for _, side := range []struct {
		of   voice.Side
		name string
	}{{voice.SideCaller, caller}, {voice.SideCallee, callee}} {
		if q := sides[side.of]; q != nil {
			v.Rows = append(v.Rows, voiceRowOf(&q.Received, q.RoundTrip, side.name, "Parley"), voiceRowOf(&q.Sent, q.RoundTrip, "Parley", side.name))
		}
	}
	if len(v.Rows) == 0 {
		return nil
	}
	v.Chart = voiceChartOf(events, caller, callee)
	return v
}

func voiceRowOf(q *voice.VoiceQuality, trip *float64, from, to string) voiceRow {
	row := voiceRow{From: from, To: to, Codec: q.Codec, Packets: fmt.Sprint(q.Packets), Score: scoreOf(q.MOS()), ByPeer: q.ByPeer}
	unit := func(f *float64, format string) string {
		if f == nil {
			return ""
		}
		return fmt.Sprintf(format, *f)
	}
	row.Loss, row.Jitter, row.Trip = unit(q.Loss, "%.1f %%"), unit(q.Jitter, "%.1f ms"), unit(trip, "%.0f ms")
	if trip != nil && *trip < 1 {
		row.Trip = "< 1 ms" // 0 would read as not measured
	}
	var notes []string
	note := func(n uint64, one, many string) {
		switch {
		case n == 1:
			notes = append(notes, "1 "+one)
		case n > 1:
			notes = append(notes, fmt.Sprint(n, " ", many))
		}
	}
	note(q.Bursts, "burst of losses", "bursts of losses")
	if q.Bursts > 0 && q.BurstLength > 0 {
		notes[0] += fmt.Sprintf(", %.0f ms each with %.0f %% lost", q.BurstLength, q.BurstDensity)
	}
	if q.Discarded != nil && *q.Discarded > 0 {
		notes = append(notes, fmt.Sprintf("%.1f %% too late", *q.Discarded))
	}
	note(q.Reordered, "packet out of order", "packets out of order")
	note(q.Duplicates, "packet twice", "packets twice")
	row.Detail = strings.Join(notes, "; ")
	return row
}

// voiceChartOf draws the lower of the two directions of each side, as it was since the event before. With one moment there
// is no line.
func voiceChartOf(events []voice.QualityEvent, caller, callee string) voiceChart {
	if len(events) == 0 {
		return voiceChart{}
	}
	ch := voiceChart{Since: events[0].Time, Until: events[len(events)-1].Time}
	for _, e := range events {
		if !e.Begin.IsZero() && e.Begin.Before(ch.Since) {
			ch.Since = e.Begin
		}
	}
	span := ch.Until.Sub(ch.Since).Seconds()
	if span <= 0 {
		return voiceChart{}
	}
	var words []string
	for _, side := range []struct {
		of          voice.Side
		name, class string
	}{{voice.SideCaller, caller, "caller"}, {voice.SideCallee, callee, "callee"}} {
		line := voiceLine{Name: side.name, Class: side.class}
		var path strings.Builder
		points, lowest, pen := 0, 0.0, "M"
		for _, e := range events {
			if e.Side != side.of {
				continue
			}
			mos := e.Last.MOS()
			if mos == 0 {
				pen = "M"
				continue
			}
			x := chartWidth * max(0, e.Time.Sub(ch.Since).Seconds()/span)
			fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, voiceY(mos))
			if pen == "M" { // a lone point is seen, too
				fmt.Fprintf(&path, "h0.1")
			}
			pen = "L"
			points++
			if line.Now = scoreOf(mos); lowest == 0 || mos < lowest {
				lowest = mos
			}
		}
		if points == 0 {
			continue
		}
		line.Path = path.String()
		ch.Lines = append(ch.Lines, line)
		words = append(words, fmt.Sprintf("%s last %s, at worst %.1f", side.name, line.Now.Value, lowest))
	}
	if len(ch.Lines) == 0 {
		return voiceChart{}
	}
	ch.Label = "Mean opinion score over the call: " + strings.Join(words, "; ")
	return ch
}

// voiceY is where a score lies: 4.5 at the top, 1 at the bottom.
func voiceY(mos float64) float64 { return voiceHeight * (4.5 - min(max(mos, 1), 4.5)) / 3.5 }

// voiceEventsOf reads what was told of the voice of a call.
func (s *Server) voiceEventsOf(ctx context.Context, tenant, uuid string) ([]voice.QualityEvent, error) {
	list, err := s.f.Read(ctx, fabric.StreamQuality, fabric.Filter("quality", tenant, uuid), voiceEvents)
	if err != nil {
		return nil, err
	}
	out := make([]voice.QualityEvent, 0, len(list))
	for _, m := range list {
		var e voice.QualityEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return nil, fmt.Errorf("event %d of QUALITY: %w", m.Seq, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// party names a side of a call for its voice: both may have one number.
func party(number, side string) string { return cmp.Or(number, "the "+side) }
