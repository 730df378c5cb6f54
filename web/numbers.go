package web

import (
	"cmp"
	"errors"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

const (
	numbersDays = 30   // shown unless the query says otherwise
	numbersMost = 3660 // whatever the query says
)

// A numberLine is what was counted of one day, or of one name in all the days
// that are shown.
type numberLine struct {
	Account, Name        string // one of them may be ""
	Messages, Recipients int
	mail.Sums
}

// Opened and Clicked are the hits of the line.
func (l numberLine) Opened() hits  { return hits{l.Opens, l.MachineOpens} }
func (l numberLine) Clicked() hits { return hits{l.Clicks, l.MachineClicks} }

func (l numberLine) plus(o numberLine) numberLine {
	l.Messages += o.Messages
	l.Recipients += o.Recipients
	l.Sums = l.Sums.Add(o.Sums, 1)
	return l
}

// A lineKey is whose line it is.
type lineKey struct{ name, account string }

// numbers are lines by their key.
type numbers map[lineKey]numberLine

func (n numbers) add(name, account string, u store.Usage) {
	k := lineKey{name, account}
	n[k] = numberLine{account, name, u.Messages, u.Recipients, u.Sums}.plus(n[k])
}

// lines returns the lines by name, then account.
func (n numbers) lines() []numberLine {
	lines := slices.Collect(maps.Values(n))
	slices.SortFunc(lines, func(a, b numberLine) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Account, b.Account))
	})
	return lines
}

// numbersPage shows what the latest days counted: by day, tag, account and
// provider. The store keeps these counters, so that no message is looked at.
func (h *Handler) numbersPage(r *http.Request) (any, error) {
	days, err := daysOf(r)
	if err != nil {
		return nil, err
	}
	data := struct {
		Days                               int
		Choices                            []int
		Total                              numberLine
		ByDay, Tags, Accounts, ByProviders []numberLine
		Damaged                            int
	}{Days: days, Choices: []int{1, 7, 30, 90, 365}}
	byDay, byTag, byAccount, byProvider := numbers{}, numbers{}, numbers{}, numbers{}
	each := func(rows iter.Seq2[store.Usage, error], add func(store.Usage)) error {
		first := h.now().UTC().AddDate(0, 0, 1-days).Format(time.DateOnly)
		for u, err := range rows {
			switch {
			case errors.Is(err, store.ErrCorrupt):
				data.Damaged++
				h.logError(r, err)
			case err != nil:
				return err
			case u.Day >= first:
				add(u)
			}
		}
		return nil
	}
	err = each(h.store.Usage(r.Context()), func(u store.Usage) {
		byDay.add(u.Day, "", u)
		byAccount.add("", u.Account, u)
		byProvider.add(providerName(u.Provider), u.Account, u)
	})
	if err == nil {
		err = each(h.store.Tags(r.Context()), func(u store.Usage) { byTag.add(u.Tag, u.Account, u) })
	}
	data.ByDay, data.Tags, data.Accounts, data.ByProviders = byDay.lines(), byTag.lines(), byAccount.lines(), byProvider.lines()
	slices.Reverse(data.ByDay) // newest first
	for _, l := range data.ByDay {
		data.Total = data.Total.plus(l)
	}
	return data, err
}

// daysOf returns how many days a request asks for, today being the last.
func daysOf(r *http.Request) (int, error) {
	if err := known(r, "days", "lang"); err != nil {
		return 0, err
	}
	text := r.URL.Query().Get("days")
	if text == "" {
		return numbersDays, nil
	}
	days, err := strconv.Atoi(text)
	if err != nil || days < 1 || days > numbersMost {
		return 0, badRequest("days %q is none; expected 1 to %d", text, numbersMost)
	}
	return days, nil
}
