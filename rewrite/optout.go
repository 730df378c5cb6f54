package rewrite

import "strings"

// optsOut reports whether an attribute, its name in lower case, keeps trackers
// off its element and what that holds: ours, and those of the services that
// people come from.
func optsOut(name, value string) bool {
	switch name {
	case "data-track":
		return isNo(value)
	case "clicktracking":
		return strings.EqualFold(value, "off") || strings.EqualFold(value, "false")
	case "data-no-track", "disable-tracking", "mc:disable-tracking":
		return !strings.EqualFold(value, "false")
	case "data-pm-no-track", "ses:no-track":
		return true
	case "data-msys-clicktrack":
		return value == "0"
	}
	return false
}

func isNo(value string) bool {
	switch strings.ToLower(value) {
	case "false", "off", "no", "0":
		return true
	}
	return false
}

// isOptOut reports whether an attribute is to leave the message, name in lower
// case: one that speaks to trackers alone, whatever its value and even where it
// holds nothing back, or data-track, which pages use for other things, where it
// opts out. foreign ones may be for the tracker of the provider.
func isOptOut(name, value string) (foreign, found bool) {
	switch name {
	case "data-track":
		return false, isNo(value)
	case "data-no-track":
		return false, true
	case "clicktracking", "disable-tracking", "data-pm-no-track", "ses:no-track", "ses:tags", "data-msys-clicktrack", "mc:disable-tracking":
		return true, true
	}
	return false, false
}
