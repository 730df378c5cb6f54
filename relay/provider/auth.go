package provider

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"backstamp/mail"
)

// login authenticates (RFC 4954), if there is a username.
func (c *conn) login(ctx context.Context) error {
	if c.set.Username == "" {
		return nil
	}
	defer c.endWith(ctx)()
	if !c.secured && !c.loopback() {
		return failure("AUTH", "no-starttls", mail.ClassTemporary,
			errors.New("the password is not sent in the clear"))
	}
	if !c.offers("AUTH") {
		return failure("AUTH", "no-login", mail.ClassTemporary,
			errors.New("the server offers no login"))
	}
	r, err := c.authenticate(strings.Fields(c.ext["AUTH"]))
	if err != nil {
		return err
	}
	if r.Code != 235 {
		c.broken = true
		return c.refusal("AUTH", r)
	}
	return nil
}

// loopback reports whether the other side is on this machine.
func (c *conn) loopback() bool {
	addr, err := netip.ParseAddrPort(c.tcp.RemoteAddr().String())
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

func (c *conn) authenticate(offered []string) (mail.Reply, error) {
	switch c.set.mechanism(offered) {
	case "PLAIN":
		return c.authPlain()
	case "LOGIN":
		return c.authLogin()
	case "CRAM-MD5":
		return c.authCRAM()
	}
	return mail.Reply{}, failure("AUTH", "no-mechanism", mail.ClassAuth,
		fmt.Errorf("the server offers %q, and this version speaks PLAIN, LOGIN and CRAM-MD5", c.veil.mask(offered...)))
}

// initialMax is the longest line that carries an initial response; RFC 4954
// section 4 has a longer one wait for the server's go-ahead.
const initialMax = 512 - len("\r\n")

// authPlain is RFC 4616.
func (c *conn) authPlain() (mail.Reply, error) {
	response := encode("\x00" + c.set.Username + "\x00" + c.set.Password)
	c.hide(response)
	if len("AUTH PLAIN "+response) <= initialMax {
		return c.secret("AUTH PLAIN ", response)
	}
	r, err := c.cmd("AUTH", "AUTH PLAIN")
	if err != nil || r.Code != 334 {
		return r, err
	}
	return c.secret("", response)
}

// authLogin answers the first prompt with the name and the second with the
// password, unless a prompt plainly asks for the other: what they say was
// never agreed on.
func (c *conn) authLogin() (mail.Reply, error) {
	r, err := c.cmd("AUTH", "AUTH LOGIN")
	for i := 0; i < 2 && err == nil && r.Code == 334; i++ {
		answer := c.set.Username
		if asksPassword(r, i == 1) {
			answer = c.set.Password
		}
		r, err = c.secret("", encode(answer))
	}
	return r, err
}

// asksPassword reports what a prompt of LOGIN asks for; guess is for those
// that do not say.
func asksPassword(r mail.Reply, guess bool) bool {
	text := r.Text()
	if plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
		text = string(plain)
	}
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "pass"):
		return true
	case strings.Contains(text, "user"):
		return false
	}
	return guess
}

// authCRAM is CRAM-MD5 (RFC 2195), for servers that have nothing better.
func (c *conn) authCRAM() (mail.Reply, error) {
	r, err := c.cmd("AUTH", "AUTH CRAM-MD5")
	if err != nil || r.Code != 334 {
		return r, err
	}
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.Text()))
	if err != nil {
		return mail.Reply{}, broken("AUTH", fmt.Errorf("a challenge that is no base64: %w", err))
	}
	sum := hmac.New(md5.New, []byte(c.set.Password))
	sum.Write(challenge)
	response := encode(fmt.Sprintf("%s %x", c.set.Username, sum.Sum(nil)))
	c.hide(response)
	return c.secret("", response)
}

// secret sends a response that the transcript does not show, after a verb or
// nothing.
func (c *conn) secret(verb, response string) (mail.Reply, error) {
	c.note("C: " + verb + "****")
	if err := c.sendSecret(verb + response); err != nil {
		return mail.Reply{}, broken("AUTH", err)
	}
	return c.await("AUTH", c.set.Timeouts.Command)
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
