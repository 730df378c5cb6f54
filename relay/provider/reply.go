package provider

import (
	"regexp"
	"strings"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// judge says what a refusing reply of a service means: what the catalogue knows
// of it, else what its code, its enhanced code and the stage say.
func judge(service, stage string, r mail.Reply) (id, class string) {
	id, class = known(service, stage, r)
	return catalogue.At(service, id), class
}

func known(service, stage string, r mail.Reply) (id, class string) {
	class = classify(stage, r)
	id, said, ok := catalogue.Match(service, r)
	switch {
	case !ok || connecting(stage) && !r.Temporary():
		return "generic." + replyTopic(stage, class), class
	case stage == "AUTH" && r.Permanent() && said != mail.ClassQuota:
		return id, mail.ClassAuth // nothing but the login was refused
	}
	return id, said
}

// classify says what a refusing reply is about: by its code, its enhanced
// code (RFC 3463) and the stage at which it came.
func classify(stage string, r mail.Reply) string {
	switch {
	case r.Temporary():
		return classifyTemporary(stage, r)
	case !r.Permanent() || connecting(stage):
		// Before MAIL a 5yz speaks about this connection, not about a message:
		// it fails no mail.
		return mail.ClassTemporary
	case stage == "AUTH":
		return mail.ClassAuth
	case r.Code == 530 && strings.Contains(strings.ToUpper(r.Text()), "STARTTLS"):
		return mail.ClassAccount
	case r.Code == 530: // RFC 4954 section 6: authentication required
		return mail.ClassAuth
	case stage == "RCPT" && relayDenied.MatchString(r.Text()):
		return mail.ClassAccount
	}
	return classifyPermanent(stage, r)
}

// relayDenied is how servers of all makes say that this client may not send
// to the world.
var relayDenied = regexp.MustCompile(`(?i)\brelay(ing)?( access)? (is )?(denied|prohibited|not (permitted|allowed))|\b(unable|not permitted|not allowed) to relay\b`)

func classifyTemporary(stage string, r mail.Reply) string {
	if r.Code == 421 || r.Enhanced() == "4.5.3" || r.Code == 454 && stage != "STARTTLS" {
		return mail.ClassThrottling
	}
	return mail.ClassTemporary
}

func classifyPermanent(stage string, r mail.Reply) string {
	switch r.Enhanced() {
	case "5.1.7", "5.1.8":
		return mail.ClassSender
	case "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.2": // the last: its mailbox is full
		return mail.ClassRecipient
	case "5.3.4", "5.2.3":
		return mail.ClassContent
	}
	switch {
	case stage == "MAIL" && r.Code == 552: // the answer to SIZE=
		return mail.ClassContent
	case stage == "MAIL":
		return mail.ClassSender
	case stage == "RCPT":
		return mail.ClassRecipient
	}
	return mail.ClassContent
}

// replyTopic picks the explanation of a reply.
func replyTopic(stage, class string) string {
	if connecting(stage) && class == mail.ClassTemporary {
		return "turned-away"
	}
	return class
}

// The forms in which servers name what they took, most telling first.
var upstreamIDs = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\bqueued as:? <?([^\s<>;,]+)`),
	regexp.MustCompile(`(?i)\bid[=:] ?<?([^\s<>;,]+)`),
	regexp.MustCompile(`(?i)^ok +\d+ +(\S+) +- gsmtp`),
	regexp.MustCompile(`(?i)^(\S+) message accepted for delivery`),
	regexp.MustCompile(`(?i)^ok:? +<?([^\s<>;,]*\d[^\s<>;,]*)`),
}

// idMax is the most that is kept of a provider's name for a message.
const idMax = 200

// upstreamID finds the provider's name for the message in its 250.
func upstreamID(r mail.Reply) string {
	text := strings.TrimSpace(strings.TrimPrefix(r.Text(), r.Enhanced()))
	for _, form := range upstreamIDs {
		if m := form.FindStringSubmatch(text); m != nil && len(m[1]) <= idMax {
			return mail.Escape(strings.TrimRight(m[1], ".)"))
		}
	}
	return ""
}
