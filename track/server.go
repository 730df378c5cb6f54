package track

import (
	"log/slog"
	"net/http"
	"time"
)

// headerMax admits the longest link, some 11 KiB of path, beside the cookies of
// a whole domain, which browsers send although nobody asked for them.
const headerMax = 64 << 10

// Server returns the server of the public listener, with every limit set. The
// caller gives it a net.Listener and ends it with Shutdown.
func Server(h *Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      h,
		Protocols:                    &protocols,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is none of our paths
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  15 * time.Second,
		WriteTimeout:                 15 * time.Second,
		IdleTimeout:                  time.Minute,
		MaxHeaderBytes:               headerMax,
		// What strangers do to a public port is no news to the operator.
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}
