package rewrite

import "strings"

// optOutSelector finds the elements whose attributes keep trackers off, for
// themselves and for what they hold: ours, and those of the services that
// people come from.
const optOutSelector = `[data-track="false" i], [data-track="off" i], [data-track="no" i], [data-track="0"],
	[data-no-track]:not([data-no-track="false" i]),
	[clicktracking="off" i], [clicktracking="false" i],
	[disable-tracking]:not([disable-tracking="false" i]),
	[data-pm-no-track], [ses\:no-track], [data-msys-clicktrack="0"], [mc\:disable-tracking]:not([mc\:disable-tracking="false" i])`

// isOptOut reports whether an attribute is to leave the message, name in lower
// case: one that means nothing to mail readers, whatever its value, or
// data-track, which pages use for other things, where it opts out. foreign
// ones may be for the tracker of the provider.
func isOptOut(name, value string) (foreign, found bool) {
	switch name {
	case "data-track":
		switch strings.ToLower(value) {
		case "false", "off", "no", "0":
			return false, true
		}
	case "data-no-track":
		return false, true
	case "clicktracking", "disable-tracking", "data-pm-no-track", "ses:no-track", "data-msys-clicktrack", "mc:disable-tracking":
		return true, true
	}
	return false, false
}
