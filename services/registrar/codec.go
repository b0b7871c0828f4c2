package registrar

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"parley/internal/contract"
)

// The value of a key of the bucket "registrations" is a record: all bindings of one address-of-record. It is binary,
// because a node keeps every record in memory as it was stored, and because reading one is part of each REGISTER.
//
//	record  = version flags writer reason lastContact count *binding
//	version = 1 byte, recordVersion
//	flags   = 1 byte: bit 0 the write brought the number into service, bit 1 it took it out (count is 0)
//	binding = expires since q cseq regID transport contact received node flow callID instance userAgent path
//
// Numbers are unsigned varints (times in milliseconds since 1970, q in thousandths), strings a varint length and
// the bytes. writer is the node that wrote it, reason and lastContact what the event of the write says; path holds the
// values of Path joined by line breaks, which no header value contains. A reader refuses another version.
const recordVersion = 1

const (
	flagBorn   = 1 << iota // the number came into service with this write
	flagBuried             // the number went out of service with this write
)

// Limits on a stored record, so that a damaged one cannot ask for much memory.
const maxRecordBindings = 1024

var errRecord = errors.New("damaged record")

// record is the part of a stored record beside its bindings.
type record struct {
	flags   byte
	writer  string
	reason  string
	contact string
}

// binding is one contact of an address-of-record as the registrar works with it. After decode the strings are parts
// of the record.
type binding struct {
	expires   int64 // ms since 1970
	since     int64 // ms since 1970
	q         uint16
	cseq      uint32
	regID     uint32
	transport string
	contact   string
	received  string
	node      string
	flow      string
	callID    string
	instance  string
	userAgent string
	path      string // values joined by '\n'
}

// appendRecord encodes r and its bindings.
func appendRecord(dst []byte, r record, bs []binding) []byte {
	dst = append(dst, recordVersion, r.flags)
	dst = appendString(dst, r.writer)
	dst = appendString(dst, r.reason)
	dst = appendString(dst, r.contact)
	dst = binary.AppendUvarint(dst, uint64(len(bs)))
	for i := range bs {
		b := &bs[i]
		dst = binary.AppendUvarint(dst, uint64(b.expires))
		dst = binary.AppendUvarint(dst, uint64(b.since))
		dst = binary.AppendUvarint(dst, uint64(b.q))
		dst = binary.AppendUvarint(dst, uint64(b.cseq))
		dst = binary.AppendUvarint(dst, uint64(b.regID))
		for _, s := range [...]string{b.transport, b.contact, b.received, b.node, b.flow, b.callID, b.instance, b.userAgent, b.path} {
			dst = appendString(dst, s)
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// decodeRecord reads what appendRecord wrote and appends the bindings to bs. The strings are parts of data.
func decodeRecord(data string, bs []binding) (record, []binding, error) {
	d := decoder{rest: data}
	if d.byte() != recordVersion {
		return record{}, bs, errRecord
	}
	r := record{flags: d.byte(), writer: d.string(), reason: d.string(), contact: d.string()}
	n := d.number()
	if d.bad || n > maxRecordBindings {
		return record{}, bs, errRecord
	}
	for range n {
		b := binding{
			expires: int64(d.number()), since: int64(d.number()), q: uint16(d.number()),
			cseq: uint32(d.number()), regID: uint32(d.number()),
			transport: d.string(), contact: d.string(), received: d.string(), node: d.string(), flow: d.string(),
			callID: d.string(), instance: d.string(), userAgent: d.string(), path: d.string(),
		}
		if d.bad {
			return record{}, bs, errRecord
		}
		bs = append(bs, b)
	}
	if d.rest != "" {
		return record{}, bs, errRecord
	}
	return r, bs, nil
}

// decoder reads from the front of rest; after the first fault it gives zeros and bad is set.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) fail() {
	d.bad, d.rest = true, ""
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) number() uint64 {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		b := d.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	d.fail()
	return 0
}

func (d *decoder) string() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// public is b as other services see it. The strings are copied, so that a caller who keeps it does not keep the record.
func (b *binding) public() contract.Binding {
	out := contract.Binding{
		Contact:   strings.Clone(b.contact),
		Received:  strings.Clone(b.received),
		Transport: strings.Clone(b.transport),
		Node:      strings.Clone(b.node),
		Flow:      strings.Clone(b.flow),
		Q:         float64(b.q) / 1000,
		CallID:    strings.Clone(b.callID),
		CSeq:      b.cseq,
		Instance:  strings.Clone(b.instance),
		UserAgent: strings.Clone(b.userAgent),
		Expires:   time.UnixMilli(b.expires),
		Since:     time.UnixMilli(b.since),
	}
	if b.path != "" {
		out.Path = strings.Split(strings.Clone(b.path), "\n")
	}
	return out
}

// live tells whether b is in force at that time.
func (b *binding) live(nowMS int64) bool { return b.expires > nowMS }
