package rewrite

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"

	"backstamp/mail"
)

// Controls is what the app asked for in header fields. Opens and Clicks are
// nil where no field speaks of them, false where at least one says no: the
// most restrictive wins, and so does the configuration where it says no.
type Controls struct {
	Opens, Clicks *bool
	PixelTop      *bool // the pixel goes to the top of the body, or not; nil where no field says
	Tag           string
	Meta          map[string]string // names in lower case; nil where there are none
	Remove        []string          // names of the fields that must not leave the relay
}

// Bounds of the metadata that one message may carry.
const (
	maxMeta      = 50
	maxMetaValue = 1000 // bytes
)

// ReadControls reads the control fields of Backstamp and, as aliases, those of
// the services that apps were written for. With keepProvider the fields of
// providers stay in the message; ours never do.
func ReadControls(h mail.Header, keepProvider bool) Controls {
	c := Controls{}
	tags, seen := map[string]string{}, map[string]bool{}
	for _, f := range h {
		name := strings.ToLower(f.Name)
		c.read(name, f.Value())
		if slices.Contains(tagFields, name) && tags[name] == "" {
			tags[name] = decodeWords(f.Value())
		}
		if !seen[name] && (isControl(name) || !keepProvider && isProviderField(name)) {
			seen[name] = true
			c.Remove = append(c.Remove, f.Name)
		}
	}
	for _, name := range tagFields {
		if c.Tag == "" {
			c.Tag = tags[name]
		}
	}
	return c
}

// tagFields are the fields that hold a tag, ours first.
var tagFields = []string{"x-track-tag", "x-postal-tag", "x-pm-tag", "x-mailgun-tag", "x-mc-tags"}

// controlPrefixes begin the names of fields for relays like this one.
var controlPrefixes = []string{"x-track-", "x-postal-", "x-cuttlefish-", "x-ee-"}

// providerPrefixes begin the names of fields that steer a provider: some of
// them can even add recipients.
var providerPrefixes = []string{
	"x-smtpapi", "x-msys-api", "x-mc-", "x-mailgun-", "x-pm-", "x-mailjet-", "x-mj-", "x-ses-", "x-mailin-", "x-sib-",
}

func isControl(name string) bool {
	switch name {
	case "x-track", "x-amp", "x-no-track", "x-sending-zone":
		return true
	}
	return hasPrefix(name, controlPrefixes)
}

func isProviderField(name string) bool { return hasPrefix(name, providerPrefixes) }

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// read takes in one field, its name in lower case.
func (c *Controls) read(name, value string) {
	word := strings.ToLower(strings.TrimSpace(value))
	switch name {
	case "x-track":
		c.readTrack(word)
	case "x-no-track": // says it by being there; its value may be random
		c.ask(false, &c.Opens, &c.Clicks)
	case "x-amp":
		if word == "skip" {
			c.ask(false, &c.Opens, &c.Clicks)
		}
	case "x-ee-tracking-enabled", "x-mailgun-track":
		c.ask(isYes(word), &c.Opens, &c.Clicks)
	case "x-mailgun-track-opens", "x-pm-trackopens", "x-mailjet-trackopen":
		c.ask(isYes(word), &c.Opens)
	case "x-mailgun-track-clicks", "x-mailjet-trackclick":
		c.ask(isYes(word), &c.Clicks)
	case "x-mailgun-track-pixel-location-top":
		c.ask(isYes(word), &c.PixelTop)
	case "x-pm-tracklinks":
		c.ask(word == "htmlandtext" || word == "htmlonly", &c.Clicks)
	case "x-mc-track":
		list := strings.FieldsFunc(word, func(r rune) bool { return r == ',' || r == ' ' })
		c.ask(slices.Contains(list, "opens"), &c.Opens)
		c.ask(slices.ContainsFunc(list, func(s string) bool { return s == "clicks" || s == "clicks_all" || s == "clicks_htmlonly" }), &c.Clicks)
	case "x-smtpapi", "x-msys-api":
		c.readJSON(decodeWords(value))
	}
	for _, prefix := range []string{"x-track-meta-", "x-cuttlefish-metadata-"} {
		if key, found := strings.CutPrefix(name, prefix); found && key != "" {
			c.setMeta(key, value)
		}
	}
}

// readTrack reads our own field. A wish that cannot be read is taken for off.
func (c *Controls) readTrack(word string) {
	both := word == "both" || isYes(word)
	c.ask(both || word == "opens", &c.Opens)
	c.ask(both || word == "clicks", &c.Clicks)
}

// ask notes a wish; a no that is there already stays.
func (c *Controls) ask(want bool, about ...**bool) {
	for _, a := range about {
		if *a == nil || !want {
			*a = &want
		}
	}
}

// isYes knows the words for yes, Mailgun's "htmlonly" among them.
func isYes(word string) bool {
	switch word {
	case "yes", "true", "on", "1", "htmlonly":
		return true
	}
	return false
}

// readJSON reads what SendGrid and SparkPost take as JSON. Whatever else in it
// has an odd type, a no that can be found counts.
func (c *Controls) readJSON(value string) {
	type filter struct {
		Settings struct{ Enable any }
	}
	var api struct {
		Filters struct{ OpenTrack, ClickTrack filter }
		Options struct {
			Open  any `json:"open_tracking"`
			Click any `json:"click_tracking"`
		}
	}
	json.Unmarshal([]byte(value), &api) // skips what does not fit
	c.askJSON(api.Filters.OpenTrack.Settings.Enable, &c.Opens)
	c.askJSON(api.Filters.ClickTrack.Settings.Enable, &c.Clicks)
	c.askJSON(api.Options.Open, &c.Opens)
	c.askJSON(api.Options.Click, &c.Clicks)
}

// askJSON notes a wish that may be a number, a word or a boolean; nil is none.
func (c *Controls) askJSON(v any, about **bool) {
	if v != nil {
		c.ask(isYes(strings.ToLower(fmt.Sprint(v))), about)
	}
}

func (c *Controls) setMeta(key, value string) {
	if c.Meta == nil {
		c.Meta = map[string]string{}
	}
	if _, twice := c.Meta[key]; !twice && len(c.Meta) < maxMeta {
		c.Meta[key] = shorten(decodeWords(value), maxMetaValue)
	}
}

// decodeWords undoes encoded words (RFC 2047) where it can.
func decodeWords(s string) string {
	d, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(d, "\uFFFD")
}
