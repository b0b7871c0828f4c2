// Package g722 is ITU-T G.722 in mode 1: sound of 16,000 samples a second at 64 kbit/s. It is what telephones call HD voice.
//
// A quadrature mirror filter splits the sound into two bands of 8,000 samples a second; each is coded by ADPCM, the
// lower with six bits a sample and the upper with two, so a byte of code is two samples of sound (clause 1). All
// arithmetic is in integers as clause 6 tells it, block by block under the names it has there, so that what
// one implementation codes another decodes to the same bits; testdata holds what two others make of the same sound.
//
// Sound of 16 bits is taken to the 15 that the recommendation codes, and comes back with 16. Filters of both sides delay by 22
// samples together, 1.4 ms.
//
// State: predictors and filters, 400 bytes a direction. Concurrency: none. Nothing is allocated.
//
// Not here: modes 2 and 3, which give bits of the lower band away for data; RTP has no name for them.
package g722
