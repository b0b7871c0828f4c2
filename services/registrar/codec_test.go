package registrar

import (
	"reflect"
	"testing"
)

func someBindings() []binding {
	return []binding{
		{expires: 1_800_000_000_000, since: 1_700_000_000_000, q: 1000, cseq: 1<<32 - 1, regID: 7, transport: "wss", contact: "sip:a@b", received: "127.0.0.1:5060", node: "n1", flow: "f1", callID: "c", instance: "<urn:uuid:1>", userAgent: "ü", path: "<sip:x>\n<sip:y>"},
		{},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rec := record{flags: flagBorn, writer: "n1", reason: "registered", contact: "sip:a@b"}
	data := string(appendRecord(nil, rec, someBindings()))
	got, bs, err := decodeRecord(data, nil)
	if err != nil || got != rec || !reflect.DeepEqual(bs, someBindings()) {
		t.Errorf("decodeRecord = %+v, %+v, %v", got, bs, err)
	}
	for i := range len(data) {
		if _, _, err := decodeRecord(data[:i], nil); err == nil {
			t.Errorf("the first %d of %d bytes are a record", i, len(data))
		}
	}
	if _, _, err := decodeRecord(data+"x", nil); err == nil {
		t.Error("a record with a byte more is a record")
	}
	other := []byte(data)
	other[0]++
	if _, _, err := decodeRecord(string(other), nil); err == nil {
		t.Error("a record of another version is read")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendRecord(nil, record{flags: flagBuried, writer: "n"}, nil))
	f.Add(appendRecord(nil, record{}, someBindings()))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, bs, err := decodeRecord(string(data), nil)
		if err != nil {
			return
		}
		rec2, bs2, err := decodeRecord(string(appendRecord(nil, rec, bs)), nil)
		if err != nil || rec != rec2 || !reflect.DeepEqual(bs, bs2) {
			t.Errorf("%x: %+v %+v became %+v %+v, %v", data, rec, bs, rec2, bs2, err)
		}
	})
}
