package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"parley/internal/media/codec/g711"
)

// Format is how a file is written.
type Format struct {
	Encoding  Encoding // PCM (16 bits), ALaw or ULaw
	Rate      int
	Channels  int
	SyncEvery time.Duration // of sound, between two fsyncs; 0 is only at the end
}

// disk is what a Writer wants of an [os.File].
type disk interface {
	io.Writer
	io.WriterAt
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Writer writes one file. After an error of the disk it stays failed, and what was written before stays valid.
type Writer struct {
	format   Format
	disk     disk
	buf      []byte // coded and not written yet: less than half a second
	samples  int64  // in each channel, buffered ones included
	written  int64  // bytes of sound on disk
	unsynced int64  // bytes of those that no fsync covers
	err      error
}

// headerSize is the size of everything before the sound.
const headerSize = 44

// maxData keeps the size of the file within the 32 bits it is told in.
const maxData = 1<<32 - 1 - headerSize - 1

// Create begins a file; one that is there is replaced. The file is valid, and empty, when Create returns.
func Create(path string, format Format) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(f, format)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return w, nil
}

func newWriter(d disk, format Format) (*Writer, error) {
	if format.Encoding != PCM && format.Encoding != ALaw && format.Encoding != ULaw {
		return nil, fmt.Errorf("cannot write %v, want PCM, A-law or µ-law", format.Encoding)
	}
	if format.Channels < 1 || format.Channels > maxChannels || format.Rate < minRate || format.Rate > maxRate {
		return nil, fmt.Errorf("cannot write %d channels of %d samples a second", format.Channels, format.Rate)
	}
	w := &Writer{format: format, disk: d}
	w.buf = make([]byte, 0, w.format.Rate/2*w.frame())
	_, err := d.Write(w.header())
	return w, err
}

func (w *Writer) bits() int {
	if w.format.Encoding == PCM {
		return 16
	}
	return 8
}

// second is the number of bytes that a second of sound takes.
func (w *Writer) second() int { return w.format.Rate * w.frame() }

func (w *Writer) frame() int { return w.format.Channels * w.bits() / 8 }

// header describes what is on disk now. A reader that insists on the chunk "fact" of coded formats is not known.
func (w *Writer) header() []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, headerSize), "RIFF"...)
	b = le.AppendUint32(b, uint32(headerSize-8+w.written+w.written&1))
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, uint16(w.format.Encoding))
	b = le.AppendUint16(b, uint16(w.format.Channels))
	b = le.AppendUint32(b, uint32(w.format.Rate))
	b = le.AppendUint32(b, uint32(w.second()))
	b = le.AppendUint16(b, uint16(w.frame()))
	b = le.AppendUint16(b, uint16(w.bits()))
	b = append(b, "data"...)
	return le.AppendUint32(b, uint32(w.written))
}

// Write adds samples, those of the channels in turn, whole moments only. It reaches the disk when half a second is full.
func (w *Writer) Write(pcm []int16) error {
	if len(pcm)%w.format.Channels != 0 {
		return fmt.Errorf("%d samples do not make whole moments of %d channels", len(pcm), w.format.Channels)
	}
	w.samples += int64(len(pcm) / w.format.Channels)
	for len(pcm) > 0 && w.err == nil {
		n := min(len(pcm), (cap(w.buf)-len(w.buf))*8/w.bits())
		w.buf = w.code(w.buf, pcm[:n])
		pcm = pcm[n:]
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
	return w.err
}

func (w *Writer) code(dst []byte, pcm []int16) []byte {
	switch w.format.Encoding {
	case PCM:
		for _, s := range pcm {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(s))
		}
	case ALaw:
		dst = g711.AppendA(dst, pcm)
	default:
		dst = g711.AppendU(dst, pcm)
	}
	return dst
}

// flush writes the sound and then the sizes, so that the header never promises what is not there.
func (w *Writer) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	if w.written+int64(len(w.buf)) > maxData {
		w.err = fmt.Errorf("%w: a WAV file ends at 4 GiB", ErrLimit)
		return
	}
	n, err := w.disk.Write(w.buf)
	w.written += int64(n - n%w.frame())
	w.unsynced += int64(n)
	w.buf = w.buf[:0]
	if n > 0 { // a full disk may have taken a part
		_, failed := w.disk.WriteAt(w.header(), 0)
		err = errors.Join(err, failed)
	}
	every := int64(w.format.SyncEvery) * int64(w.second()) / int64(time.Second)
	if err == nil && every > 0 && w.unsynced >= every {
		err, w.unsynced = w.disk.Sync(), 0
	}
	w.err = err
}

// Samples is the number of samples written in each channel so far.
func (w *Writer) Samples() int64 { return w.samples }

// Bytes is the size of the file when all that was written so far is on disk.
func (w *Writer) Bytes() int64 { return headerSize + w.written + int64(len(w.buf)) }

// Close cuts the sound to its first keep samples if there are more (negative: all), writes what is left, syncs the file
// and closes it. It says the first error that the disk ever gave.
func (w *Writer) Close(keep int64) error {
	w.flush()
	if w.err == nil && keep >= 0 && keep < w.samples {
		w.samples, w.written = keep, keep*int64(w.frame())
		if w.err = w.disk.Truncate(headerSize + w.written); w.err == nil {
			_, w.err = w.disk.WriteAt(w.header(), 0)
		}
	}
	if w.err == nil && w.written&1 == 1 { // chunks have an even size
		_, w.err = w.disk.WriteAt([]byte{0}, headerSize+w.written)
	}
	if w.err == nil {
		w.err = w.disk.Sync()
	}
	return errors.Join(w.err, w.disk.Close())
}

// Mend completes a file that a Writer of a process that was killed left behind: its header is made to promise all whole
// moments that are there, which may be half a second more than it did. It says how long the sound is, and that the file is
// on disk. A file that no Writer made is left as it is.
func Mend(path string) (length time.Duration, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, fmt.Errorf("%w: %s has no header: %w", ErrFormat, path, err)
	}
	found, err := Parse(head)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	w := &Writer{format: Format{Encoding: found.Encoding, Rate: found.Rate, Channels: found.Channels}, disk: f}
	if string(head[36:40]) != "data" || w.bits() != found.Bits {
		return 0, fmt.Errorf("%w: %s was written by somebody else", ErrFormat, path)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	w.written = min(size-headerSize, maxData)
	w.written -= w.written % int64(w.frame())
	if err := f.Truncate(headerSize + w.written); err != nil {
		return 0, err
	}
	if w.written&1 == 1 { // chunks have an even size
		if _, err := f.WriteAt([]byte{0}, headerSize+w.written); err != nil {
			return 0, err
		}
	}
	if _, err := f.WriteAt(w.header(), 0); err != nil {
		return 0, err
	}
	return time.Duration(w.written) * time.Second / time.Duration(w.second()), f.Sync()
}
