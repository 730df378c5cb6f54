package main

import (
	"time"

	"backstamp/mail"
)

// What the tables show of the rows of the API.
type (
	messageView struct {
		ID         string
		Account    string
		Provider   string
		From       string
		MailFrom   string `json:"mail_from"`
		MessageID  string `json:"message_id"`
		Subject    string
		Size       int64
		Received   time.Time
		Tracked    bool
		Reason     string
		Expired    bool
		Deliveries []deliveryView
		Links      []linkView
		Events     []eventView
		Alignment  mail.Alignment
		Client     clientView
		Quirks     []string
		Growth     int64
		Notes      []string
		Meanings   map[string]string
		Transcript []string
	}
	deliveryView struct {
		ID            string
		Recipient     string
		Provider      string
		Status        string
		Reason        string
		Basis         string
		Attempts      int
		Uncertain     bool
		Reply         string
		NextAttempt   time.Time `json:"next_attempt"`
		Explain       *mail.Explain
		Notice        string
		Opens         int
		Clicks        int
		MachineOpens  int `json:"machine_opens"`
		MachineClicks int `json:"machine_clicks"`
	}
	linkView struct {
		Index               int
		URL, Label, Tracked string
		Decision, Reason    string
		Clicks              int
		MachineClicks       int `json:"machine_clicks"`
	}
	eventView struct {
		Time                   time.Time
		Kind, Message          string
		Class, Rule, Recipient string
		OneOf                  int `json:"one_of"`
		Link                   int
		IP                     string
		UserAgent              string `json:"user_agent"`
		Basis                  string
		Count                  int
		Text                   string
	}
	clientView struct {
		Address, Name, Helo, User, TLS string
	}
	visitorView struct {
		clientView
		Listener              string
		FirstSeen             time.Time `json:"first_seen"`
		LastSeen              time.Time `json:"last_seen"`
		Connections, Messages int
		Refused               int
		Refusal               string
		Quirks                map[string]int
	}
	statusView struct {
		Account, Provider, Preset string
		State, Reason             string
		Until                     time.Time
		SentToday                 int `json:"sent_today"`
		Limit                     int
		LastError                 string `json:"last_error"`
		Explain                   *mail.Explain
	}
	usageView struct {
		Account, Provider, Tag, Day string
		Messages, Recipients        int
		Opens, Clicks               int
		MachineOpens                int `json:"machine_opens"`
		MachineClicks               int `json:"machine_clicks"`
		UniqueOpens                 int `json:"unique_opens"`
		UniqueClicks                int `json:"unique_clicks"`
	}
)
