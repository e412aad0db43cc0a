#!/bin/sh
# Runs a command once a minute, or as often as INTERVAL says, in seconds, until the container is stopped. A run that
# fails has said why on standard error; the next one may succeed.
trap 'exit 0' TERM INT
while :; do
	"$@"
	sleep "${INTERVAL:-60}" &
	wait $!
done
