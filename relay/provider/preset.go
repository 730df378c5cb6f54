package provider

import (
	"slices"
	"strings"

	"backstamp/mail"
)

// Presets returns the names of the presets of this version.
func Presets() []string { return []string{"generic", "capture"} }

// planned returns the names that the configuration knows already.
func planned() []string {
	return []string{
		"gmail", "gworkspace", "gworkspace-relay", "outlook", "microsoft365", "ses", "sendgrid",
		"zoho", "yahoo", "mailgun", "postmark", "brevo", "mailjet", "sparkpost", "mandrill",
		"fastmail", "icloud", "naver", "daum", "kakao", "naverworks", "nhncloud",
	}
}

func (s Settings) checkPreset() error {
	key, here := s.Key+".preset", strings.Join(Presets(), " or ")
	switch {
	case slices.Contains(Presets(), s.Preset):
		return nil
	case s.Preset == "":
		return mail.Settingf(key, "is missing; expected %s", here)
	case slices.Contains(planned(), s.Preset):
		return mail.Settingf(key, "preset %s is not available in this version; expected %s", s.Preset, here)
	}
	return mail.Settingf(key, "preset %q is unknown; did you mean %s?", s.Preset, nearest(s.Preset, append(Presets(), planned()...)))
}

// nearest returns the name that takes the fewest edits.
func nearest(word string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return distance(word, a) - distance(word, b) })
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
