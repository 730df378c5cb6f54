package relay

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// TestDialogues plays the files of testdata/dialogues, each a conversation
// with a fresh server. Their lines:
//
//	policy: NAME      which policy to serve, see dialoguePolicy; the first line
//	from: ADDR        where the client connects from; else this machine
//	c: TEXT           the client sends a line
//	c! "TEXT"         the client sends a Go string, with nothing added
//	s: TEXT           the next reply begins so
//	has: TEXT         the last reply holds this too
//	not: TEXT         and this not
//	tls               both begin TLS
//	closed            the server has hung up
//	queue: full       from now on the queue says so; also broken, odd
//	disk: full        from now on the place where content goes says so
//	kept: N           so many messages were handed to the queue
//	content: "TEXT"   the last of them
//	to: ADDR ADDR     its recipients
//	mail-from: ADDR   its sender
//	account: NAME     who sent it
//	quirks: Q Q       what was odd about it
//	subject: TEXT     its subject as people read it
//	changed: "TEXT"   the fields that were changed, each on a line
//	received: TEXT    its Received field begins so
//	# …               a comment
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &play{t: t}
			for i, line := range strings.Split(string(text), "\n") {
				p.where = file + ":" + strconv.Itoa(i+1)
				p.line(line)
			}
		})
	}
}

// A play is a dialogue that runs.
type play struct {
	t      *testing.T
	where  string
	rig    *rig
	client *mailtest.Client
	last   string // reply
}

func (p *play) line(line string) {
	word, arg, _ := strings.Cut(line, " ")
	switch word {
	case "", "#":
	case "policy:":
		p.rig = start(p.t, dialoguePolicy(p.t, arg))
	case "from:":
		p.client = p.begin().connectFrom(arg)
	case "c:":
		p.open().Send(arg + "\r\n")
	case "c!":
		p.open().Send(p.unquote(arg))
	case "s:":
		r, err := p.open().Read()
		if p.last = r; err != nil || !strings.HasPrefix(r, arg) {
			p.t.Fatalf("%s: got %q, %v; want %q", p.where, r, err, arg)
		}
	case "has:", "not:":
		if strings.Contains(p.last, arg) != (word == "has:") {
			p.t.Fatalf("%s: %s in %q", p.where, line, p.last)
		}
	case "tls":
		p.open().StartTLS(trustAnyone)
	case "closed":
		expectClosed(p.t, p.client)
	case "queue:":
		p.begin().queue.err = troubles[arg]
	case "disk:":
		p.begin().queue.full = troubles[arg]
	default:
		p.check(word, arg)
	}
}

// troubles are what a dialogue may have a queue or its disk answer.
var troubles = map[string]error{"full": mail.ErrFull, "broken": mail.ErrBroken, "odd": os.ErrDeadlineExceeded}

// check looks at what was kept.
func (p *play) check(word, arg string) {
	all := p.begin().queue.all()
	if word == "kept:" {
		if strconv.Itoa(len(all)) != arg {
			p.t.Fatalf("%s: %d messages were kept, want %s", p.where, len(all), arg)
		}
		return
	}
	last := all[len(all)-1]
	var got string
	switch word {
	case "content:":
		got, arg = string(last.content), p.unquote(arg)
	case "to:":
		got = strings.Join(last.m.Recipients, " ")
	case "mail-from:":
		got = last.m.MailFrom
	case "account:":
		got = last.m.Account
	case "quirks:":
		got = strings.Join(last.m.Detail.Quirks, " ")
	case "subject:":
		got = last.m.Subject
	case "changed:":
		var fields []string
		for _, c := range last.m.Detail.Header.Change {
			fields = append(fields, c.Text)
		}
		got, arg = strings.Join(fields, "\n"), p.unquote(arg)
	case "received:":
		got = strings.TrimPrefix(last.m.Detail.Header.Add[0], "Received: ")
		got = got[:min(len(got), len(arg))]
	default:
		p.t.Fatalf("%s: unknown word %q", p.where, word)
	}
	if got != arg {
		p.t.Fatalf("%s: got  %q\nwant %q", p.where, got, arg)
	}
}

func (p *play) begin() *rig {
	if p.rig == nil {
		p.rig = start(p.t, settings(p.t))
	}
	return p.rig
}

func (p *play) open() *mailtest.Client {
	if p.client == nil {
		p.client = p.begin().connect()
	}
	return p.client
}

func (p *play) unquote(s string) string {
	text, err := strconv.Unquote(s)
	if err != nil {
		p.t.Fatalf("%s: %q: %v", p.where, s, err)
	}
	return text
}

// dialoguePolicy names what dialogues need beside the usual settings.
func dialoguePolicy(t *testing.T, name string) Settings {
	s := settings(t)
	l := &s.Listeners[0]
	switch name {
	case "starttls", "implicit":
		l.TLS = name
		l.Cert, l.Key, _ = certFiles(t)
	case "required":
		l.TLS, l.Auth = "starttls", "required"
		l.Cert, l.Key, _ = certFiles(t)
	case "auth-off":
		l.Auth = "off"
	case "login-only":
		s.Accounts[0].Networks = nil
	case "network-only":
		s.Accounts[0].Username = ""
	case "legacy":
		l.Legacy = true
	case "legacy-korean":
		l.Legacy = true
		s.DefaultDomain = "example.com"
		s.Clients = []Client{{Name: "erp", Networks: l.Clients, Charset: "cp949"}}
	case "small":
		s.Limits.Message = 40
	case "default-domain":
		s.DefaultDomain = "example.com"
	case "two":
		s.Accounts = append(s.Accounts, Account{Username: "mall", Password: "hidden", Align: newAlign(t, "mall", "warn")})
	default:
		t.Fatalf("unknown policy %q", name)
	}
	return s
}
