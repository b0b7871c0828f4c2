package media

import "parley/internal/media/dtmf"

// Digit is a key that a peer pressed, or another telephone-event (RFC 4733).
type Digit = dtmf.Digit

// telephoneEvent is the encoding's name in SDP.
const telephoneEvent = dtmf.Encoding
