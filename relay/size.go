package relay

import (
	"fmt"
	"strings"

	"backstamp/mail"
)

// announce has EHLO tell the smallest message that a provider of this client's
// account takes at most, so that apps find out before they send (RFC 1870).
// Nothing is refused for it: which provider a message goes through is decided by
// its From, and another may take more. What is refused is the policy's limit.
func (f *front) announce(r mail.Reply) mail.Reply {
	size := f.policy.limit(f.peer.addr.Addr())
	for _, a := range f.mayBe() {
		if a.Size == nil {
			continue
		}
		if n := a.Size(); n > 0 {
			size = min(size, n)
		}
	}
	for i, line := range r.Lines {
		if strings.HasPrefix(line, "SIZE ") {
			r.Lines[i] = fmt.Sprintf("SIZE %d", size)
		}
	}
	return r
}

// mayBe returns the accounts that the client is or may turn out to be: the one
// of its login or network, else those that have a login.
func (f *front) mayBe() (all []*account) {
	addr := f.peer.addr.Addr()
	if a := f.policy.byName(f.peer.account); a != nil {
		return []*account{a}
	}
	if a := f.policy.byNetwork(addr); a != nil && f.door.admits(addr) {
		return []*account{a}
	}
	if f.door.Auth == authOff {
		return nil
	}
	for _, a := range f.policy.accounts {
		if a.Username != "" {
			all = append(all, a)
		}
	}
	return all
}
