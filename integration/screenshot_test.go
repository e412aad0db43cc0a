//go:build integration && screenshot

package integration

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	chromium    = "/usr/bin/chromium"
	screenshots = "SCREENSHOTS" // the variable that names the directory of the pictures
)

// TestScreenshot makes the pictures of the documentation, for "make screenshot": a page with the queue of a private
// Postfix that grew and shrank. It has an extra build tag because it tests nothing.
func TestScreenshot(t *testing.T) {
	needFiles(t, "chromium", chromium)
	if os.Getenv(screenshots) == "" {
		t.Fatalf("%s does not name the directory to write into", screenshots)
	}
	t.Run("Netdata", screenshotOfNetdata)
	t.Run("Prometheus", screenshotOfPrometheus)
	t.Run("Nagios", screenshotOfNagios)
}

func screenshotOfNetdata(t *testing.T) {
	needNetdata(t)
	needFiles(t, "netdata-web", "/usr/share/netdata/web/index.html")
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

	// A time that is past: the charts stand still.
	takePicture(t, "netdata.png", "1200,1530",
		fmt.Sprintf("http://%s/#menu_postfix_local;pan_and_zoom=true;after=%d;before=%d;theme=white",
			netdataAddress, from.UnixMilli(), time.Now().UnixMilli()))
}

// graphs are the queries in the picture of Prometheus' own graph page.
var graphs = []string{
	"postfix_queue_messages",
	"deriv(postfix_queue_all_messages[15m]) * 3600",
	"time() - postfix_queue_oldest_message_timestamp_seconds",
}

func screenshotOfPrometheus(t *testing.T) {
	needPrometheus(t)
	p := startPostfix(t)
	deferOne(p)
	installEmitter(t)
	bind(t, ownedDir(t, "root"), textfileDir)
	unit := unitCommand(t, prometheusUnit)
	p.must(unit())
	server := startPrometheus(t)
	from := time.Now()
	growAndShrink(p, func() {
		p.must(unit())
		want := strconv.Itoa(len(p.list()))
		server.awaitQuery("postfix_queue_all_messages", map[string]string{"local": want})
	})
	page := url.Values{}
	for i, query := range graphs {
		prefix := fmt.Sprintf("g%d.", i)
		page.Set(prefix+"expr", query)
		page.Set(prefix+"tab", "0")
		page.Set(prefix+"stacked", "0")
		page.Set(prefix+"range_input", fmt.Sprintf("%ds", int(time.Since(from).Seconds())))
	}
	takePicture(t, "prometheus.png", "1200,2285", "http://"+prometheusAddress+"/classic/graph?"+page.Encode())
}

// takePicture writes a picture of a page, as a file of that name. The page has a virtual clock, which
// runs only while it is not waiting for an answer.
func takePicture(t *testing.T, name, size, page string) {
	t.Helper()
	// The path of a socket that the browser makes there must be short.
	const home = "/mnt"
	bind(t, ownedDir(t, "nobody"), home)
	browser := command{user: "nobody", env: []string{"HOME=" + home, "TMPDIR=" + home}}
	r := browser.run(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--window-size="+size, "--virtual-time-budget=10000",
		"--screenshot="+home+"/picture.png", page)
	if r.exitCode != 0 {
		t.Fatal(r)
	}
	content, err := os.ReadFile(home + "/picture.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv(screenshots), name), content, 0o644); err != nil {
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

// screenshotOfNagios is what somebody sees at night: a stolen login sends through the host, and a provider refuses it.
func screenshotOfNagios(t *testing.T) {
	const cgis = "/usr/lib/cgi-bin/nagios4"
	needFiles(t, "nagios4-core", nagiosProgram)
	needFiles(t, "nagios4-cgi", cgis+"/extinfo.cgi")
	l := startLab(t)
	i := incidents[0]
	i.happens(t, l)
	dir := monitoringDir(t)
	snapshot := filepath.Join(dir, "snapshot.json")
	l.must(root.emit(t, "-f", "json", "--breakdown", "--to", snapshot))
	if err := os.Chmod(snapshot, 0o644); err != nil {
		t.Fatal(err)
	}
	check := fmt.Sprintf("%s -i %s -vv -w 100 -c 500", program(t, checkProgram), snapshot)
	before, _, _ := strings.Cut(nagiosObjects, "define service {\n\tuse")
	objects := before + fmt.Sprintf(`
define command {
	command_name	postfix_queue
	command_line	%s
}
define service {
	use	generic-service
	host_name	mail.example.org
	service_description	Postfix queue
	check_command	postfix_queue
}
`, check)
	main := writeConfig(t, "nagios.cfg", fmt.Sprintf(nagiosConfig, dir, writeConfig(t, "objects.cfg", objects)))
	startDaemon(t, command{user: monitoringUser}, nagiosProgram, main)
	waitFor(t, "a report", func() (bool, any) {
		status, err := os.ReadFile(filepath.Join(dir, "status.dat"))
		return strings.Contains(string(status), "POSTFIX_QUEUE CRITICAL"), err
	})

	settings := fmt.Sprintf("main_config_file=%s\nphysical_html_path=/usr/share/nagios4/htdocs\nurl_html_path=/nagios4\n"+
		"use_authentication=0\nescape_html_tags=1\n", main)
	pages := http.NewServeMux()
	pages.Handle("/cgi/", &cgi.Handler{
		Path: cgis + "/extinfo.cgi", Root: "/cgi", Env: []string{"NAGIOS_CGI_CONFIG=" + writeConfig(t, "cgi.cfg", settings)},
	})
	pages.Handle("/nagios4/stylesheets/",
		http.StripPrefix("/nagios4/stylesheets/", http.FileServer(http.Dir("/etc/nagios4/stylesheets"))))
	pages.Handle("/nagios4/", http.StripPrefix("/nagios4/", http.FileServer(http.Dir("/usr/share/nagios4/htdocs"))))
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	takePicture(t, "alert.png", "1250,760", server.URL+"/cgi/?type=2&host=mail.example.org&service=Postfix+queue")
}
