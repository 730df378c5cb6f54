package rewrite

import (
	"regexp"
	"strings"
)

// isPlaceholder reports what a template engine left in: the URL is not one yet
// or is the provider's to fill in. Single braces, brackets, percent and dollar
// signs occur in URLs and count only where they are the whole of it.
func isPlaceholder(href string) bool {
	if href == "" {
		return false
	}
	return strings.IndexByte("%[-{$_~<", href[0]) >= 0 && wholePlaceholder.MatchString(href) ||
		holds(href, &markBytes) && (hasOddPercent(href) || markWords.in(href) != 0) && leftIn.MatchString(href)
}

// wholePlaceholder matches %name%, [name], -name-, {name}, $name$, __name__,
// ~name~ and <name> where that begins the address or is all of it.
var wholePlaceholder = regexp.MustCompile(`^%[A-Za-z_][\w.-]*%|^\[[A-Za-z_][\w.: -]*\]$|^-[A-Za-z_]\w*-$|^\{[A-Za-z_][\w.:= -]*\}|^\$[A-Za-z_]\w*\$|^__\w+__$|^~[A-Za-z_][\w.]*~$|^<[A-Za-z_]`)

// markWords begin what leftIn matches.
var markWords = newWords("{{", "{%", "{$", "{!", "{#", "${", "$!{", "#{", "$[", "[$", "$%", "<%", "<?", "<#", "*|", "[[", "[%", "##",
	"%7b%7b", "%7b%25", "%24%7b", "%23%7b", "%5b%5b", "%3c%25", "*%7c")

// markBytes begin the marks.
var markBytes = byteSet("{$#[<*%")

// leftIn matches, in this order, the forms of Mustache, Handlebars and
// Liquid; Smarty, Salesforce, JSP and Ruby; Korean tools and Zoho; ERB, ASP,
// PHP and Mailchimp; double brackets and hashes round a name; AMPscript and
// others between percent signs; the first ones encoded. A percent sign that
// encodes a byte begins none of them: {%22id%22:1} is JSON.
var leftIn = regexp.MustCompile(`(?i)\{\{|[{[]%(?:[^0-9a-f]|[0-9a-f][^0-9a-f])|` +
	`\{\$|\{!|\{#|\$!?\{|#\{|` +
	`\[\$[\w.]+\$\]|\$\[[^\]]+\]\$|\$%[a-z_]\w*%\$|` +
	`<%|<\?|<#|\*\||` +
	`\[\[ *[a-z_$!@%~]|##[a-z_]\w*##|` +
	`%%[=\[ ]*[a-z_]|%(?:[g-z_]|[a-f][g-z_])[\w.-]*%(?:[^0-9a-f]|[0-9a-f][^0-9a-f]|.?$)|` +
	`%7B%7B|%7B%25|%24%7B|%23%7B|%5B%5B(?:%20)*[a-z_$]|%3C%25|\*%7C`)

// hasOddPercent reports a percent sign that encodes no byte.
func hasOddPercent(s string) bool {
	for i := strings.IndexByte(s, '%'); i >= 0 && i < len(s); i++ {
		if s[i] == '%' && (i+2 >= len(s) || unhex(s[i+1]) >= 16 || unhex(s[i+2]) >= 16) {
			return true
		}
	}
	return false
}

// holds reports whether a byte of s is in set.
func holds(s string, set *[256]bool) bool {
	for i := range len(s) {
		if set[s[i]] {
			return true
		}
	}
	return false
}
