package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"backstamp/internal/crash"
	"backstamp/mail"
	"backstamp/relay/align"
	"backstamp/relay/quirk"
	"backstamp/rewrite"
)

// accept makes a message of the transaction and its content and hands it to
// the queue. The message is durable when it returns nil. The content is closed
// in any case.
func (s *session) accept(ctx context.Context, content mail.ContentCloser) (mail.ID, error) {
	given := false
	defer func() {
		if !given {
			content.Close()
		}
	}()
	m, err := s.judge(content)
	if err != nil {
		return mail.ID{}, err
	}
	given = true
	if err := s.put(ctx, m, content); err != nil {
		return mail.ID{}, err
	}
	crash.At(crash.BeforeReply)
	s.report(m)
	return m.ID, nil
}

// put hands the message to the queue, and waits for the provider where the
// account wants that. It was durable even where the provider refused it.
func (s *session) put(ctx context.Context, m *mail.Message, content mail.ContentCloser) error {
	var refused *mail.Attempt
	var err error
	if s.tx.account.Hear {
		refused, err = s.server.queue.PutAndHear(ctx, m, content)
	} else {
		err = s.server.queue.Put(ctx, m, content)
	}
	if err != nil {
		return fmt.Errorf("queue message %v: %w", m.ID, err)
	}
	if refused != nil {
		return passedOn(*refused, m)
	}
	return nil
}

// judge decides whether the message may leave, and how.
func (s *session) judge(content mail.Content) (*mail.Message, error) {
	tx, client := s.tx, s.tx.policy.client(s.peer.addr.Addr())
	if content.Size() > tx.limit {
		return nil, tooLarge(tx.limit)
	}
	original, err := read(content)
	if err != nil {
		return nil, err
	}
	h := original.header
	if err := looping(h, tx.policy.hostname); err != nil {
		return nil, err
	}
	mender := quirk.Mender{Charset: client.Charset, DefaultDomain: tx.policy.defaultDomain, UTF8: tx.utf8, Legacy: s.peer.legacy}
	changes, quirks := mender.Header(h)
	h = h.Change(changes)
	d, err := tx.account.Align.Decide(h, tx.from, client.From)
	if err != nil {
		return nil, err
	}
	now := s.server.clock.Now()
	m := &mail.Message{
		ID:         s.server.ids.Next(now),
		Received:   now,
		Account:    tx.account.name,
		Provider:   d.Provider,
		MailFrom:   tx.from,
		Recipients: tx.to,
		HeaderFrom: d.HeaderFrom,
		Subject:    subject(h),
		Size:       content.Size(),
		UTF8:       tx.utf8,
		Quiet:      tx.policy.quiet(h),
		Ret:        tx.ret,
		EnvID:      tx.envID,
		Asked:      tx.asked,
	}
	if m.MessageID = messageID(h); !h.Has("Message-ID") {
		m.MessageID = fmt.Sprintf("<%v@%s>", m.ID, tx.policy.hostname)
	}
	m.Detail.Alignment = d.Alignment
	m.Detail.Client = s.describe()
	m.Detail.Client.Name = client.Name
	controls, p := s.plan(m, h, content, client)
	odd, err := s.mend(m, mender, original, p)
	if err != nil {
		return nil, err
	}
	s.peer.quirk(slices.Concat(quirks, odd, missing(h))...)
	s.peer.quirks = s.quirks() // the list of clients has them too
	m.Detail.Quirks = s.peer.quirks
	s.editHeader(m, h, d, controls)
	last := "S: 250 2.0.0 queued as " + m.ID.String()
	if tx.account.Hear {
		last = "S: (250, or what the provider says at once)"
	}
	m.Detail.Transcript = append(s.peer.transcript.lines(), last)
	return m, nil
}

// describe says who hands the message in.
func (s *session) describe() mail.Client {
	return mail.Client{
		Addr: s.peer.addr.String(),
		Helo: mail.Escape(s.conn.Hostname()),
		User: s.user,
		TLS:  s.peer.tls,
	}
}

