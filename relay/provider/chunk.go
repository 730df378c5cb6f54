package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"backstamp/mail"
)

const (
	chunkMax    = 1 << 20         // octets of one BDAT
	chunksAhead = 4               // chunks whose replies were not read yet
	atOnceMax   = 64 << 10        // octets of content that go out with their envelope
	atOnceFresh = 2 * time.Second // with a server that was heard from as lately
)

// errNotPlain is a copy that cannot go out as it is: DATA puts its line ends
// right on the way, BDAT has told its size before.
var errNotPlain = errors.New("a line of the message does not end in CRLF")

// chunking is what is known about a server that offers CHUNKING (RFC 3030).
type chunking struct{ manner atomic.Int32 }

// A manner is how the content of a message goes out.
type manner int32

// The manners. A server that offers CHUNKING and does not mean it would take
// content for commands, so that none follows BDAT before an empty chunk was
// answered well.
const (
	byTrial  manner = iota // with BDAT, once the server has shown that it knows it
	byChunks               // with BDAT
	byData                 // with DATA
)

// pick returns the manner for this server. Without PIPELINING nothing would be
// won by chunks.
func (x *exchange) pick() manner {
	if x.chunking == nil || !x.offers("CHUNKING") || !x.offers("PIPELINING") {
		return byData
	}
	return manner(x.chunking.manner.Load())
}

// tried takes the reply to the empty chunk.
func (x *exchange) tried(good bool) {
	switch {
	case len(x.open) == 0: // it says nothing but that there is nobody
	case good:
		x.chunking.manner.Store(int32(byChunks))
		x.ready = true
	default:
		x.giveUpChunks()
	}
}

// giveUpChunks has the message, of which nothing was taken, sent once more with
// DATA, and all that follow.
func (x *exchange) giveUpChunks() {
	x.chunking.manner.Store(int32(byData))
	x.again, x.broken = true, true
}

// refused is a verdict that is not positive, or the reply to a chunk.
func (x *exchange) refused(r mail.Reply) *Error {
	if x.manner != byData && r.Code >= 500 && r.Code <= 504 {
		x.giveUpChunks() // it is about the command, not the message
	}
	return x.refusal("message", r)
}

// fitsOneFlight reports whether envelope and content may go out together, for
// one round trip in all. Should the connection break then, nobody knows whether
// the message was taken: it must be one that was alive a moment ago.
func (x *exchange) fitsOneFlight(cmds []command) bool {
	return x.manner == byChunks && !x.dirty && len(cmds) <= flightMax &&
		x.t.Copy.Size() <= atOnceMax && in(0).Sub(x.heardAt) <= atOnceFresh
}

// atOnce sends the envelope and the content in one flight, and hears the
// replies to both.
func (x *exchange) atOnce(ctx context.Context, cmds []command) error {
	for _, cmd := range cmds {
		if err := x.send(cmd.line); err != nil {
			return broken(cmd.stage, err)
		}
	}
	if err := x.chunks(ctx); err != nil {
		x.close() // the last octet must not follow
		return err
	}
	x.dirty = true
	for _, cmd := range cmds {
		r, err := x.read(x.set.Timeouts.Command)
		if err == nil {
			err = x.heard(cmd, r)
		}
		switch {
		case err == nil:
		case r.Code == 421: // it goes, and the content was for nobody
			return err
		default:
			x.close()
			return uncertain(err)
		}
	}
	return x.verdict()
}

// chunks sends the content in chunks. After an error its last octet has not
// been sent, and no chunk follows one that was refused.
func (x *exchange) chunks(ctx context.Context) error {
	if err := x.begun(ctx); err != nil {
		return err
	}
	w := &chunkWriter{exchange: x, left: x.t.Copy.Size()}
	_, err := x.t.Copy.WriteTo(w)
	if err == nil && w.err == nil && w.left == 0 {
		w.end()
	}
	switch {
	case errors.Is(w.err, errNotPlain):
		x.again = true // as DATA, which mends it
		return unreadable(w.err)
	case w.verdict != nil:
		return w.verdict
	case w.err != nil:
		return x.lastWords(w.err)
	case err != nil:
		return unreadable(err)
	case w.left != 0:
		return unreadable(fmt.Errorf("%d octets are missing", w.left))
	}
	return nil
}

// A chunkWriter writes content of known size as chunks. It keeps the last octet
// back until the copy has proved whole: what is not, never becomes a message.
type chunkWriter struct {
	*exchange
	left    int64 // octets of the message to come
	room    int64 // octets of this chunk to come
	waiting int   // chunks whose replies were not read
	cr      bool  // the last octet was CR
	final   []byte
	verdict *Error // on a chunk that was refused
	err     error
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.check(p)
	}
	size := len(p)
	for len(p) > 0 && w.err == nil {
		if w.room == 0 {
			w.err = w.next()
			continue
		}
		n := min(int64(len(p)), w.room)
		w.put(p[:n])
		p = p[n:]
		w.left -= n
		w.room -= n
	}
	if w.err != nil {
		return 0, w.err
	}
	return size, nil
}

// check refuses what may not leave: more than was told, and bare CR or LF.
func (w *chunkWriter) check(p []byte) error {
	if int64(len(p)) > w.left {
		return fmt.Errorf("the message has more than %d octets", w.t.Copy.Size())
	}
	for len(p) > 0 {
		if w.cr != (p[0] == '\n') {
			return errNotPlain
		}
		line := firstLine(p)
		if end := bytes.TrimSuffix(line, []byte("\r\n")); len(end) == len(line) && line[len(line)-1] == '\n' && len(line) > 1 {
			return errNotPlain
		}
		p = p[len(line):]
		w.cr = line[len(line)-1] == '\r'
	}
	return nil
}

// next announces the next chunk. The last one waits until all before it were
// taken.
func (w *chunkWriter) next() error {
	w.room = min(w.left, chunkMax)
	line, ahead := fmt.Sprintf("BDAT %d", w.room), chunksAhead
	if w.room == w.left {
		line, ahead = line+" LAST", 1
	}
	for ; w.waiting >= ahead; w.waiting-- {
		r, err := w.await("BDAT", w.set.Timeouts.Dot)
		if err != nil {
			return err
		}
		if !r.Positive() {
			w.verdict = w.refused(r)
			return w.verdict
		}
	}
	w.waiting++
	return w.send(line)
}

// put writes octets of the message, all but its last.
func (w *chunkWriter) put(p []byte) {
	if int64(len(p)) == w.left {
		w.final = bytes.Clone(p[len(p)-1:])
		p = p[:len(p)-1]
	}
	if _, err := w.w.Write(p); err != nil {
		w.err = err
	}
}

// end sends the last octet.
func (w *chunkWriter) end() {
	w.note(fmt.Sprintf("C: (a message of %d octets)", w.t.Copy.Size()))
	if _, w.err = w.w.Write(w.final); w.err == nil {
		w.err = w.w.Flush()
	}
}
