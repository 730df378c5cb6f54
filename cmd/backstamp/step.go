package main

import (
	"fmt"
	"time"

	"backstamp/mail"
	"backstamp/relay/provider"
)

// A stepRow is one step of test, as JSON.
type stepRow struct {
	Step       string   `json:"step"`
	OK         bool     `json:"ok"`
	Skipped    *string  `json:"skipped"`
	Seconds    float64  `json:"seconds"`
	Reply      *string  `json:"reply"`
	Error      *string  `json:"error"`
	Transcript []string `json:"transcript,omitempty"`
}

func newStepRow(s provider.Step, transcript bool) stepRow {
	row := stepRow{Step: s.Name, OK: s.Err == nil, Skipped: textOrNull(s.Skipped), Seconds: s.Duration.Seconds(), Reply: textOrNull(s.Reply)}
	if s.Err != nil {
		row.Error = textOrNull(s.Err.Error())
	}
	if transcript {
		row.Transcript = s.Transcript
	}
	return row
}

func (p *program) printStep(s provider.Step, transcript bool) {
	verdict := "ok"
	switch {
	case s.Err != nil:
		verdict = "failed: " + s.Err.Error()
	case s.Skipped != "":
		verdict = "skipped: " + s.Skipped
	}
	fmt.Fprintf(p.out, "%-5s %8s  %s\n", s.Name, s.Duration.Round(100*time.Microsecond), mail.Escape(verdict))
	if transcript {
		for _, line := range s.Transcript {
			fmt.Fprintf(p.out, "        %s\n", mail.Escape(line))
		}
	}
}