// plan decides what is tracked: the most restrictive of configuration, client
// and control headers wins.
func (s *session) plan(m *mail.Message, h mail.Header, content mail.Content, client Client) (rewrite.Controls, *rewrite.Plan) {
	tx := s.tx
	controls := rewrite.ReadControls(h, tx.account.ProviderHeaders)
	m.Tag, m.Meta = controls.Tag, controls.Meta
	m.Shared = tx.policy.tracking.Shared && len(tx.to) > 1
	req := rewrite.Request{
		ID:          m.ID,
		Content:     content,
		MessageID:   m.MessageID,
		Shared:      m.Shared,
		Recipients:  len(tx.to),
		Opens:       tx.policy.tracking.Opens && client.allows("opens"),
		Clicks:      tx.policy.tracking.Clicks && client.allows("clicks"),
		KeepForeign: tx.account.ProviderHeaders,
		PixelTop:    controls.PixelTop,
		Privacy:     tx.policy.tracking.Privacy,
	}
	req.Off = tx.off(m, &req, controls)
	p := tx.policy.rewriter.Plan(req)
	m.Tracked, m.Reason, m.Links = p.Edited(), p.Reason(), p.Tracked()
	m.Detail.Plan = p.Encode()
	if stamp := p.Stamp(); stamp != "" {
		m.Detail.Header.Add = append(m.Detail.Header.Add, "X-Backstamp: "+stamp)
		m.Detail.Header.Remove = append(m.Detail.Header.Remove, "X-Backstamp")
	}
	return controls, p
}

// allows reports whether what ("opens" or "clicks") may be tracked in mail of
// this client.
func (c Client) allows(what string) bool {
	return c.Tracking == "" || c.Tracking == "both" || c.Tracking == what
}

// off says why the message is not tracked at all, or "". It settles what of
// the request is tracked otherwise.
func (tx *transaction) off(m *mail.Message, req *rewrite.Request, c rewrite.Controls) string {
	configured := req.Opens || req.Clicks
	req.Opens, req.Clicks = req.Opens && !isFalse(c.Opens), req.Clicks && !isFalse(c.Clicks)
	switch {
	case tx.from == "":
		return rewrite.ReasonNullSender
	case tx.policy.tracking.Privacy == 0:
		return rewrite.ReasonPrivacy
	case !configured:
		return rewrite.ReasonOff
	case !req.Opens && !req.Clicks:
		return rewrite.ReasonControl
	case !tx.policy.tracking.Public && !tx.account.staysLocal(m.Provider, m.HeaderFrom):
		return rewrite.ReasonNoBaseURL
	}
	return ""
}

func isFalse(b *bool) bool { return b != nil && !*b }

// staysLocal reports whether no provider that the message may reach takes it
// off this machine or a private network.
func (a *account) staysLocal(provider, from string) bool {
	for _, name := range append(a.Align.Chain(provider, from), provider) {
		if !a.Local[name] {
			return false
		}
	}
	return true
}

// editHeader decides the changes of the header that every copy gets.
func (s *session) editHeader(m *mail.Message, h mail.Header, d align.Decision, c rewrite.Controls) {
	edits := &m.Detail.Header
	edits.Remove = append(edits.Remove, "Bcc", "Return-Path")
	edits.Remove = append(edits.Remove, d.Remove...)
	edits.Remove = append(edits.Remove, c.Remove...)
	add := []string{s.received(m)}
	if !h.Has("Date") {
		add = append(add, "Date: "+m.Received.Format(time.RFC1123Z))
	}
	if !h.Has("Message-ID") {
		add = append(add, "Message-ID: "+m.MessageID)
	}
	if d.AddFrom != "" {
		add = append(add, d.AddFrom)
	}
	if !h.Has("MIME-Version") && (hasContentField(h) || len(m.Detail.Parts) > 0) {
		add = append(add, "MIME-Version: 1.0")
	}
	edits.Add = append(add, edits.Add...)
}

// report logs and counts a message that was taken.
func (s *session) report(m *mail.Message) {
	log := s.server.log.With("msg", m.ID.String(), "account", m.Account)
	log.Info("accepted", "provider", m.Provider, "from", m.HeaderFrom, "rcpts", len(m.Recipients), "size", m.Size, "tracked", m.Tracked)
	if a := m.Detail.Alignment; a.Action == mail.ActionWarned {
		log.Warn("sender is not one of the provider's", "provider", m.Provider, "from", a.From, "mail_from", m.MailFrom)
	}
	s.server.metrics.octets.Add(float64(m.Size))
	if !m.Tracked {
		s.server.metrics.untracked.WithLabelValues(m.Reason).Inc()
	}
	for _, q := range m.Detail.Quirks {
		s.server.metrics.quirks.WithLabelValues(q).Inc()
	}
}

// reject logs and counts a message that was not, and returns the reply.
func (s *session) reject(err error) error {
	r := asReply(err)
	s.server.metrics.refused(err)
	attrs := []any{"account", s.tx.account.name, "addr", s.peer.addr.String(), "mail_from", s.tx.from, "reply", r.Message}
	if ours(err) {
		s.server.log.Error("message not taken", append(attrs, "err", err)...)
	} else {
		s.server.log.Info("message refused", attrs...)
	}
	return r
}
