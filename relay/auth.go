package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"backstamp/mail"
	"backstamp/relay/quirk"
)

// auth carries out AUTH (RFC 4954): whatever the client sends until the end of
// the exchange is for the session, and for nobody's log.
func (f *front) auth(cmd command) error {
	mech, initial, _ := strings.Cut(cmd.arg, " ")
	if !isBase64(strings.TrimSpace(initial)) {
		return f.misstep(errBase64())
	}
	r, err := f.inner.exchange(cmd.String())
	for err == nil && r.Code == 334 {
		f.say(r)
		r, err = f.respond()
	}
	if err != nil {
		return err
	}
	f.say(r)
	switch {
	case r.Positive():
		f.loggedIn(mech)
		return nil
	case r.Code == 421:
		return errHangUp
	case r.Code != 535 && r.Code != 454:
		return f.idled()
	}
	f.server.metrics.logins.WithLabelValues("refused").Inc()
	f.refused(r)
	if f.failures++; f.failures >= f.policy.limits.LoginFailures {
		return refusal(421, "4.7.0", "too many failed logins")
	}
	return nil
}

// loggedIn notes how a client logs in.
func (f *front) loggedIn(mech string) {
	if strings.EqualFold(mech, sasl.Login) {
		f.peer.habit(quirk.AuthLogin)
	}
	if !f.peer.esmtp {
		f.peer.habit(quirk.AuthAfterHelo)
	}
}

// respond reads one response of an AUTH exchange and returns the session's
// reply to it.
func (f *front) respond() (mail.Reply, error) {
	line, err := f.readLine()
	if err != nil {
		return mail.Reply{}, err
	}
	f.peer.transcript.client("***")
	if line != "*" && !isBase64(line) {
		_, err := f.inner.exchange("*")
		return replyOf(errBase64()), err
	}
	return f.inner.exchange(line)
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil || s == "=" // an initial response of no octets
}

func errBase64() *smtp.SMTPError { return refusal(501, "5.5.2", "malformed base64") }

// A digest stands for a password where it is compared, so that its length
// shows in no timing either.
type digest [sha256.Size]byte

func hashOf(password string) digest { return sha256.Sum256([]byte(password)) }

// login returns the account of these credentials, or nil. It takes as long for
// a name that does not exist as for a wrong password.
func (p *Policy) login(username, password string) *account {
	given := hashOf(password)
	var found *account
	for _, a := range p.accounts {
		name := subtle.ConstantTimeCompare([]byte(a.Username), []byte(username))
		if name&subtle.ConstantTimeCompare(a.hash[:], given[:]) == 1 && a.Username != "" {
			found = a
		}
	}
	return found
}

// AuthMechanisms lists what EHLO offers to this client.
func (s *session) AuthMechanisms() []string {
	if !s.mayLogin() {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) mayLogin() bool {
	return s.door().offersAuth(s.peer.addr.Addr(), s.peer.tls != "")
}

// Auth begins an exchange.
func (s *session) Auth(mech string) (sasl.Server, error) {
	switch {
	case s.door().Auth == authOff:
		return nil, refusal(503, "5.5.1", "login is not offered here")
	case !s.mayLogin():
		return nil, refusal(538, "5.7.11", "login needs TLS")
	case mech == sasl.Plain:
		return plainServer{sasl.NewPlainServer(func(identity, username, password string) error {
			if identity != "" && identity != username {
				return smtp.ErrAuthFailed
			}
			return s.authenticate(username, password)
		})}, nil
	case mech == sasl.Login:
		return &loginServer{authenticate: s.authenticate}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// authenticate ends an exchange. What was given goes to no log.
func (s *session) authenticate(username, password string) error {
	a, err := s.guess(username, password)
	if err != nil {
		s.server.log.Warn("login refused", "addr", s.peer.addr.String())
		return err
	}
	s.account, s.user, s.peer.account = a.name, username, a.name
	s.peer.user = clipped(username)
	s.server.metrics.logins.WithLabelValues("accepted").Inc()
	return nil
}

// A plainServer speaks PLAIN (RFC 4616). A response that is none counts as a
// failed login.
type plainServer struct{ sasl.Server }

// Next takes the one response.
func (p plainServer) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = p.Server.Next(response)
	if said := (*smtp.SMTPError)(nil); err != nil && !errors.As(err, &said) {
		err = smtp.ErrAuthFailed
	}
	return challenge, done, err
}

// A loginServer speaks LOGIN (draft-murchison-sasl-login), which go-sasl has
// no server for and many old programs have nothing else. The prompts are what
// those programs look for, to the letter.
type loginServer struct {
	authenticate func(username, password string) error
	username     string
	step         int
}

// Next takes a response; the first may come with the AUTH command.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.step == 0 && response == nil {
		l.step = 1
		return []byte("Username:"), false, nil
	}
	switch l.step {
	case 0, 1:
		l.username, l.step = string(response), 2
		return []byte("Password:"), false, nil
	case 2:
		l.step = 3
		return nil, true, l.authenticate(l.username, string(response))
	}
	return nil, true, smtp.ErrAuthFailed
}
