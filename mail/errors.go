package mail

import "errors"

// ErrNotFound says that a message is not, or no longer, remembered.
var ErrNotFound = errors.New("no such message")
