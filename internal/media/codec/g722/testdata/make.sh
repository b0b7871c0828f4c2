#!/usr/bin/env bash
# Makes the files beside it, which the tests compare with: sound of several kinds, and what another implementation of
# G.722 makes of it. Debian 12: sox 14.4.2, ffmpeg 5.1.9; libspandsp 0.0.6 codes the same bits.
set -euo pipefail
cd "$(dirname "$0")"

raw=(-t raw -r 16000 -b 16 -e signed -c 1)
{
  sox -R -n "${raw[@]}" - synth 0.3 sine 50-7900 gain -1                            # all frequencies
  sox -R -n "${raw[@]}" - synth 0.1 whitenoise                                      # all bits
  sox -R -n "${raw[@]}" - synth 0.1 square 430 gain 0                               # overload
  sox -R -n "${raw[@]}" - synth 0.2 sawtooth 110 sine amod 6 lowpass 3000 gain -20  # something like a voice, from afar
  sox -R -n "${raw[@]}" - trim 0 0.02                                               # silence
} >sound.raw
ffmpeg -v error -y -f s16le -ar 16000 -ac 1 -i sound.raw -c:a g722 -f g722 sound.g722
ffmpeg -v error -y -f g722 -i sound.g722 -f s16le sound.decoded.raw
# Code that no encoder makes, as bit errors do: the sound itself, read as code.
ffmpeg -v error -y -f g722 -i <(head -c 4000 sound.raw) -f s16le errors.decoded.raw
