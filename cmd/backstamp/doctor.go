package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/relay/provider/catalogue"
	"backstamp/relay/sender"
	"backstamp/web"
)

func (p *program) doctorCommand() *cobra.Command {
	c := p.jsonFlag(&cobra.Command{
		Use: "doctor", Short: "Examine the providers without sending, the tracking URL, clock, disk and permissions", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, h, err := p.tryHouse()
			if err != nil {
				return err
			}
			defer h.close()
			return p.report(p.examine(c.Context(), conf, h.providers))
		},
	})
	c.AddCommand(p.jsonFlag(&cobra.Command{
		Use: "sender ADDR", Short: "Ask DNS what recipients will conclude of mail from an address", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.doctorSender(c.Context(), args[0]) },
	}))
	return c
}

// The states of a symptom, from the best to the worst. The strings are API.
const (
	fine    = "ok"
	doubted = "warn"
	bad     = "fail"
)

// A symptom is what doctor says about one thing.
type symptom struct {
	check   string // what was looked at: provider, clock, …
	subject string // which one
	state   string
	text    string
	explain *mail.Explain // nil where nothing needs to be done
	took    time.Duration
	steps   []provider.Step // of a provider
	outlook *sender.Outlook // for recipients
}

// because gives a symptom that is not fine the words of the catalogue.
func (f symptom) because(state, id string) symptom {
	f.state, f.explain = state, &mail.Explain{ID: "doctor." + id}
	return f
}

// examine looks at everything; the providers side by side, since each may take
// its time.
func (p *program) examine(ctx context.Context, conf *config.Config, providers []provider.Settings) []symptom {
	greeted := make([]symptom, len(providers))
	var tracking symptom
	var asking sync.WaitGroup
	for i, s := range providers {
		asking.Go(func() { greeted[i] = greet(ctx, s) })
	}
	asking.Go(func() { tracking = p.examineTracking(ctx, conf, providers) })
	asking.Wait()

	var all []symptom
	for i, s := range providers {
		all = append(all, greeted[i])
		if stays := s.Data().TrackingStays.Is; stays != "" && conf.Tracking.Privacy != "off" {
			all = append(all, symptom{check: "double-tracking", subject: s.Name, text: stays}.because(doubted, "double-tracking"))
		}
	}
	all = append(all, tracking, p.examineClock(conf.DataDir), examineDisk(conf.DataDir, space))
	return append(all, p.examinePermissions(conf)...)
}

// greet tries a provider without sending.
func greet(ctx context.Context, s provider.Settings) symptom {
	f := symptom{check: "provider", subject: s.Name, state: fine}
	var times []string
	err := provider.Greet(ctx, s, func(st provider.Step) {
		f.steps = append(f.steps, st)
		f.took += st.Duration
		if st.Err == nil && st.Skipped == "" {
			times = append(times, fmt.Sprintf("%s %d ms", st.Name, st.Duration.Milliseconds()))
		}
	})
	f.text = cmp.Or(strings.Join(times, ", "), f.steps[0].Skipped)
	if err != nil {
		f.state, f.text, f.explain = bad, err.Error(), explained(err)
	}
	return f
}

// A symptomRow is a symptom as JSON.
type symptomRow struct {
	Check   string          `json:"check"`
	Subject string          `json:"subject"`
	State   string          `json:"state"`
	Text    string          `json:"text"`
	Explain *web.ExplainRow `json:"explain"`
	Ms      int64           `json:"ms"`
	Steps   []stepRow       `json:"steps,omitempty"`
	*outlookRow
}

// foundMax is how much is shown of what a server or DNS said, in columns.
const foundMax = 500

// report prints what was found; how bad it is, is in the exit code.
func (p *program) report(all []symptom) error {
	t := p.table("STATE", "CHECK", "SUBJECT", "FOUND")
	for _, f := range all {
		if p.json {
			if err := writeLine(p.out, p.symptomRow(f)); err != nil {
				return err
			}
			continue
		}
		if f.check != toPublish {
			t.row(f.state, f.check, f.subject, clip(f.text, foundMax))
		}
	}
	if err := t.fold(terminal).flush(p.out); err != nil {
		return err
	}
	if !p.json {
		p.showRecords(all)
		p.explainAll(all)
	}
	return verdict(all)
}

// showRecords prints what is to be published, each on a line to be copied.
func (p *program) showRecords(all []symptom) {
	for _, f := range all {
		if f.check == toPublish {
			fmt.Fprintf(p.out, "\n%s %s TXT\n  %s\n", f.check, mail.Escape(f.subject), mail.Escape(f.text))
		}
	}
}

// explainAll says what the symptoms mean, what several have in common once.
func (p *program) explainAll(all []symptom) {
	about := map[string][]string{}
	for _, f := range all {
		if f.explain != nil {
			about[f.explain.ID] = append(about[f.explain.ID], f.check+" "+f.subject)
		}
	}
	for _, f := range all {
		if f.explain != nil && len(about[f.explain.ID]) > 0 {
			p.explain(strings.Join(about[f.explain.ID], ", "), catalogue.Shown(f.explain, p.language()))
			delete(about, f.explain.ID)
		}
	}
}

func (p *program) symptomRow(f symptom) symptomRow {
	row := symptomRow{Check: f.check, Subject: mail.Escape(f.subject), State: f.state, Text: mail.Escape(f.text), Explain: web.NewExplainRow(f.explain, p.language()), Ms: f.took.Milliseconds()}
	for _, s := range f.steps {
		row.Steps = append(row.Steps, p.stepRow(s, false))
	}
	if f.outlook != nil {
		row.outlookRow = newOutlookRow(*f.outlook)
	}
	return row
}

// verdict is how doctor ends: failed, degraded where there are only doubts, or
// done.
func verdict(all []symptom) error {
	code := exitDone
	for _, f := range all {
		switch f.state {
		case bad:
			return &exitError{code: exitFailed}
		case doubted:
			code = exitDegraded
		}
	}
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}
