package relay

import (
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
)

// behind makes the go-smtp server that stands behind a front: one for the
// clear part of a connection, another for what comes after STARTTLS. It has no
// deadlines and no line limit, for the front has them.
func (s *Server) behind(f *front) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, peer: f.peer, policy: f.policy, conn: c}, nil
	}))
	server.Domain = f.policy.hostname
	server.MaxRecipients = f.policy.limits.Recipients
	server.MaxMessageBytes = f.policy.limit(f.peer.addr.Addr())
	server.MaxLineLength = 0
	server.AllowInsecureAuth = true // the session decides
	server.EnableSMTPUTF8 = true
	server.EnableDSN = true
	server.ErrorLog = errorLog{s.log}
	if f.door.TLS == tlsStart && f.peer.tls == "" {
		server.TLSConfig = f.door.config // so that it offers STARTTLS, which the front carries out
	}
	return server
}

// A session judges the commands of one client, as go-smtp hands them on. Only
// one of its methods runs at a time.
type session struct {
	server  *Server
	policy  *Policy // as it was when the client came
	peer    *peer
	conn    *smtp.Conn
	account string // by login, "" without
	user    string
	fast    int // messages that came too fast
	tx      *transaction
}

// A transaction is a message in the making. It keeps the policy with which it
// began.
type transaction struct {
	policy  *Policy
	account *account
	limit   int64  // octets
	from    string // "" is the null reverse-path
	utf8    bool
	size    int64 // as declared, 0 if it was not
	to      []string
	asked   []mail.Asked // likewise
	ret     string
	envID   string
	seen    map[string]bool // recipients, as they are compared
}

// door returns the listener as the client found it.
func (s *session) door() *door { return s.policy.doors[s.peer.listener] }

// Reset forgets the transaction.
func (s *session) Reset() { s.tx = nil }

// Logout ends the session.
func (s *session) Logout() error { return nil }

// Mail begins a transaction, if the client may hand in mail at all.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.tx != nil {
		return refusal(503, "5.5.1", "a transaction runs already")
	}
	p := s.server.policy.Load()
	a, err := s.client(p)
	if err != nil {
		return err
	}
	if err := s.pace(s.server.running, p.client(s.peer.addr.Addr()).Rate); err != nil {
		return asReply(err)
	}
	tx := &transaction{
		policy:  p,
		account: a,
		limit:   p.limit(s.peer.addr.Addr()),
		utf8:    o.UTF8,
		size:    o.Size,
		ret:     string(o.Return),
		envID:   o.EnvelopeID,
		seen:    map[string]bool{},
	}
	if len(tx.envID) > envIDMax {
		return refusal(501, "5.5.4", "ENVID is too long")
	}
	if tx.size > tx.limit {
		return tooLarge(tx.limit)
	}
	if from != "" {
		addr, err := tx.address(from)
		if err != nil {
			return err
		}
		tx.from = addr.String()
	}
	s.tx = tx
	return nil
}

// client returns the account that hands in mail: by login, else by network.
func (s *session) client(p *Policy) (*account, error) {
	addr := s.peer.addr.Addr()
	d := p.doors[s.peer.listener]
	if s.account != "" {
		if a := p.byName(s.account); a != nil {
			return a, nil
		}
		return nil, refusal(530, "5.7.0", "the login is no longer valid")
	}
	if a := p.admitted(s.peer.listener, addr); a != nil {
		return a, nil
	}
	if d.Auth == authRequired || d.Auth == authOptional && p.hasLogins() {
		return nil, refusal(530, "5.7.0", "login needed")
	}
	return nil, refusal(550, "5.7.1", fmt.Sprintf("%v is no client of this relay", addr))
}

// Rcpt adds a recipient; one that is there already is delivered to once.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	addr, err := s.tx.address(to)
	if err != nil {
		return err
	}
	key := addr.Local + "@" + strings.ToLower(addr.Domain)
	if s.tx.seen[key] {
		return nil
	}
	if len(s.tx.to) >= s.tx.policy.limits.Recipients {
		return refusal(452, "4.5.3", "too many recipients; send to the others in another message")
	}
	s.tx.seen[key] = true
	s.tx.to = append(s.tx.to, addr.String())
	s.tx.asked = append(s.tx.asked, askedIn(o))
	return nil
}

// The bounds of RFC 3461 sections 4.2 and 4.4, in octets.
const (
	envIDMax    = 100
	originalMax = 500
)

// askedIn returns what the sender asks to hear of a recipient. An ORCPT that is
// too long is left out, for it serves people alone.
func askedIn(o *smtp.RcptOptions) (a mail.Asked) {
	var words []string
	for _, n := range o.Notify {
		words = append(words, string(n))
	}
	a.Notify = mail.Notify(strings.Join(words, ","))
	if o.OriginalRecipient != "" && len(o.OriginalRecipient) <= originalMax {
		a.Original = strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
	}
	return a
}

// address checks what go-smtp made of a path: it took the quotes off the local
// part, which String puts back. The front has checked the domain, so that the
// last @ is the one between the two.
func (tx *transaction) address(s string) (mail.Address, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return mail.Address{}, refusal(501, "5.1.3", "address without a domain")
	}
	a := mail.Address{Local: s[:i], Domain: s[i+1:]}
	if err := a.Check(); err != nil {
		return mail.Address{}, refusal(501, "5.1.3", err.Error())
	}
	if !a.ASCII() && !tx.utf8 {
		return mail.Address{}, refusal(553, "5.6.7", "address beyond ASCII needs SMTPUTF8")
	}
	return a, nil
}

// Data judges the content, which the front has put into a body, and answers for
// it: nil never, so that the reply always has its own text. What it reads is
// but the end of data.
func (s *session) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return asReply(err)
	}
	body := s.peer.body
	s.peer.body = nil
	id, err := s.accept(s.server.running, body)
	if err != nil {
		return s.reject(err)
	}
	s.server.metrics.messages.WithLabelValues("accepted").Inc()
	return refusal(250, "2.0.0", "queued as "+id.String())
}
