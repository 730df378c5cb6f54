package bolt

import (
	"encoding/binary"
	"math"
	"time"

	"backstamp/mail"
)

// A bucket is one noun of the layout. Numbers in keys are big-endian, so that
// keys sort as they do.
type bucket string

const (
	metaBucket   bucket = "meta"           // schemaKey → be32
	messages     bucket = "messages"       // id → message
	details      bucket = "details"        // id → mail.Detail without its plan
	plans        bucket = "plans"          // id → the plan, as rewrite encodes it
	contents     bucket = "contents"       // id → body, or a bucket that holds it, or nothing where it is a file; gone once it expired
	deliveries   bucket = "deliveries"     // id, be16 index → delivery
	due          bucket = "due"            // provider, NUL, be64 time, id, be16 index → nothing; every unfinished delivery
	events       bucket = "events"         // be64 time, be32 number → mail.Event, in the order of recording
	messageEvent bucket = "message_events" // id, key in events → nothing
	counts       bucket = "counts"         // id → count
	usages       bucket = "usage"          // account, NUL, provider, NUL, day → figures; and NUL, credential, NUL, be64 minute → the same
	tags         bucket = "tags"           // account, NUL, tag, NUL, day → figures
	providers    bucket = "providers"      // credential → store.ProviderState
)

// visitors holds nothing that mail depends on: a store that lacks it is as good
// as one in which it is empty, and gets it when it is opened to be written.
const visitors bucket = "visitors" // address → mail.Visitor

var buckets = [...]bucket{metaBucket, messages, details, plans, contents, deliveries, due, events, messageEvent, counts, usages, tags, providers}

const schemaKey = "schema"

// never is the due time of a delivery that waits for a person: it sorts last.
const never = math.MaxUint64

// A place names a delivery.
type place struct {
	id    mail.ID
	index int
}

func placeOf(d *mail.Delivery) place { return place{d.Message, d.Index} }

func placesOf(ds []mail.Delivery) []place {
	places := make([]place, len(ds))
	for i := range ds {
		places[i] = placeOf(&ds[i])
	}
	return places
}

func (p place) key() []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, 12), p.id[:]...), uint16(p.index))
}

// placeAt reads a place from the end of a key.
func placeAt(key []byte) (p place) {
	rest := key[len(key)-len(p.id)-2:]
	p.index = int(binary.BigEndian.Uint16(rest[copy(p.id[:], rest):]))
	return p
}

// nanos maps a time to a number that sorts as it does, from 1970 to 2262.
func nanos(t time.Time) uint64 {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return uint64(t.UnixNano())
}

// An eventKey is the place of an event in the log: its time, or that of the
// one before if that was later, and a number among equal times. So the log
// sorts by the order in which it was written, and no event stands before its
// own time.
type eventKey struct {
	time uint64
	n    uint32
}

func (k eventKey) bytes() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, 12), k.time), k.n)
}

// next is the key of an event of that time which follows k.
func (k eventKey) next(at time.Time) eventKey {
	if n := nanos(at); n > k.time {
		return eventKey{time: n}
	}
	if k.n == math.MaxUint32 {
		return eventKey{time: k.time + 1}
	}
	return eventKey{k.time, k.n + 1}
}

func eventKeyOf(b []byte) eventKey {
	if len(b) != 12 {
		return eventKey{}
	}
	return eventKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])}
}
