package mail

import "fmt"

// A SettingError is one value of the configuration that a room refuses. Key is
// its dotted path from the root, such as accounts.shop.align; the one who read
// the file adds where it stands.
type SettingError struct {
	Key  string
	Text string // what is wrong; what was expected
}

// Error returns key and text.
func (e *SettingError) Error() string { return e.Key + ": " + e.Text }

// Settingf returns a SettingError.
func Settingf(key, format string, args ...any) error {
	return &SettingError{Key: key, Text: fmt.Sprintf(format, args...)}
}
