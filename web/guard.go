package web

import (
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// onlyHosts refuses requests for names that are not ours (DNS rebinding):
// beside hosts, localhost, loopback addresses and the address that the
// connection came to are.
func onlyHosts(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		same := func(name string) bool { return strings.EqualFold(name, host) }
		if !same("localhost") && !slices.ContainsFunc(hosts, same) && !isOwnAddress(host, r) {
			writeText(w, http.StatusForbidden, "this address is not served under that name\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf takes the port and the brackets of an IPv6 address off a Host field.
func hostOf(field string) string {
	if host, _, err := net.SplitHostPort(field); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(field, "["), "]")
}

// isOwnAddress reports whether host is an address, not a name, of this
// machine: loopback, or where the connection came to.
func isOwnAddress(host string, r *http.Request) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip.IsLoopback() || local != nil && ip.Unmap() == local.AddrPort().Addr().Unmap()
}

// headers keeps browsers from running, framing or leaking anything of the page.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// password asks for the one password of the private side.
func password(want string, next http.Handler) http.Handler {
	if want == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, got, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="backstamp", charset="UTF-8"`)
			writeText(w, http.StatusUnauthorized, "password needed\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyJSON refuses what a form on any page could post. The private socket, out
// of reach of browsers, does without it.
func (h *Handler) onlyJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if r.Method == http.MethodPost && kind != "application/json" {
			h.problem(w, r, failure{http.StatusUnsupportedMediaType, "expected Content-Type: application/json"})
			return
		}
		next.ServeHTTP(w, r)
	})
}
