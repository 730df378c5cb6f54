package mail

import "errors"

// ErrNotFound says that a message is not, or no longer, remembered.
var ErrNotFound = errors.New("no such message")

// ErrFull says that a message could not be kept for want of space or of a
// place that can be written. It works again once that is mended.
var ErrFull = errors.New("store: cannot be written")

// ErrBroken says that the disk failed. Nothing more may be accepted by this
// process.
var ErrBroken = errors.New("store: disk failed")
