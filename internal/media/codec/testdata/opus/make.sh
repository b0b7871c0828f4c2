#!/usr/bin/env bash
# Makes the files beside it, which the tests compare with: one of our prompts as libopus codes it in each of its modes, and
# what libopus decodes of that at 16,000 samples a second. A .packets file is packets, each behind its length (16 bits, little
# endian). Debian 12: sox 14.4.2, libopus-dev 1.3.1, gcc.
set -euo pipefail
cd "$(dirname "$0")"

dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
cat >"$dir/make.c" <<'C'
#include <opus/opus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// make NAME MODE BANDWIDTH BITRATE CHANNELS <sound at 48,000 samples a second
int main(int argc, char **argv) {
	int channels = atoi(argv[5]), error;
	OpusEncoder *encoder = opus_encoder_create(48000, channels, OPUS_APPLICATION_VOIP, &error);
	OpusDecoder *decoder = opus_decoder_create(16000, 1, &error);
	opus_encoder_ctl(encoder, 11002 /* OPUS_SET_FORCE_MODE */, atoi(argv[2]));
	opus_encoder_ctl(encoder, OPUS_SET_BANDWIDTH(atoi(argv[3])));
	opus_encoder_ctl(encoder, OPUS_SET_BITRATE(atoi(argv[4])));
	char name[100];
	snprintf(name, sizeof name, "%s.packets", argv[1]);
	FILE *packets = fopen(name, "wb");
	snprintf(name, sizeof name, "%s.raw", argv[1]);
	FILE *raw = fopen(name, "wb");
	int16_t pcm[2 * 960], out[320];
	while (fread(pcm, 2 * channels, 960, stdin) == 960) {
		unsigned char packet[1275];
		uint16_t length = opus_encode(encoder, pcm, 960, packet, sizeof packet);
		fwrite(&length, 2, 1, packets);
		fwrite(packet, 1, length, packets);
		fwrite(out, 2, opus_decode(decoder, packet, length, out, 320, 0), raw);
	}
	return 0;
}
C
gcc -o "$dir/make" "$dir/make.c" -lopus
sound() { sox -R ../../../prompt/en/goodbye.wav -t raw -r 48000 -b 16 -e signed -c "$1" - gain -n -3; }
sound 1 | "$dir/make" silk 1000 1103 20000 1   # wideband
sound 1 | "$dir/make" hybrid 1001 1105 32000 1 # full band
sound 1 | "$dir/make" celt 1002 1105 64000 1
sound 2 | "$dir/make" stereo 1002 1105 64000 2
