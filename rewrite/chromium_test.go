package rewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/text/encoding/simplifiedchinese"

	"backstamp/internal/damage"
	"backstamp/internal/mailtest"
)

// A view is a page before and after, for a browser to look at.
type view struct {
	name          string
	charset       string
	before, after []byte
}

// newView makes a view of an edit. Mail clients read ISO-2022-KR and HZ, which
// browsers do not: those pages are shown in a charset of the same letters.
func newView(name string, e damage.Edit) view {
	w := view{name, strings.ToLower(e.Part.Charset()), e.Before, e.After}
	switch w.charset {
	case "iso-2022-kr":
		w.charset, w.before, w.after = "euc-kr", unshift(w.before), unshift(w.after)
	case "hz-gb-2312":
		hz := simplifiedchinese.HZGB2312.NewDecoder()
		w.before, _ = hz.Bytes(w.before)
		w.after, _ = hz.Bytes(w.after)
		w.charset = "utf-8"
	}
	return w
}

// unshift writes ISO-2022-KR (RFC 1557) as EUC-KR.
func unshift(text []byte) (out []byte) {
	high := byte(0)
	for _, c := range bytes.ReplaceAll(text, []byte("\x1b$)C"), nil) {
		switch c {
		case 0x0e:
			high = 0x80
		case 0x0f:
			high = 0
		default:
			out = append(out, c|high)
		}
	}
	return out
}

var pixel = regexp.MustCompile(`<img src="` + base + `/o/[^<>]*>`)

// serve answers with one side, in a way that lets no script run.
func (v view) serve(w http.ResponseWriter, r *http.Request, side string) {
	page, ok := map[string][]byte{"before": v.before, "after": v.after, "bare": pixel.ReplaceAll(v.after, nil)}[side]
	if !ok {
		http.NotFound(w, r)
		return
	}
	media := "text/html"
	if v.charset != "" {
		media += "; charset=" + v.charset
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'")
	w.Write(page)
}

// A browser shows views at 640 pixels, without scripts, images and network, as
// a mail client does. It asks for /N/before, /N/after and /N/bare, which is
// after without its pixel.
type browser struct {
	ctx  context.Context
	site string
}

func newBrowser(t *testing.T, views []view) browser {
	t.Helper()
	chromium := mailtest.Tool(t, "chromium")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, side, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
		i, err := strconv.Atoi(n)
		if err != nil || i >= len(views) {
			http.NotFound(w, r)
			return
		}
		views[i].serve(w, r, side)
	}))
	t.Cleanup(site.Close)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("blink-settings", "imagesEnabled=false"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return browser{ctx, site.URL}
}

// A sight is what the browser makes of a page.
type sight struct {
	picture []byte
	links   []string
	text    string
}

