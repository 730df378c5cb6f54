package config

// pending lists the keys that are read and checked but not acted on yet: * is
// any name or number, and unless the one value that asks for nothing. A row
// goes when its key takes effect.
var pending = []struct{ key, unless string }{
	{"tracking.cert", ""},
	{"tracking.key", ""},
}

// Pending returns the keys that were given and have no effect in this version.
func (c *Config) Pending() []Problem {
	var found Errors
	for _, at := range c.set {
		for _, row := range pending {
			if at.shape == row.key && (row.unless == "" || at.word != row.unless) {
				found = append(found, at.problem("has no effect in this version"))
			}
		}
	}
	return found.Sorted()
}
