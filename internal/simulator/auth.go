package simulator

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// A credential is what a client logs in with.
type credential struct {
	user, secret string
	challenge    string // of CRAM-MD5, whose secret is a digest
	token        bool   // XOAUTH2 and OAUTHBEARER
}

var errCancel = errors.New("simulator: login given up")

// spoken are the mechanisms that can be played; some providers offer more.
func spoken() []string { return []string{"PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"} }

// auth takes a login (RFC 4954).
func (s *session) auth(arg string) error {
	mechanism, initial, _ := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case s.helo == "" || s.user != "":
		return s.say("sequence")
	case s.needsTLS():
		return s.refuse("auth", s.dialect.Refuses["tls-needed"])
	case !slices.Contains(s.mechanisms(), mechanism) || !slices.Contains(spoken(), mechanism):
		return s.say("no-mechanism")
	}
	s.mechanism = mechanism
	c, err := s.credential(mechanism, initial)
	switch {
	case errors.Is(err, errCancel):
		return s.say("bad-base64")
	case err != nil:
		return err
	}
	if r, ok := s.verdict("auth"); !ok {
		return s.refuse("auth", r)
	}
	if name := s.dislikes(c); name != "" {
		return s.refuseLogin(c, name)
	}
	s.user = c.user
	return s.say("auth")
}

// refuseLogin gives a bearer of a token the reasons first, which it has to
// acknowledge.
func (s *session) refuseLogin(c credential, name string) error {
	if c.token {
		if _, err := s.ask(`{"status":"401","schemes":"bearer"}`, ""); err != nil && !errors.Is(err, errCancel) {
			return err
		}
	}
	return s.refuse("auth", s.dialect.Refuses[name])
}

func (s *session) credential(mechanism, initial string) (credential, error) {
	switch mechanism {
	case "PLAIN": // RFC 4616
		text, err := s.ask("", initial)
		parts := append(strings.Split(text, "\x00"), "", "")
		return credential{user: parts[1], secret: parts[2]}, err
	case "LOGIN":
		user, err := s.ask("Username:", initial)
		if err != nil {
			return credential{}, err
		}
		secret, err := s.ask("Password:", "")
		return credential{user: user, secret: secret}, err
	case "CRAM-MD5": // RFC 2195
		challenge := "<" + s.id + "@" + s.dialect.Name + ">"
		text, err := s.ask(challenge, "")
		i := strings.LastIndexByte(text, ' ')
		return credential{user: text[:max(i, 0)], secret: text[i+1:], challenge: challenge}, err
	}
	text, err := s.ask("", initial) // XOAUTH2, or OAUTHBEARER (RFC 7628)
	c := bearer(text)
	return c, err
}

func bearer(text string) credential {
	c := credential{token: true}
	for part := range strings.SplitSeq(text, "\x01") {
		if token, ok := strings.CutPrefix(part, "auth=Bearer "); ok {
			c.secret = token
		} else if user, ok := strings.CutPrefix(part, "user="); ok {
			c.user = user
		} else if _, user, ok := strings.Cut(part, "a="); ok {
			c.user = strings.TrimRight(user, ",")
		}
	}
	return c
}

// ask returns the decoded initial response, or that to a prompt.
func (s *session) ask(prompt, initial string) (string, error) {
	if initial == "" {
		if err := s.write("334 " + base64.StdEncoding.EncodeToString([]byte(prompt))); err != nil {
			return "", err
		}
		var err error
		if initial, err = s.line(); err != nil {
			return "", err
		}
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(initial, "="))
	if err != nil { // a cancelling "*" too
		return "", errCancel
	}
	return string(text), nil
}

// dislikes names the refusal of a credential; "": it is good.
func (s *session) dislikes(c credential) string {
	l := s.dialect.Login
	switch {
	case c.user == "" || c.secret == "" || !regexp.MustCompile(l.User).MatchString(c.user):
		return "login-refused"
	case l.Wrong != "" && !c.token && regexp.MustCompile(l.Wrong).MatchString(c.secret):
		return "login-kind"
	case s.opts.Logins == nil && c.is("wrong", false):
		return "login-refused"
	case s.opts.Logins == nil:
		return ""
	}
	if secret, ok := s.opts.Logins[c.user]; !ok || !c.is(secret, l.Spaces) {
		return "login-refused"
	}
	return ""
}

// is reports whether the credential shows that its owner knows secret.
func (c credential) is(secret string, spaces bool) bool {
	if spaces {
		c.secret, secret = strings.ReplaceAll(c.secret, " ", ""), strings.ReplaceAll(secret, " ", "")
	}
	if c.challenge == "" {
		return c.secret == secret
	}
	digest := hmac.New(md5.New, []byte(secret))
	digest.Write([]byte(c.challenge))
	return c.secret == hex.EncodeToString(digest.Sum(nil))
}
