package sendmail

import "testing"

// pipe: Windows has none in directories.
func pipe(*testing.T, string) {}
