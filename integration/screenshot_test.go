//go:build integration && screenshot

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestScreenshot makes the picture of the documentation, for "make screenshot": Netdata's dashboard with the queue of a
// private Postfix that grew and shrank. It has an extra build tag because it tests nothing.
func TestScreenshot(t *testing.T) {
	const chromium = "/usr/bin/chromium"
	needNetdata(t)
	needFiles(t, "netdata-web", "/usr/share/netdata/web/index.html")
	needFiles(t, "chromium", chromium)
	picture := os.Getenv("SCREENSHOT")
	if picture == "" {
		t.Fatal("SCREENSHOT does not name the file to write")
	}
	p := startPostfix(t)
	deferOne(p)
	installEmitter(t)
	bind(t, filepath.Dir(netdataModule), netdataCharts)
	n := startNetdata(t, "charts.d", netdataPlugins, map[string]string{
		"charts.d/postfix_queue.conf": configureModule(t, "postfix_queue_update_every=1"),
	}, "[global]\n\thostname = mail.example.org\n")
	n.awaitQueue("local", p.list())
	from := time.Now()
	growAndShrink(p, func() { n.awaitQueue("local", p.list()) })

	// The path of a socket that the browser makes there must be short.
	const home = "/mnt"
	bind(t, ownedDir(t, "nobody"), home)
	// A time that is past: the charts stand still. The page has a virtual clock, which runs only while it is not
	// waiting for an answer.
	dashboard := fmt.Sprintf("http://%s/#menu_postfix_local;pan_and_zoom=true;after=%d;before=%d;theme=white",
		netdataAddress, from.UnixMilli(), time.Now().UnixMilli())
	browser := command{user: "nobody", env: []string{"HOME=" + home, "TMPDIR=" + home}}
	p.must(browser.run(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--window-size=1200,1530", "--virtual-time-budget=10000",
		"--screenshot="+home+"/picture.png", dashboard))
	content, err := os.ReadFile(home + "/picture.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// deferOne puts a message into the deferred queue.
func deferOne(p *postfixInstance) {
	p.t.Helper()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 30_000}))
}

// growAndShrink is a day of a small relay in a minute: a newsletter comes, some of it is put on hold, the rest goes,
// and other mail comes. It calls seen after each change.
func growAndShrink(p *postfixInstance, seen func()) {
	p.t.Helper()
	for _, more := range []int{2, 1, 3, 2, 30, 44, 31, 18, 9, 5, 2, 1} {
		p.fillQueue(more)
		seen()
	}
	p.hold(p.queueIDs("deferred")[:20]...)
	seen()
	for _, left := range []int{118, 104, 93, 85, 60, 41, 30, 22, 12, 0} {
		p.deleteMail(left)
		seen()
	}
	deferOne(p)
	seen()
	for _, more := range []int{3, 2, 14, 6, 1, 2} {
		p.fillQueue(more)
		seen()
	}
	p.postsuper("-d", "ALL", "hold")
	seen()
	for _, left := range []int{25, 14, 9, 6, 4} {
		p.deleteMail(left)
		seen()
	}
}
