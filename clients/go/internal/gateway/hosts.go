package gateway

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// allowsHost reports whether a Host header names this gateway; its port does not matter.
//
// A page whose own name was made to lead to this machine (DNS rebinding) is of the gateway's own origin to its browser,
// but names itself as Host. So only names that this gateway is known by are answered: those of this machine, the address
// that it listens on, and those of the settings. Addresses themselves cannot be rebound.
func (g *Gateway) allowsHost(host string) bool {
	name := hostName(strings.ToLower(strings.TrimSpace(host)))
	if slices.Contains(g.settings.Hosts, "*") || slices.Contains(g.settings.Hosts, name) ||
		name == "localhost" || strings.HasSuffix(name, ".localhost") || name == g.settings.Listen {
		return true
	}
	address, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	listened, err := netip.ParseAddr(g.settings.Listen)
	return address.IsLoopback() || err == nil && listened.IsUnspecified()
}

func hostName(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		return name
	}
	return strings.Trim(host, "[]")
}

// refuse answers a request that the gateway itself refuses, and says so in the logs: no server audits it.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	if auditedStatuses[p.status] != "" {
		slog.Warn("request refused", "method", r.Method, "path", shownPath(r),
			"peer", r.RemoteAddr, "reason", p.code, "status", p.status)
		if g.settings.Audit != nil {
			g.settings.Audit.refused(r, p)
		}
	}
	writeProblem(w, p)
}

func foreignHost(host string) *problem {
	return &problem{
		status: http.StatusForbidden, code: "HOST_NOT_ALLOWED",
		message: "this gateway is not known as " + host[:min(len(host), maxNameLength)] + ": the flag -allowed-hosts does not name it",
	}
}

// allowsOrigin reports whether pages of an origin may use the gateway.
func (g *Gateway) allowsOrigin(origin string) bool {
	for _, each := range g.settings.Origins {
		if each == "*" || each == origin || each == Loopback && isLoopbackOrigin(origin) {
			return true
		}
	}
	return false
}

func isLoopbackOrigin(origin string) bool {
	rest, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		if rest, ok = strings.CutPrefix(origin, "https://"); !ok {
			return false
		}
	}
	name := hostName(rest)
	address, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && address.IsLoopback()
}

func foreignOrigin(origin string) *problem {
	return &problem{
		status: http.StatusForbidden, code: "ORIGIN_NOT_ALLOWED",
		message: "pages of " + origin[:min(len(origin), maxNameLength)] + " may not use this gateway: the flag -cors does not allow it",
	}
}

// checkOrigin tells a browser what pages of other origins may do. It reports whether the request has been answered.
func (g *Gateway) checkOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin, header := r.Header.Get("Origin"), w.Header()
	all := slices.Contains(g.settings.Origins, "*")
	if !all {
		header.Add("Vary", "Origin")
	}
	if origin == "" || isOwnOrigin(origin, r) {
		return false
	}
	asks := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	harmless := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if !g.allowsOrigin(origin) {
		if asks || !harmless {
			g.refuse(w, r, foreignOrigin(origin))
			return true
		}
		return false
	}
	if all {
		origin = "*"
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
	if !asks {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET, POST, PUT")
	header.Set("Access-Control-Allow-Headers", strings.Join(
		append([]string{"Content-Type", "Last-Event-ID", "Cache-Control"}, g.settings.Forward...), ", "))
	header.Set("Access-Control-Max-Age", "600")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header.Set("Access-Control-Allow-Private-Network", "true") // a page that is allowed may reach this machine
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
