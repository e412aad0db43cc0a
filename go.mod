module example.org/postfix-queue-monitor

go 1.26.0

require (
	github.com/alexflint/go-arg v1.6.1
	github.com/atc0005/go-nagios v0.19.0
	github.com/google/go-cmp v0.7.0
	github.com/rogpeppe/go-internal v1.16.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/alexflint/go-scalar v1.2.0 // indirect
	golang.org/x/tools v0.26.0 // indirect
)
