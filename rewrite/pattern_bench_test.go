package rewrite

import "testing"

// ordinaryURL is one of 100 bytes, as newsletters have them.
const ordinaryURL = "https://shop.example.com/design/products/12345/offer?utm_source=mail&utm_campaign=winter-sale-2024&c=1"

func BenchmarkWords(b *testing.B) {
	b.SetBytes(int64(len(ordinaryURL)))
	for b.Loop() {
		urlWords.in(ordinaryURL)
	}
}

// BenchmarkLink takes all that is asked about an ordinary link.
func BenchmarkLink(b *testing.B) {
	r := newRewriter(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		dest, reason := destination(ordinaryURL, false, true)
		if isPlaceholder(ordinaryURL) || scheme(ordinaryURL) != "https" || r.isOurs(ordinaryURL) || urlReason(ordinaryURL) != "" ||
			isUnsubscribeText("Read the whole story") || isVague("Read the whole story") || reason != "" || r.clickLen(dest) > r.maxURL {
			b.Fatal("held back")
		}
	}
}
