package queue

// Growth is how fast the number of messages changes. It takes several readings.
type Growth struct {
	PerHour int64 // negative if the queue drains
	Steady  bool  // the last few minutes have the same direction as the time before
}
