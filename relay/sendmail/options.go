package sendmail

import (
	"slices"
	"strings"

	"backstamp/mail"
)

// A Mode is what a command line asks for.
type Mode int

// The modes. Deliver is what -bm is, and the default.
const (
	Deliver Mode = iota
	Speak        // -bs: SMTP on standard input and output
	List         // -bp, mailq
	Aliases      // -bi, newaliases
	Flush        // -q
	Help         // --help
)

// Options are a command line.
type Options struct {
	Mode       Mode
	FromHeader bool    // -t: To, Cc and Bcc name recipients as well
	Sender     *string // -f, -r: the envelope's sender, "" the null one; nil: not given
	Name       string  // -F: the display name of a From that is added
	KeepDots   bool    // -i, -oi: a line with one dot does not end the message
	Verbose    bool    // -v: say what becomes of it
	Spool      string  // -oQ: where mail is kept while the relay does not answer
	Recipients []string
	Wishes

	// These are options of backstamp, after two dashes; -C is --config.
	Config string
	Lang   string
	Sets   []string
	JSON   bool
}

// Wishes are what a sender wants to be told (RFC 3461 section 4), for all
// recipients alike.
type Wishes struct {
	Notify mail.Notify `json:"notify,omitempty"` // -N
	Ret    string      `json:"ret,omitempty"`    // -R: FULL, HDRS or ""
	EnvID  string      `json:"envid,omitempty"`  // -V: comes back in what is told
}

// envIDMax is the longest ENVID (RFC 3461 section 5.4).
const envIDMax = 100

// withValue are the letters that take a value, which may follow at once or as
// the next argument. Those of sendmail and Postfix that change nothing here are
// read all the same.
const withValue = "ABCDFLNORVXbfhopr"

// alone are the letters that take none. -d, -e, -q and -Q may have theirs only
// at once.
const alone = "GIUcimnstvx"

// Parse reads the arguments of sendmail. What follows the first address, or --,
// is addresses alone, so that an address never becomes an option. Its errors
// are *Error.
func Parse(args []string) (Options, error) {
	var o Options
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			return o, o.operands(args)
		case arg[1] == '-':
			args, err = o.long(arg[2:], args)
		default:
			args, err = o.cluster(arg[1:], args)
		}
		if err != nil {
			return o, err
		}
	}
	return o, o.operands(args)
}

func (o *Options) operands(args []string) error {
	for _, arg := range args {
		list, err := addressList(arg)
		if err != nil {
			return errorf(ExDataErr, "recipient %q: %v", mail.Escape(arg), err)
		}
		o.Recipients = append(o.Recipients, list...)
	}
	return nil
}

// long reads an option of backstamp itself.
func (o *Options) long(text string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(text, "=")
	switch name {
	case "json":
		o.JSON = true
		return rest, nil
	case "help":
		o.Mode = Help
		return rest, nil
	case "config", "set", "lang":
	default:
		return nil, errorf(ExUsage, "unknown option --%s", mail.Escape(name))
	}
	if !given {
		if len(rest) == 0 {
			return nil, errorf(ExUsage, "--%s needs a value", name)
		}
		value, rest = rest[0], rest[1:]
	}
	switch name {
	case "config":
		o.Config = value
	case "lang":
		o.Lang = value
	case "set":
		o.Sets = append(o.Sets, value)
	}
	return rest, nil
}

// cluster reads the letters of one argument.
func (o *Options) cluster(letters string, rest []string) ([]string, error) {
	for i, c := range letters {
		after := letters[i+len(string(c)):]
		switch {
		case c == 'q':
			o.Mode = Flush
			return rest, nil
		case strings.ContainsRune("deQ", c): // errors are told by the exit code and standard error
			return rest, nil
		case strings.ContainsRune(alone, c):
			o.flag(c)
		case strings.ContainsRune(withValue, c):
			if after == "" {
				if len(rest) == 0 {
					return nil, errorf(ExUsage, "-%c needs a value", c)
				}
				after, rest = rest[0], rest[1:]
			}
			if c == 'O' || c == 'o' {
				return rest, o.setting(c, after)
			}
			return rest, o.value(c, after)
		default:
			return nil, errorf(ExUsage, "unknown option -%s", mail.Escape(string(c)))
		}
	}
	return rest, nil
}

func (o *Options) flag(c rune) {
	switch c {
	case 't':
		o.FromHeader = true
	case 'i':
		o.KeepDots = true
	case 'v':
		o.Verbose = true
	case 'I':
		o.Mode = Aliases
	}
}

// value takes the value of an option that has one.
func (o *Options) value(c rune, v string) error {
	switch c {
	case 'f', 'r':
		return o.sender(v)
	case 'F':
		o.Name = v
	case 'C':
		o.Config = v
	case 'b':
		return o.mode(v)
	case 'N':
		return o.notify(v)
	case 'R':
		o.Ret = strings.ToUpper(v)
		if !slices.Contains([]string{"FULL", "HDRS"}, o.Ret) {
			return errorf(ExUsage, "-R %q; expected full or hdrs", mail.Escape(v))
		}
	case 'V':
		o.EnvID = v
		if len(v) > envIDMax || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return errorf(ExUsage, "-V %q; expected at most %d octets of printable ASCII", mail.Escape(v), envIDMax)
		}
	}
	return nil
}

// notify takes a value of NOTIFY (RFC 3461 section 4.1).
func (o *Options) notify(v string) error {
	o.Notify = mail.Notify(strings.ToUpper(v))
	words := strings.Split(string(o.Notify), ",")
	for _, w := range words {
		known := slices.Contains([]string{mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay}, w)
		if !known && (w != mail.NotifyNever || len(words) > 1) {
			return errorf(ExUsage, "-N %q; expected never, or some of success, failure and delay", mail.Escape(v))
		}
	}
	return nil
}

func (o *Options) mode(v string) error {
	switch v {
	case "m":
		o.Mode = Deliver
	case "s":
		o.Mode = Speak
	case "p":
		o.Mode = List
	case "i":
		o.Mode = Aliases
	case "d", "D", "l":
		return errorf(ExUsage, "-b%s: the server is started with: backstamp serve", v)
	default:
		return errorf(ExUsage, "-b%s is not offered; expected -bm, -bs, -bp or -bi", mail.Escape(v))
	}
	return nil
}

func (o *Options) sender(v string) error {
	list, err := addressList(v)
	if len(list) > 1 {
		err = errorf(ExUsage, "more than one address")
	}
	if err != nil {
		return errorf(ExUsage, "sender %q: %v", mail.Escape(v), err)
	}
	from := ""
	if len(list) == 1 {
		from = list[0]
	}
	o.Sender = &from
	return nil
}

// setting takes -o, one letter and its value at once, or -O and a long name.
func (o *Options) setting(c rune, v string) error {
	if c == 'O' {
		name, value, _ := strings.Cut(v, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "queuedirectory":
			o.Spool = value
		case "ignoredots":
			o.KeepDots = value == "" || strings.EqualFold(value, "true")
		}
		return nil
	}
	if v == "i" {
		o.KeepDots = true
	}
	if dir, ok := strings.CutPrefix(v, "Q"); ok {
		o.Spool = dir
	}
	return nil
}
