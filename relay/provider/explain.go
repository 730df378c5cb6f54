package provider

import (
	"slices"

	"backstamp/mail"
)

// explain returns the words for a topic: a reply class, or a way in which
// things go wrong without a reply.
func explain(topic, class string) *mail.Explain {
	w, ok := words[topic]
	if !ok {
		topic, w = "temporary", words["temporary"]
	}
	return &mail.Explain{ID: "generic." + topic, Class: class, Title: w.title, Meaning: w.meaning, Steps: slices.Clone(w.steps)}
}

type wording struct {
	title, meaning string
	steps          []string
}

// words is read only.
var words = map[string]wording{
	mail.ClassAuth: {"Login refused",
		"The provider did not accept the username and password. Its mail waits; nothing is lost.",
		[]string{
			"Check username and password of this provider in the configuration. Many services want an app password or an API key in place of the account's password.",
			"Run `backstamp test` with the provider's name to see the login alone.",
			"Run `backstamp reload`; the waiting mail then goes out.",
		}},
	mail.ClassQuota: {"Quota used up",
		"The provider takes no more mail for now. The mail waits until it does.",
		[]string{
			"Wait until the quota is renewed, or raise it with the provider.",
			"Set `daily_limit` a little below the quota, or add a second provider with `after:`.",
		}},
	mail.ClassThrottling: {"Asked to slow down",
		"The provider wants fewer messages at a time. The mail is tried again more slowly.",
		[]string{
			"Nothing needs to be done.",
			"If it happens often, lower `rate` or `connections` of this provider.",
		}},
	mail.ClassTemporary: {"Not just now",
		"The provider could not take the message at the moment. It is tried again.",
		[]string{
			"Nothing needs to be done. If it lasts for hours, the reply's text says what to ask the provider.",
		}},
	mail.ClassSender: {"Sender refused",
		"The provider does not let this account send with this sender address.",
		[]string{
			"Send with the address of the provider's account, or verify the sender address with the provider.",
			"List the address under `senders` only once the provider allows it.",
		}},
	mail.ClassRecipient: {"Recipient refused",
		"The provider does not deliver to this recipient: the address may be misspelt or closed.",
		[]string{
			"Check the address and send again if it was wrong.",
			"Otherwise take the address off your lists.",
		}},
	mail.ClassContent: {"Message refused",
		"The provider does not take this message because of its size or what it holds.",
		[]string{
			"Read the reply: it usually says whether size, an attachment or a link is the reason.",
			"Change the message and send it again.",
		}},
	mail.ClassAccount: {"Account may not send",
		"The provider knows this client but does not let it send. Its mail waits; nothing is lost.",
		[]string{
			"If the reply speaks of STARTTLS, set `tls: starttls` or `tls: implicit`.",
			"If it speaks of relaying, set username and password, or have the provider allow this machine's address.",
			"Run `backstamp reload`, then `backstamp queue retry`.",
		}},
	"unreachable": {"Provider not reached",
		"No conversation with the provider came about. The message is tried again.",
		[]string{
			"Check `host`, `port` and `tls` of this provider.",
			"Check this machine's network and firewall; many networks block port 25.",
			"Run `backstamp test` with the provider's name to see which step fails.",
		}},
	"name": {"Host name not found",
		"The name of the provider's server could not be looked up. The message is tried again.",
		[]string{
			"Check the spelling of `host`.",
			"Check this machine's name servers.",
		}},
	"certificate": {"Certificate not trusted",
		"The provider's server could not prove that it is the one that was asked for, so nothing was sent to it. The message is tried again.",
		[]string{
			"Check that `host` is the name in the server's certificate.",
			"Check this machine's clock and its root certificates.",
			"If the certificate has expired, its owner must renew it.",
		}},
	"no-starttls": {"No encryption offered",
		"The server did not offer STARTTLS, which this provider's settings demand. Nothing was sent in the clear. The message is tried again.",
		[]string{
			"Check `port`: 465 wants `tls: implicit`, 587 wants `tls: starttls`.",
			"If it worked before, something between here and the provider may be tampering with the connection.",
			"Only for a server on this machine or in a network you trust: `tls: off`.",
		}},
	"turned-away": {"Turned away at the door",
		"The provider's server answered but did not let this client begin. The message is tried again.",
		[]string{
			"Read the reply: it usually says why.",
			"Check that `hostname` is a full name of this machine and that the provider allows its address.",
		}},
	"no-login": {"No login offered",
		"The server offered no login, though a username is configured. The message is tried again.",
		[]string{
			"Check `host` and `port`: the port for submission is usually 587 or 465.",
			"Check `tls`: many servers offer the login only over TLS.",
		}},
	"no-mechanism": {"No login in common",
		"The server offers only ways to log in that this version does not know. Its mail waits; nothing is lost.",
		[]string{
			"Allow PLAIN or LOGIN for this account at the provider, often by way of an app password.",
			"Run `backstamp reload`; the waiting mail then goes out.",
		}},
	"broken": {"Conversation broken off",
		"The connection ended, fell silent or brought something that is no SMTP reply. The message is tried again.",
		[]string{
			"Nothing needs to be done if it happens now and then.",
			"If it lasts, look for a firewall or virus scanner between here and the provider.",
		}},
	"uncertain": {"No answer to the message",
		"The whole message was sent, but the provider's answer did not come. It is tried again, so that the recipient may get it twice.",
		[]string{
			"Nothing needs to be done. Both copies would carry the same Message-ID.",
		}},
	"ours": {"Trouble on this machine",
		"Backstamp could not read or prepare the message. What was begun was broken off. It is tried again.",
		[]string{
			"Look at the log, and at the disk that holds `data_dir`.",
		}},
	"address": {"Address not usable",
		"The address cannot be written in SMTP.",
		[]string{
			"Check the address and send again.",
		}},
	"smtputf8": {"Address needs SMTPUTF8",
		"The part before the @ has letters beyond ASCII, and the provider's server does not take such addresses.",
		[]string{
			"Use an address of plain letters for this person, or a provider that supports SMTPUTF8.",
		}},
	"8bit": {"Message needs 8BITMIME",
		"The message holds bytes beyond ASCII as they are, and the provider's server does not take such messages.",
		[]string{
			"Have the app send quoted-printable or base64, or use a provider that supports 8BITMIME.",
		}},
	"too-large": {"Message too large",
		"The message is larger than the provider's server says it takes.",
		[]string{
			"Send a smaller message, or a link in place of the attachment.",
			"Ask the provider whether its limit can be raised.",
		}},
}
