// Package mail holds the nouns that every room of Backstamp speaks of: a
// Message and its Deliveries on their way out, the Events that come back, and
// the small rules that belong to the nouns themselves (how a Status advances,
// how an address is written, what a tracking token vouches for).
//
// It imports the standard library only and does no I/O. The json names of the
// types are those of the store's records and, once written, do not change.
package mail
