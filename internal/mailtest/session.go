package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// A session is one connection to a Peer. Its goroutine owns it.
type session struct {
	peer *Peer
	tcp  net.Conn
	conn net.Conn // tcp, or the TLS over it
	r    *bufio.Reader
	n    int

	tls        bool
	helo, user string
	tx         *Transaction // nil outside of a transaction
	rcpts      int          // RCPT commands in it
}

func newSession(p *Peer, conn net.Conn, n int) *session {
	return &session{peer: p, tcp: conn, conn: conn, r: bufio.NewReader(conn), n: n}
}

func (s *session) run() {
	if s.peer.script.Implicit && s.handshake() != nil {
		return
	}
	if sent, err := s.answer("220 peer.test ESMTP", Banner); err != nil || !strings.HasPrefix(sent, "220") {
		s.close()
		return
	}
	for {
		line, err := s.line()
		if err != nil || s.command(line) != nil {
			return
		}
	}
}

// line reads one line without its end.
func (s *session) line() (string, error) {
	line, err := s.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	s.peer.heard(line)
	return line, nil
}

func (s *session) write(text string) error {
	_, err := io.WriteString(s.conn, CRLF(text)+"\r\n")
	return err
}

// close ends the own side and reads on until the client ends the other, since
// unread bytes would make the kernel send a reset.
func (s *session) close() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
	if c, ok := s.tcp.(*net.TCPConn); ok {
		c.CloseWrite()
	}
	io.Copy(io.Discard, s.tcp)
}

// answer does what is scripted for the first of the stages that has a script.
func (s *session) answer(normal string, stages ...Stage) (sent string, err error) {
	if action := s.peer.next(stages...); action != nil {
		return action(s, normal)
	}
	return normal, s.write(normal)
}

func (s *session) handshake() error {
	conn := tls.Server(s.tcp, s.peer.script.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	s.conn, s.r, s.tls = conn, bufio.NewReader(conn), true
	s.helo, s.tx = "", nil
	return nil
}

func (s *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	var err error
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.helo, s.tx = arg, nil
		_, err = s.answer(s.greeting(), EHLO)
	case "HELO":
		s.helo, s.tx = arg, nil
		_, err = s.answer("250 peer.test", HELO)
	case "STARTTLS":
		err = s.startTLS()
	case "AUTH":
		err = s.auth(arg)
	case "MAIL":
		err = s.mail(line)
	case "RCPT":
		err = s.rcpt(line)
	case "DATA":
		err = s.data()
	case "BDAT":
		err = s.chunk(arg)
	case "RSET":
		s.tx = nil
		_, err = s.answer("250 2.0.0 Ok", RSET)
	case "QUIT":
		s.answer("221 2.0.0 Bye", QUIT)
		s.close()
		err = errEnd
	case "NOOP":
		err = s.write("250 2.0.0 Ok")
	default:
		err = s.write("500 5.5.2 what?")
	}
	return err
}

// greeting returns the reply to EHLO.
func (s *session) greeting() string {
	ext := s.peer.script.Extensions
	if ext == nil {
		ext = []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
		if s.peer.script.TLS != nil {
			ext = append(ext, "STARTTLS")
		}
		if s.peer.script.Username != "" {
			ext = append(ext, "AUTH PLAIN LOGIN")
		}
	}
	lines := []string{"peer.test"}
	for _, e := range ext {
		if e != "STARTTLS" || !s.tls {
			lines = append(lines, e)
		}
	}
	last := len(lines) - 1
	for i := range lines[:last] {
		lines[i] = "250-" + lines[i]
	}
	lines[last] = "250 " + lines[last]
	return strings.Join(lines, "\n")
}

func (s *session) startTLS() error {
	if s.tls || s.peer.script.TLS == nil {
		return s.write("502 5.5.1 no TLS")
	}
	sent, err := s.answer("220 2.0.0 go ahead", STARTTLS)
	if err != nil || !strings.HasPrefix(sent, "220") {
		return err
	}
	return s.handshake()
}

// auth takes PLAIN and LOGIN, each with or without an initial response.
func (s *session) auth(arg string) error {
	mech, initial, _ := strings.Cut(arg, " ")
	var user, pass string
	var err error
	switch strings.ToUpper(mech) {
	case "PLAIN":
		var text string
		if text, err = s.credential(initial, "", AuthPass); err == nil {
			parts := append(strings.Split(text, "\x00"), "", "", "")
			user, pass = parts[1], parts[2]
		}
	case "LOGIN":
		if user, err = s.credential(initial, "Username:", AuthUser); err == nil {
			pass, err = s.credential("", "Password:", AuthPass)
		}
	default:
		return s.write("504 5.5.4 unknown mechanism")
	}
	if errors.Is(err, errCancel) {
		return nil
	}
	if err != nil {
		return err
	}
	normal := "535 5.7.8 Authentication credentials invalid"
	if user == s.peer.script.Username && pass == s.peer.script.Password {
		normal = "235 2.7.0 welcome"
	}
	sent, err := s.answer(normal, Auth)
	if strings.HasPrefix(sent, "235") {
		s.user = user
	}
	return err
}

var errCancel = errors.New("mailtest: login given up")

// credential returns the decoded initial response, or asks for it.
func (s *session) credential(initial, prompt string, stage Stage) (string, error) {
	if initial == "" {
		if _, err := s.answer("334 "+base64.StdEncoding.EncodeToString([]byte(prompt)), stage); err != nil {
			return "", err
		}
		var err error
		if initial, err = s.line(); err != nil {
			return "", err
		}
	}
	text, err := base64.StdEncoding.DecodeString(initial)
	if err != nil { // a cancelling "*" too
		return "", errors.Join(errCancel, s.write("501 5.5.2 no base64"))
	}
	return string(text), nil
}

