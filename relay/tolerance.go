package relay

import (
	"net/netip"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/relay/quirk"
)

// noName is what the session takes for the name of a client that gave none.
const noName = "-"

// interpret returns a command as it is meant by a client that greets oddly, or
// not at all.
func (f *front) interpret(cmd command) (command, error) {
	switch cmd.verb {
	case "HELO", "EHLO":
		return f.greeting(cmd), nil
	case "MAIL":
		if !f.greeted && f.peer.legacy {
			f.peer.habit(quirk.NoHelo)
			helo := command{"HELO", noName}
			r, err := f.inner.exchange(helo.String())
			f.learn(helo, r)
			return cmd, err
		}
	}
	return cmd, nil
}

// greeting has a client named that gave no name, or one with a blank.
func (f *front) greeting(cmd command) command {
	switch {
	case cmd.arg == "" && f.peer.legacy:
		f.peer.habit(quirk.HeloEmpty)
		cmd.arg = noName
	case cmd.arg != "" && !isHostName(cmd.arg):
		f.peer.habit(quirk.HeloName)
		cmd.arg = strings.Join(strings.Fields(cmd.arg), "_")
	}
	return cmd
}

// isHostName reports whether a client may call itself so: a domain or an
// address literal (RFC 5321 section 4.1.2). The first label may be all, which
// is common and tells nothing less than other names do.
func isHostName(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || strings.Contains(name, "_") {
		return false
	}
	return mail.Address{Local: "any", Domain: name}.Check() == nil
}

// alsoOldAuth offers AUTH also in the form that was used before the standard,
// which some old clients look for.
func alsoOldAuth(r mail.Reply) mail.Reply {
	i := slices.IndexFunc(r.Lines, func(line string) bool { return strings.HasPrefix(line, "AUTH ") })
	if i >= 0 {
		r.Lines = slices.Insert(slices.Clone(r.Lines), i+1, "AUTH="+r.Lines[i][len("AUTH "):])
	}
	return r
}

// propose hands MAIL or RCPT to the session. Where it does not know a
// parameter, a legacy client gets its way without those that may be ignored.
func (f *front) propose(verb, keyword string, p envelopePath) error {
	path := keyword + "<" + p.address + ">"
	cmd := command{verb, strings.TrimRight(path+" "+p.params, " ")}
	r, err := f.inner.exchange(cmd.String())
	if err != nil {
		return err
	}
	params := strings.Fields(p.params)
	kept := slices.DeleteFunc(slices.Clone(params), mayIgnore)
	if f.peer.legacy && (r.Code == 500 || r.Code == 504) && len(kept) < len(params) {
		p.quirks = append(p.quirks, quirk.Parameter)
		if r, err = f.inner.exchange(strings.Join(append([]string{verb, path}, kept...), " ")); err != nil {
			return err
		}
	}
	if r.Positive() {
		f.peer.quirk(p.quirks...)
	}
	return f.answer(cmd, r)
}

// mayIgnore reports whether a parameter of MAIL or RCPT asks for nothing that
// must be kept or refused: not how the content is to be read, who may read it,
// nor who is told of it. What is no parameter (RFC 5321 section 4.1.2) is not ignored either.
func mayIgnore(param string) bool {
	name, value, _ := strings.Cut(param, "=")
	switch strings.ToUpper(name) {
	case "", "SIZE", "BODY", "SMTPUTF8", "AUTH", "RET", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS", "RRVS":
		return false
	}
	odd := func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return !strings.ContainsFunc(name, odd) && !strings.ContainsAny(value, "=<>")
}

// quirks are those of the transaction, and of the connection that brought it.
func (s *session) quirks() []string {
	q := slices.Clone(s.peer.habits)
	if s.peer.tls == "" && !s.peer.addr.Addr().IsLoopback() {
		q = append(q, quirk.NoTLS)
	}
	if _, domain, found := strings.Cut(s.tx.from, "@"); found && isLocalDomain(domain) {
		q = append(q, quirk.LocalDomain)
	}
	return union(q, s.peer.quirks)
}

// isLocalDomain reports whether a domain means something in one network alone
// (RFC 6761, RFC 6762, and what systems call themselves by default).
func isLocalDomain(domain string) bool {
	labels := strings.Split(strings.ToLower(domain), ".")
	switch labels[len(labels)-1] {
	case "localhost", "local", "localdomain", "lan", "internal":
		return true
	}
	return false
}

// missing names what a header should have and lacks, or has and should not.
func missing(h mail.Header) (quirks []string) {
	for _, f := range []struct{ field, quirk string }{
		{"Date", quirk.NoDate}, {"Message-ID", quirk.NoMessageID}, {"From", quirk.NoFrom},
	} {
		if !h.Has(f.field) {
			quirks = append(quirks, f.quirk)
		}
	}
	if h.Has("Bcc") {
		quirks = append(quirks, quirk.Bcc)
	}
	return quirks
}
