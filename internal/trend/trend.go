// Package trend remembers how many messages a queue had, and says how fast it grows.
//
// A File has samples of the last two hours. Growth is the slope of the last quarter of an hour: enough samples for a
// mean if the check runs every minute, two if it runs every ten minutes.
package trend

import (
	"math"
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

const (
	window     = 15 * time.Minute // that growth is the slope of
	lately     = 5 * time.Minute  // what must go in the same direction for a forecast
	leastSpan  = time.Minute      // between two samples that a slope goes through
	lifetime   = 2 * time.Hour    // of a sample: the longest interval between two checks
	maxSamples = 128              // of a series, more than thin leaves

	// maxStep is the most by which two clocks part in the lifetime of a sample if the wall clock is slewed: 500 ppm.
	maxStep = 5 * time.Second
)

// Clock is a moment, by two clocks. That of the boot goes on while the machine sleeps, and nobody sets it.
type Clock struct {
	Wall   time.Time
	Boot   time.Duration // since the boot
	BootID string        // of this boot
}

// sample is how many messages there were at a moment.
type sample struct {
	WallMS int64 `json:"wall_ms"`
	BootMS int64 `json:"boot_ms"`
	Emails int64 `json:"emails"`
}

// series are samples of one queue, the oldest first.
type series []sample

func (c Clock) sample(emails int64) sample {
	return sample{WallMS: c.Wall.UnixMilli(), BootMS: c.Boot.Milliseconds(), Emails: emails}
}

// since returns the time from the earlier sample to this one.
func (s sample) since(earlier sample) time.Duration {
	return time.Duration(s.BootMS-earlier.BootMS) * time.Millisecond
}

// comparable reports whether a sample is of this lifetime, and no clock has been set since.
func (s sample) comparable(now sample) bool {
	step := (now.WallMS - now.BootMS) - (s.WallMS - s.BootMS)
	return s.BootMS <= now.BootMS && s.BootMS >= now.BootMS-lifetime.Milliseconds() &&
		max(step, -step) <= maxStep.Milliseconds()
}

// add returns the series with a sample more, without those that are too old or of another time.
func (s series) add(now sample) series {
	s = slices.DeleteFunc(slices.Clone(s), func(old sample) bool { return !old.comparable(now) })
	return thin(append(s, now))
}

// thin leaves a sample each ten seconds in the window that growth is the slope of, and one each five minutes before.
// The oldest and the newest always stay.
func thin(s series) series {
	now := s[len(s)-1]
	kept := s[:1:1]
	for i, next := range s[1:] {
		gap := 10 * time.Second
		if now.since(next) > window {
			gap = 5 * time.Minute
		}
		if isNewest := i == len(s)-2; isNewest || next.since(kept[len(kept)-1]) >= gap {
			kept = append(kept, next)
		}
	}
	return kept[max(0, len(kept)-maxSamples):]
}

// growth returns that of the newest sample; known is false if there are no two that are a minute apart.
func (s series) growth() (g queue.Growth, known bool) {
	samples := s.last(window)
	if samples == nil {
		return g, false
	}
	perHour := slope(samples)
	return queue.Growth{PerHour: round(perHour), Steady: slope(s.last(lately))*perHour > 0}, true
}

// last returns the samples of the last d, and as many earlier ones as it takes to span a minute; nil if there are too
// few.
func (s series) last(d time.Duration) series {
	for i := range slices.Backward(s) {
		span := s[len(s)-1].since(s[i])
		isLast := i == 0 || s[len(s)-1].since(s[i-1]) > d
		if isLast && span >= leastSpan {
			return s[i:]
		}
	}
	return nil
}

// slope returns the messages per hour on the straight line that fits the samples best, by least squares.
func slope(s series) float64 {
	var meanX, meanY, products, squares float64
	hours := func(x sample) float64 { return x.since(s[0]).Hours() }
	for _, x := range s {
		meanX += hours(x) / float64(len(s))
		meanY += float64(x.Emails) / float64(len(s))
	}
	for _, x := range s {
		products += (hours(x) - meanX) * (float64(x.Emails) - meanY)
		squares += (hours(x) - meanX) * (hours(x) - meanX)
	}
	return products / squares
}

// round returns the nearest number that is certain to be written exactly.
func round(f float64) int64 {
	const most = 1 << 53
	return int64(math.Round(min(max(f, -most), most)))
}

// horizon is how far a forecast looks: a slope of minutes says nothing about the day after tomorrow.
const horizon = 48 * time.Hour

// Until returns how long it takes from one number of messages to another if growth goes on as it is. It is not known if
// growth is not steady, leads away from that number, or would take more than two days.
func Until(g queue.Growth, from int64, to float64) (d time.Duration, known bool) {
	hours := (to - float64(from)) / float64(g.PerHour)
	if !g.Steady || !(hours >= 0 && hours <= horizon.Hours()) {
		return 0, false
	}
	return time.Duration(hours * float64(time.Hour)), true
}