func (b browser) look(ctx context.Context, page string) (s sight, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(b.site+page)); err != nil {
		return s, err
	}
	if s.links, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](`Array.from(document.links, a => a.href)`)); err != nil {
		return s, err
	}
	if s.text, err = chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`)); err != nil {
		return s, err
	}
	s.picture, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	return s, err
}

// normal has the browser write addresses as it writes those of links.
func (b browser) normal(ctx context.Context, urls []string) ([]string, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf(`%q.split("\n").map(u => { try { return new URL(u, document.baseURI).href } catch { return u } })`, strings.Join(urls, "\n"))))
}

// each has tabs look at all views, two at a time.
func (b browser) each(t *testing.T, views []view, f func(ctx context.Context, i int)) {
	t.Helper()
	var next sync.Mutex
	todo := 0
	var tabs sync.WaitGroup
	for range 2 {
		tabs.Go(func() {
			ctx, cancel := chromedp.NewContext(b.ctx)
			defer cancel()
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(640, 800)); err != nil { // makes the tab
				t.Error(err)
			}
			for {
				next.Lock()
				i := todo
				todo++
				next.Unlock()
				if i >= len(views) {
					return
				}
				f(ctx, i)
			}
		})
	}
	tabs.Wait()
}

// pageViews are views of the pages of the corpus: of all where
// BACKSTAMP_TEST_BROWSER is all, else of one in four.
func pageViews(t *testing.T, v prover) (views []view) {
	t.Helper()
	messages := corpus(t, "mail")
	if os.Getenv("BACKSTAMP_CORPUS") != "" {
		for _, f := range pageFiles(t) {
			messages = append(messages, file{f.name, damage.Mail(f.content, "utf-8", "quoted-printable")})
		}
	}
	for _, f := range messages {
		p, err := v.prove(damage.Wire(f.content))
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		for i, e := range p.seen.Edited {
			views = append(views, newView(fmt.Sprintf("%s, page %d", f.name, i+1), e))
		}
	}
	if os.Getenv("BACKSTAMP_TEST_BROWSER") == "all" {
		return views
	}
	n := 0
	return slices.DeleteFunc(views, func(view) bool { n++; return len(views) > 100 && n%4 != 0 })
}

// pixelLine is how much higher, in dots, the pixel itself may make a page, below
// all that it shows.
const pixelLine = 1

// TestChromium has a real browser show pages before and after. Without the
// pixel they must look the same to the last dot; with it they may become
// higher, below all they show. The text is the same, and so are the links:
// those that were there, in their order, leading where they led.
func TestChromium(t *testing.T) {
	v := newProver(t)
	views := pageViews(t, v)
	b := newBrowser(t, views)
	start := time.Now()
	var mu sync.Mutex
	counts, links := map[string]int{}, 0
	b.each(t, views, func(ctx context.Context, i int) {
		kind, n, err := b.watch(ctx, v, i, views[i])
		mu.Lock()
		defer mu.Unlock()
		counts[kind]++
		links += n
		if err != nil {
			t.Errorf("%s: %v", views[i].name, err)
		}
	})
	t.Logf("%d pages in %v: %v; %d links", len(views), time.Since(start).Round(time.Second), counts, links)
}

// watch looks at one view. kind says how the two sides compare.
func (b browser) watch(ctx context.Context, v prover, i int, w view) (kind string, links int, err error) {
	var sights [3]sight
	for side, name := range []string{"before", "after"} {
		if sights[side], err = b.look(ctx, fmt.Sprintf("/%d/%s", i, name)); err != nil {
			return "error", 0, err
		}
	}
	before, after := sights[0], sights[1]
	if words(before.text) != words(after.text) {
		return "error", 0, fmt.Errorf("text %q became %q", before.text, after.text)
	}
	if err := b.sameLinks(ctx, v, w, before.links, after.links); err != nil {
		return "error", 0, err
	}
	if bytes.Equal(before.picture, after.picture) {
		return "same", len(after.links), nil
	}
	bare, err := b.look(ctx, fmt.Sprintf("/%d/bare", i))
	if err != nil {
		return "error", 0, err
	}
	grown, where, err := difference(before.picture, bare.picture)
	if err != nil || grown != 0 || where != "" {
		return "error", 0, fmt.Errorf("without the pixel: %d higher, %s, %v", grown, where, err)
	}
	grown, where, err = difference(before.picture, after.picture)
	if err == nil && (where != "" || grown <= 0 || grown > pixelLine) {
		err = fmt.Errorf("%d higher, %s", grown, where)
	}
	if err != nil {
		return "error", 0, err
	}
	return "same but for the pixel's line at the end", len(after.links), nil
}

// words is text with its blanks run together: one before the pixel, which
// ended a line, shows.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// sameLinks compares the links that the browser finds before and after with
// each other and with those that a tokenizer finds.
func (b browser) sameLinks(ctx context.Context, v prover, w view, before, after []string) error {
	var expected, tracked []string
	for _, h := range damage.Hrefs(w.after) {
		if to, ours := v.destination(strings.Trim(h.URL, " ")); ours && !h.Hidden {
			expected = append(expected, to)
		}
	}
	for i, url := range after {
		after[i] = strings.Replace(url, "/after", "/before", 1)
		if to, ours := v.destination(url); ours {
			after[i] = to
			tracked = append(tracked, to)
		}
	}
	for i, url := range before {
		before[i] = strings.Replace(url, "+notrack://", "://", 1)
	}
	was, err := b.normal(ctx, before)
	if err != nil {
		return err
	}
	is, err := b.normal(ctx, after)
	switch {
	case err != nil:
		return err
	case !slices.Equal(was, is):
		return fmt.Errorf("links %q became %q", was, is)
	case !slices.Equal(tracked, expected):
		return fmt.Errorf("the browser finds %q tracked, want %q", tracked, expected)
	}
	return nil
}

// difference says by how much a page grew, and where above its old end it
// shows something else; "" for nowhere.
func difference(before, after []byte) (grown int, where string, err error) {
	x, err := png.Decode(bytes.NewReader(before))
	if err != nil {
		return 0, "", err
	}
	y, err := png.Decode(bytes.NewReader(after))
	if err != nil {
		return 0, "", err
	}
	for at := range points(x.Bounds().Intersect(y.Bounds())) {
		if x.At(at.X, at.Y) != y.At(at.X, at.Y) {
			where = fmt.Sprintf("at %v %v became %v", at, x.At(at.X, at.Y), y.At(at.X, at.Y))
			break
		}
	}
	return y.Bounds().Dy() - x.Bounds().Dy(), where, nil
}

func points(r image.Rectangle) iter.Seq[image.Point] {
	return func(yield func(image.Point) bool) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if !yield(image.Pt(x, y)) {
					return
				}
			}
		}
	}
}
