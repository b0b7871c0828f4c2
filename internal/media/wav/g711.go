package wav

// G.711 sample by sample, as ITU-T G.711 tables 1 and 2 have it, scaled to 16 bits.

func expandU(code byte) int16 {
	code = ^code
	v := (int(code&0x0F)<<3+0x84)<<(code>>4&7) - 0x84
	if code&0x80 != 0 {
		v = -v
	}
	return int16(v)
}

func compressU(s int16) byte {
	const bias, clip = 0x84, 32635
	sign, v := byte(0), int(s)
	if v < 0 {
		sign, v = 0x80, -v
	}
	v = min(v, clip) + bias
	segment := 7
	for mask := 0x4000; segment > 0 && v&mask == 0; mask >>= 1 {
		segment--
	}
	return ^(sign | byte(segment<<4) | byte(v>>(segment+3)&0x0F))
}

func expandA(code byte) int16 {
	code ^= 0x55
	v, segment := int(code&0x0F)<<4+8, code>>4&7
	if segment > 0 {
		v = (v + 0x100) << (segment - 1)
	}
	if code&0x80 == 0 {
		v = -v
	}
	return int16(v)
}

func compressA(s int16) byte {
	sign, v := byte(0x80), int(s)
	if v < 0 {
		sign, v = 0, -v-1
	}
	v >>= 4
	segment := 0
	for w := v >> 4; w > 0; w >>= 1 {
		segment++
	}
	code := v
	if segment > 0 {
		code = segment<<4 | v>>(segment-1)&0x0F
	}
	return (sign | byte(code)) ^ 0x55
}

// ExpandULaw makes linear sound of µ-law; it fills dst, which is no longer than code.
func ExpandULaw(dst []int16, code []byte) {
	for i := range dst {
		dst[i] = expandU(code[i])
	}
}
