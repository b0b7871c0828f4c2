package wire

import "bytes"

// scanStart reads the start line and leaves its end in m.body. An error of status 0 means that nothing else need be read.
func (m *Message) scanStart() *Error {
	end := bytes.IndexByte(m.Data, '\n')
	if end < 1 || m.Data[end-1] != '\r' {
		return errNotSIP
	}
	m.body = uint16(end + 1)
	line := m.Data[:end-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return errNotSIP
	}
	if len(line) > 4 && equalFold(line[:4], "SIP/") {
		return m.scanStatusLine(line)
	}
	return m.scanRequestLine(line)
}

// scanStatusLine reads "SIP/2.0 200 OK"; the reason may be empty (RFC 4475 §3.1.1.13). A response that cannot be read
// has nobody to be answered to.
func (m *Message) scanStatusLine(line []byte) *Error {
	const prefix = len("SIP/2.0 ")
	if len(line) < prefix+3 || !equalFold(line[:prefix], "SIP/2.0 ") {
		return errNotSIP
	}
	code, ok := number(line[prefix:prefix+3], 699)
	if !ok || code < 100 || len(line) > prefix+3 && line[prefix+3] != ' ' {
		return errNotSIP
	}
	m.status = code
	if len(line) > prefix+4 {
		m.reason = span{uint16(prefix + 4), uint16(len(line))}
	}
	return nil
}

// scanRequestLine reads "INVITE sip:a@b SIP/2.0". Anything that ends in a SIP version was meant to be SIP and may be told
// what is wrong with it; anything else is not worth an answer.
func (m *Message) scanRequestLine(line []byte) *Error {
	v := bytes.LastIndex(line, []byte(" SIP/"))
	sp := bytes.IndexByte(line, ' ')
	if sp < 1 || v < 0 || !isToken(line[:sp]) {
		return errNotSIP
	}
	m.method = span{0, uint16(sp)}
	if sp >= v {
		return errStartLine
	}
	m.uri = span{uint16(sp + 1), uint16(v)}
	if version := line[v+1:]; !equalFold(version, "SIP/2.0") {
		if isVersion(version) {
			return errVersion
		}
		return errStartLine
	}
	var u URI
	if !ParseURI(line[sp+1:v], &u) {
		return errURI
	}
	if !u.SIP() && !u.Tel() {
		return errScheme
	}
	if len(u.Headers) > 0 { // not allowed in a Request-URI (§19.1.1)
		return errURI
	}
	return nil
}

// isVersion reads "SIP/" digits "." digits.
func isVersion(b []byte) bool {
	major, minor, ok := bytes.Cut(b[len("SIP/"):], []byte("."))
	_, ok1 := number(major, 1<<30)
	_, ok2 := number(minor, 1<<30)
	return ok && ok1 && ok2
}

// Methods the front door knows; the string is what Allow says. REGISTER ends here, the others go to SIP nodes.
const Allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, MESSAGE, INFO, PRACK, UPDATE, REFER"

// KnownMethod returns the method of m as one of a closed set of strings, so that it may be a metric label, and "other"
// for every other method.
func (m *Message) KnownMethod() string {
	b := m.Method()
	if m.status != 0 {
		b = m.slice(m.cmethod)
	}
	switch string(b) {
	case "INVITE":
		return "INVITE"
	case "ACK":
		return "ACK"
	case "CANCEL":
		return "CANCEL"
	case "BYE":
		return "BYE"
	case "OPTIONS":
		return "OPTIONS"
	case "REGISTER":
		return "REGISTER"
	case "SUBSCRIBE":
		return "SUBSCRIBE"
	case "NOTIFY":
		return "NOTIFY"
	case "PUBLISH":
		return "PUBLISH"
	case "MESSAGE":
		return "MESSAGE"
	case "INFO":
		return "INFO"
	case "PRACK":
		return "PRACK"
	case "UPDATE":
		return "UPDATE"
	case "REFER":
		return "REFER"
	}
	return "other"
}
