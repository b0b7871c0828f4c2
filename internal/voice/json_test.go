package voice

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// texts are values that a JSON writer may get wrong.
var texts = []string{"", "", "1001", `"Q" \\ back`, "<a>&b", "ü ß €", "line\u2028sep", "tab\tnl\n", "bad\xffutf8", "\x00\x1f\x7f", "plain text ~"}

// fill gives every field of a struct a value by chance, so that a field added later is compared too.
func fill(r *rand.Rand, v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case time.Time:
			times := []time.Time{{}, time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC(), time.Unix(1, 0).In(time.FixedZone("", 3600*r.IntN(12)))}
			f.Set(reflect.ValueOf(times[r.IntN(len(times))]))
		case *RecordingLedger:
			if r.IntN(2) == 0 {
				f.Set(reflect.ValueOf(&RecordingLedger{ID: texts[r.IntN(len(texts))], Start: time.Unix(7, 0), Pauses: []Span{{From: time.Unix(8, 9).UTC()}}, Bytes: 5}))
			}
		case *MediaQuality:
			if r.IntN(2) == 0 {
				loss := r.Float64()
				f.Set(reflect.ValueOf(&MediaQuality{RoundTrip: &loss, Sent: VoiceQuality{Codec: texts[r.IntN(len(texts))], Packets: 7, Loss: &loss}}))
			}
		case KVList:
			if r.IntN(2) == 0 {
				f.Set(reflect.ValueOf(KVList{"b": texts[r.IntN(len(texts))], "a": int64(5), "c": KVList{"d": "x"}}))
			}
		default:
			switch f.Kind() {
			case reflect.String:
				f.SetString(texts[r.IntN(len(texts))])
			case reflect.Int, reflect.Int64:
				f.SetInt(r.Int64N(1<<40) - 5)
			case reflect.Uint64:
				f.SetUint(r.Uint64())
			default:
				panic("a field of a new kind: " + f.Type().String())
			}
		}
	}
}

// TestJSONIsThatOfTheLibrary compares with encoding/json, byte for byte.
func TestJSONIsThatOfTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var (
			e CallEvent
			c CDR
		)
		fill(r, reflect.ValueOf(&e).Elem())
		fill(r, reflect.ValueOf(&c).Elem())
		for _, v := range []interface{ AppendJSON([]byte) []byte }{&e, &c} {
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(v.AppendJSON([]byte("x"))); got != "x"+string(want) {
				t.Fatalf("got\n%s, want\n%s", got, want)
			}
		}
	}
}

func BenchmarkEventJSON(b *testing.B) {
	e := CallEvent{ID: EventEstablished, Server: "sip", ThisDN: "1001", ThisDNRole: RoleOrigination, OtherDN: "1002", OtherDNRole: RoleDestination,
		ConnID: "0123456789abcdef", CallID: 17, CallUUID: "0123456789abcdef0123456789abcdef", CallThreadID: "0123456789abcdef0123456789abcdef",
		CallType: CallInternal, ANI: "1001", DNIS: "1002", Tenant: "demo", Seq: 3, Time: time.Now(), Node: "n1"}
	b.Run("hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.AppendJSON(make([]byte, 0, 512))
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
