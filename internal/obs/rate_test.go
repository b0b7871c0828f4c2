package obs

import "testing"

func TestRate(t *testing.T) {
	var r Rate
	for range 3 {
		for range 10 {
			r.Add()
		}
		r.Roll()
	}
	if got := r.PerSecond(); got != 3 {
		t.Errorf("%v a second, want 3", got)
	}
	for range 10 {
		r.Roll()
	}
	if got := r.PerSecond(); got != 0 {
		t.Errorf("%v a second after ten seconds of nothing", got)
	}
}
