package dsn

import (
	"fmt"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// A tongue is the words of a notice in one language.
type tongue struct {
	lang    string
	subject map[mail.Action]string
	first   map[mail.Action]string
	message string // subject, date
	reply   string
	steps   string
	until   string
}

// words are those of every notice: nobody knows which language its reader has.
var words = [...]tongue{
	{
		lang:    "en",
		subject: map[mail.Action]string{mail.Fails: "Not sent", mail.Delays: "Delayed", mail.Relayed: "Passed on"},
		first: map[mail.Action]string{
			mail.Fails:   "Your message could not be sent to the following recipients.",
			mail.Delays:  "Your message has not been sent yet to the following recipients. You need not send it again.",
			mail.Relayed: "Your message was taken by a server that does not tell whether it is delivered.",
		},
		message: "Subject: %s\nHanded in: %s\n",
		reply:   "The server said",
		steps:   "What to do",
		until:   "It is tried until %s.\n",
	},
	{
		lang:    "ko",
		subject: map[mail.Action]string{mail.Fails: "보내지 못함", mail.Delays: "지연", mail.Relayed: "전달됨"},
		first: map[mail.Action]string{
			mail.Fails:   "다음 수신자에게 메일을 보내지 못했습니다.",
			mail.Delays:  "다음 수신자에게 아직 메일을 보내지 못했습니다. 다시 보내지 않아도 됩니다.",
			mail.Relayed: "배달 여부를 알려 주지 않는 서버가 메일을 받았습니다.",
		},
		message: "제목: %s\n접수: %s\n",
		reply:   "서버의 응답",
		steps:   "할 일",
		until:   "%s까지 다시 시도합니다.\n",
	},
}

// tell is the part for people, in every language.
func tell(n mail.Notice) string {
	var texts []string
	for i := range words {
		texts = append(texts, words[i].tell(n))
	}
	return strings.Join(texts, "\n---\n\n")
}

func (t *tongue) tell(n mail.Notice) string {
	var b strings.Builder
	b.WriteString(t.first[n.Action] + "\n\n")
	fmt.Fprintf(&b, t.message, clean(n.Message.Subject), n.Message.Received.Format(time.RFC1123Z))
	if n.Action == mail.Delays && !n.Until.IsZero() {
		fmt.Fprintf(&b, t.until, n.Until.Format(time.RFC1123Z))
	}
	for _, d := range n.Deliveries {
		fmt.Fprintf(&b, "\n%s\n", clean(d.Recipient))
		if x := catalogue.Shown(d.Explain, t.lang); x != nil && n.Action != mail.Relayed {
			fmt.Fprintf(&b, "  %s\n  %s\n", x.Title, x.Meaning)
			for i, step := range x.Steps {
				if i == 0 {
					fmt.Fprintf(&b, "  %s:\n", t.steps)
				}
				fmt.Fprintf(&b, "    %d. %s\n", i+1, step)
			}
		}
		if d.Reply != "" {
			fmt.Fprintf(&b, "  %s: %s\n", t.reply, strings.ReplaceAll(d.Reply, "\n", "\n    "))
		}
	}
	return b.String()
}
