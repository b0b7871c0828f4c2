package wire

// ID tells which header a line is, for those the front door looks at.
type ID uint8

// The headers with an ID; every other one is Other.
const (
	Other ID = iota
	Via
	From
	To
	CallID
	CSeq
	MaxForwards
	Contact
	Expires
	Route
	RecordRoute
	Path
	ContentLength
	ContentType
	Authorization
	ProxyAuthorization
	Require
	ProxyRequire
	Supported
	UserAgent
	Timestamp
	numIDs
)

// names are the header names in their long form, by ID.
var names = [numIDs]string{
	Via: "Via", From: "From", To: "To", CallID: "Call-ID", CSeq: "CSeq", MaxForwards: "Max-Forwards",
	Contact: "Contact", Expires: "Expires", Route: "Route", RecordRoute: "Record-Route", Path: "Path",
	ContentLength: "Content-Length", ContentType: "Content-Type", Authorization: "Authorization",
	ProxyAuthorization: "Proxy-Authorization", Require: "Require", ProxyRequire: "Proxy-Require",
	Supported: "Supported", UserAgent: "User-Agent", Timestamp: "Timestamp",
}

// single marks headers that may stand in a message once only (RFC 3261 §7.3.1) and whose repetition would let two
// elements read the same message differently.
var single = [numIDs]bool{
	From: true, To: true, CallID: true, CSeq: true, MaxForwards: true, ContentLength: true, ContentType: true, Expires: true,
}

// String is the long form of the name, or "".
func (id ID) String() string {
	if id < numIDs {
		return names[id]
	}
	return ""
}

// compact maps the one-letter names (RFC 3261 §7.3.3) of headers with an ID.
func compact(c byte) ID {
	switch c | 0x20 {
	case 'v':
		return Via
	case 'f':
		return From
	case 't':
		return To
	case 'i':
		return CallID
	case 'm':
		return Contact
	case 'l':
		return ContentLength
	case 'c':
		return ContentType
	case 'k':
		return Supported
	}
	return Other
}

// byLength lists the IDs whose long name has that many letters, so that a lookup compares with four names at most.
var byLength = [...][]ID{
	2: {To}, 3: {Via}, 4: {From, CSeq, Path}, 5: {Route}, 7: {CallID, Contact, Expires, Require}, 9: {Supported, Timestamp},
	10: {UserAgent}, 12: {MaxForwards, RecordRoute, ContentType}, 13: {ProxyRequire, Authorization},
	14: {ContentLength}, 19: {ProxyAuthorization},
}

// lookup names a header line's name in any case.
func lookup(name []byte) ID {
	if len(name) == 1 {
		return compact(name[0])
	}
	if len(name) >= len(byLength) {
		return Other
	}
	for _, id := range byLength[len(name)] {
		if equalFold(name, names[id]) {
			return id
		}
	}
	return Other
}

// equalFold compares ASCII without regard to case.
func equalFold[T ~string | ~[]byte](a []byte, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// tokenChar holds the bytes of a token (RFC 3261 §25.1).
var tokenChar = func() (t [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for _, c := range "-.!%*_+`'~" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChar[c] {
			return false
		}
	}
	return len(b) > 0
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trim removes linear white space, folds included, at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