func (s *session) mail(line string) error {
	normal := "250 2.1.0 Ok"
	switch {
	case s.helo == "":
		normal = "503 5.5.1 EHLO first"
	case s.tx != nil:
		normal = "503 5.5.1 nested MAIL"
	case s.peer.script.Username != "" && s.user == "":
		normal = "530 5.7.0 Authentication required"
	}
	sent, err := s.answer(normal, Mail)
	if strings.HasPrefix(sent, "2") {
		s.rcpts = 0
		s.tx = &Transaction{
			Connection: s.n, Helo: s.helo, User: s.user, TLS: s.tls,
			Mail: line, MailFrom: between(line),
		}
	}
	return err
}

func (s *session) rcpt(line string) error {
	if s.tx == nil {
		return s.write("503 5.5.1 MAIL first")
	}
	s.rcpts++
	path := between(line)
	sent, err := s.answer("250 2.1.5 Ok", RcptTo(path), RcptNo(s.rcpts), Rcpt)
	if strings.HasPrefix(sent, "2") {
		s.tx.Rcpts = append(s.tx.Rcpts, line)
		s.tx.Recipients = append(s.tx.Recipients, path)
	}
	return err
}

func (s *session) data() error {
	normal := "354 go ahead"
	switch {
	case s.tx == nil:
		normal = "503 5.5.1 MAIL first"
	case len(s.tx.Recipients) == 0:
		normal = "554 5.5.1 no valid recipients"
	}
	sent, err := s.answer(normal, Data)
	if err != nil || !strings.HasPrefix(sent, "354") {
		return err
	}
	if action := s.peer.next(Content); action != nil {
		if _, err := action(s, "250 2.0.0 Ok"); err != nil {
			return err
		}
	}
	return s.content()
}

// chunk takes one BDAT (RFC 3030). A chunk that is not the last is answered at
// the stage Chunk, the last one as a final dot is.
func (s *session) chunk(arg string) error {
	size, last := strings.CutSuffix(arg, " LAST")
	n, err := strconv.Atoi(size)
	if !s.offers("CHUNKING") || err != nil {
		return s.write("500 5.5.2 what?")
	}
	tx := s.tx
	if tx == nil {
		tx = &Transaction{Connection: s.n, Helo: s.helo, User: s.user, TLS: s.tls}
	}
	if n > 0 || last {
		if action := s.peer.next(Content); action != nil {
			if _, err := action(s, "250 2.0.0 Ok"); err != nil {
				return err
			}
		}
	}
	piece := make([]byte, n)
	got, err := io.ReadFull(s.r, piece)
	tx.Content = append(tx.Content, piece[:got]...)
	tx.Raw, tx.Complete = tx.Content, last && err == nil
	if (last || err != nil) && !s.peer.script.Discard {
		s.peer.record(*tx)
	}
	if err != nil {
		return err
	}
	normal := fmt.Sprintf("250 2.0.0 Ok: %d octets", n)
	switch {
	case s.tx == nil:
		normal = "503 5.5.1 MAIL first"
	case len(tx.Recipients) == 0:
		normal = "554 5.5.1 no valid recipients"
	case last:
		normal = fmt.Sprintf("250 2.0.0 Ok: queued as PEER%d", len(tx.Content))
	}
	if !last {
		_, err = s.answer(normal, Chunk)
		return err
	}
	s.tx = nil
	_, err = s.answer(normal, Dot)
	return err
}

func (s *session) offers(keyword string) bool {
	return slices.Contains(s.peer.script.Extensions, keyword)
}

// content reads the message and answers the final dot.
func (s *session) content() error {
	tx := s.tx
	if tx == nil {
		tx = &Transaction{Connection: s.n, Helo: s.helo, User: s.user, TLS: s.tls}
	}
	s.tx = nil
	err := s.receive(tx)
	if !s.peer.script.Discard {
		s.peer.record(*tx)
	}
	if err != nil {
		return err
	}
	normal := fmt.Sprintf("250 2.0.0 Ok: queued as PEER%d", len(tx.Content))
	if len(tx.Recipients) == 0 {
		normal = "554 5.5.1 no valid recipients"
	}
	_, err = s.answer(normal, Dot)
	return err
}

// receive reads up to the line that is a lone dot. Only CRLF ends a line.
func (s *session) receive(tx *Transaction) error {
	before := byte('\n') // the last byte of the piece before
	start := true        // of a line
	for {
		piece, err := s.r.ReadSlice('\n')
		if !s.peer.script.Discard {
			tx.Raw = append(tx.Raw, piece...)
		}
		if start && string(piece) == ".\r\n" {
			tx.Complete = true
			return nil
		}
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		starts := bytes.HasSuffix(piece, []byte("\r\n")) || before == '\r' && string(piece) == "\n"
		before = piece[len(piece)-1]
		if start && piece[0] == '.' {
			piece = piece[1:]
		}
		if !s.peer.script.Discard {
			tx.Content = append(tx.Content, piece...)
		}
		start = starts
	}
}

// between returns what stands between the first < and the last > of a line.
func between(line string) string {
	i, j := strings.IndexByte(line, '<'), strings.LastIndexByte(line, '>')
	if i < 0 || j < i {
		return ""
	}
	return line[i+1 : j]
}
