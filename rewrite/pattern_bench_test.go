package rewrite

import "testing"

// ordinaryURL is one of 100 bytes, as newsletters have them.
const ordinaryURL = "https://shop.example.com/design/products/12345/offer?utm_source=mail&utm_campaign=winter-sale-2024&c=1"

func BenchmarkWords(b *testing.B) {
	w := newWords(append(append([]string{}, oneTime.words...), unsubscribeURL.words...)...)
	b.SetBytes(int64(len(ordinaryURL)))
	for b.Loop() {
		w.in(ordinaryURL)
	}
}
