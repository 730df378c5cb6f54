package main

import "testing"

func TestPrivate(t *testing.T) {
	for base, want := range map[string]bool{
		"http://localhost:8080": true, "http://localhost.": true, "http://LOCALHOST": true, "https://shop.localhost:1": true, "https://a.b.localhost.": true,
		"http://127.0.0.1": true, "http://[::1]:8080": true, "http://10.1.2.3": true, "http://[::ffff:192.168.0.1]": true, "http://0.0.0.0": true, "http://169.254.1.1": true,
		"https://track.example.com": false, "https://localhost.example.com": false, "https://notlocalhost": false, "http://203.0.113.7": false,
	} {
		if private(base) != want {
			t.Errorf("%s: %v, want %v", base, !want, want)
		}
	}
}
