package voice

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestTreatmentTypes(t *testing.T) {
	for text, want := range map[string]TreatmentType{
		"Music": TreatmentMusic, "TreatmentMusic": TreatmentMusic, "playannouncementanddigits": TreatmentPlayAnnouncementAndDigits, "17": TreatmentFastBusy, "ran": TreatmentRAN,
	} {
		if got, err := ParseTreatmentType(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "Unknown", "0", "19", "-1", "Treatment", "Musik"} {
		if got, err := ParseTreatmentType(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for typ := TreatmentIVR; typ <= TreatmentRAN; typ++ {
		if got, err := ParseTreatmentType(typ.String()); err != nil || got != typ {
			t.Errorf("%v read again is %v, %v", typ, got, err)
		}
	}
	var both struct{ A, B TreatmentType }
	if err := json.Unmarshal([]byte(`{"A":"Busy","B":5}`), &both); err != nil || both.A != TreatmentBusy || both.B != TreatmentBusy {
		t.Errorf("%v, %v", both, err)
	}
}

func TestKVList(t *testing.T) {
	var l KVList
	if err := json.Unmarshal([]byte(`{"a":"x","n":17,"t":"18","yes":true,"in":{"1":{"ID":"w"},"10":{},"2":{},"z":{}}}`), &l); err != nil {
		t.Fatal(err)
	}
	if l.Text("n") != "17" || l.Text("in") != "" || l.Text("nothing") != "" || l.List("a") != nil {
		t.Errorf("%v", l)
	}
	for key, want := range map[string]int64{"n": 17, "t": 18, "yes": 1, "nothing": 0} {
		if n, ok := l.Int(key); !ok || n != want {
			t.Errorf("%s is %d, %v", key, n, ok)
		}
	}
	for _, key := range []string{"a", "in"} {
		if n, ok := l.Int(key); ok {
			t.Errorf("%s is %d", key, n)
		}
	}
	if got := l.List("in").Keys(); !reflect.DeepEqual(got, []string{"1", "2", "10", "z"}) {
		t.Errorf("keys %v", got)
	}
	for _, bad := range []string{`[]`, `{"a":[1]}`, `{"a":1.5}`, `{"a":null}`, `{"a":1e300}`, `{"1":{"2":{"3":{"4":{}}}}}`} {
		if err := json.Unmarshal([]byte(bad), &l); err == nil {
			t.Errorf("%s was taken: %v", bad, l)
		}
	}
}
