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
// content for commands, so that all it is given before a chunk was answered well
// is the first octet, which is no command without a line end. (An empty chunk
// would do, but Postfix takes none.)
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

// giveUpChunks has the message, of which nothing was taken, sent once more with
// DATA, and all that follow.
func (x *exchange) giveUpChunks() {
	x.chunking.manner.Store(int32(byData))
	x.again, x.broken = true, true
}

// refused is a verdict that is not positive, or the reply to a chunk.
func (x *exchange) refused(r mail.Reply) *Error {
	switch {
	case x.manner == byTrial && r.Code == 421: // likely about load, and it goes
		x.chunking.manner.Store(int32(byData))
	case x.manner == byTrial, x.manner == byChunks && r.Code >= 500 && r.Code <= 504:
		x.giveUpChunks() // it may be about the command, not the message
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
// taken, and all wait for the first on trial.
func (w *chunkWriter) next() error {
	ahead := chunksAhead
	if w.manner == byTrial {
		ahead = 1
	}
	if err := w.hear(ahead); err != nil {
		return err
	}
	w.room = min(w.left, chunkMax)
	if w.manner == byTrial {
		w.room = 1
	}
	line := fmt.Sprintf("BDAT %d", w.room)
	if w.room == w.left {
		if err := w.hear(1); err != nil {
			return err
		}
		line += " LAST"
	}
	w.waiting++
	return w.send(line)
}

// hear reads replies to chunks until fewer than max are waited for.
func (w *chunkWriter) hear(max int) error {
	for ; w.waiting >= max; w.waiting-- {
		r, err := w.await("BDAT", w.set.Timeouts.Dot)
		switch {
		case err != nil && w.manner == byTrial:
			w.giveUpChunks()
			return err
		case err != nil:
			return err
		case !r.Positive():
			w.verdict = w.refused(r)
			return w.verdict
		case w.manner == byTrial:
			w.manner = byChunks
			w.chunking.manner.Store(int32(byChunks))
		}
	}
	return nil
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
