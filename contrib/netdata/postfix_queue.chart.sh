# shellcheck shell=bash
# A module of Netdata's charts.d.plugin, which sources this file: numbers of Postfix mail queues, read by
# postfix_queue_emit. It goes to Netdata's directory charts.d (Debian: /usr/lib/netdata/charts.d, elsewhere
# /usr/libexec/netdata/charts.d), its configuration to /etc/netdata/charts.d/postfix_queue.conf.
#
# To see what it sees: sudo -u netdata postfix_queue_emit --check -v

# Settings are looked up by their names.
# shellcheck disable=SC2034
{
	# Defaults for all jobs; the configuration changes them.
	postfix_queue_update_every=10        # seconds between readings
	postfix_queue_priority=60000         # place of the first chart on the dashboard
	postfix_queue_autodetection_retry=60 # seconds between attempts while a job has never worked; 0: one attempt
	postfix_queue_penalty=yes            # wait longer and longer, up to ten minutes, while a job fails
	postfix_queue_timeout=2              # seconds for a reading: all modules wait for each other
	postfix_queue_command=postfix_queue_emit

	# The jobs, and what is different for one of them.
	postfix_queue_jobs=local
	declare -A postfix_queue_job_options=()             # of postfix_queue_emit: what is read
	declare -A postfix_queue_job_name=()                # in charts; of jobs with one name only the first that works runs
	declare -A postfix_queue_job_update_every=()
	declare -A postfix_queue_job_priority=()
	declare -A postfix_queue_job_autodetection_retry=()
	declare -A postfix_queue_job_penalty=()
}

# The state of each job.
declare -A postfix_queue_state=()    # running, waiting (has never worked), or none: given up
declare -A postfix_queue_charted=()  # its charts that are defined
declare -A postfix_queue_due=()      # when it is to be read next
declare -A postfix_queue_failures=() # in a row
declare -A postfix_queue_last=()     # microseconds: the last success, if nothing failed since
postfix_queue_output=

postfix_queue_check() {
	local job found=1
	for job in $postfix_queue_jobs; do
		: "${postfix_queue_job_update_every[$job]:=$postfix_queue_update_every}"
	done
	for job in $postfix_queue_jobs; do
		# charts.d calls the module for all its jobs: as often as one of them wants.
		if [ "${postfix_queue_job_update_every[$job]}" -lt "$postfix_queue_update_every" ]; then
			postfix_queue_update_every=${postfix_queue_job_update_every[$job]}
		fi
		postfix_queue_detect "$job"
		case ${postfix_queue_state[$job]-} in
		running | waiting) found=0 ;;
		esac
	done
	return $found
}

postfix_queue_create() {
	local job
	for job in $postfix_queue_jobs; do
		if [ "${postfix_queue_state[$job]-}" = running ] && postfix_queue_emit_part "$job" charts; then
			postfix_queue_note_charts "$job"
			printf '%s\n' "$postfix_queue_output"
		fi
	done
	return 0
}

# Never fails: charts.d disables a module for good that fails too often, and a mail system may be down for long.
# A reading that fails prints nothing, which is a gap in the charts.
postfix_queue_update() {
	local job now
	for job in $postfix_queue_jobs; do
		now=$(postfix_queue_seconds)
		[ "$now" -ge "${postfix_queue_due[$job]-0}" ] || continue
		case ${postfix_queue_state[$job]-} in
		waiting) postfix_queue_detect "$job" ;;
		esac
		[ "${postfix_queue_state[$job]-}" = running ] || continue
		postfix_queue_read "$job" "$now"
	done
	return 0
}

# Tries a job that has never worked.
postfix_queue_detect() {
	local job=$1 other retry
	for other in $postfix_queue_jobs; do
		if [ "$other" != "$job" ] && [ "${postfix_queue_state[$other]-}" = running ] &&
			[ "${postfix_queue_job_name[$other]-$other}" = "${postfix_queue_job_name[$job]-$job}" ]; then
			# Its alternative works. Should that have been found out late, it stays so all the same.
			postfix_queue_state[$job]=
			return
		fi
	done
	# Not --check, which fails if one of several instances does.
	if postfix_queue_emit_part "$job" values; then
		postfix_queue_state[$job]=running
		postfix_queue_due[$job]=0
		return
	fi
	retry=$(postfix_queue_setting "$job" autodetection_retry)
	if [ "$retry" -gt 0 ]; then
		postfix_queue_state[$job]=waiting
		postfix_queue_due[$job]=$(($(postfix_queue_seconds) + retry))
	else
		postfix_queue_state[$job]=
	fi
}

# Prints what a job reads, and decides when it is read again.
postfix_queue_read() {
	local job=$1 now=$2 every part=values usec=0 started wait
	every=$(postfix_queue_setting "$job" update_every)
	started=$(postfix_queue_microseconds)
	if [ -z "${postfix_queue_charted[$job]-}" ]; then
		part=charts,values
	elif [ -n "${postfix_queue_last[$job]-}" ]; then
		usec=$((started - postfix_queue_last[$job]))
	fi
	if postfix_queue_emit_part "$job" "$part" --usec "$usec" &&
		{ postfix_queue_has_charts "$job" || postfix_queue_emit_part "$job" charts,values; }; then
		postfix_queue_note_charts "$job"
		printf '%s\n' "$postfix_queue_output"
		postfix_queue_failures[$job]=0
		postfix_queue_last[$job]=$started
		# Not from now, which is a little late each time.
		postfix_queue_due[$job]=$((now / every * every + every))
		return
	fi
	postfix_queue_last[$job]= # the next values are the first again
	postfix_queue_failures[$job]=$((${postfix_queue_failures[$job]-0} + 1))
	wait=0
	if [ "$(postfix_queue_setting "$job" penalty)" = yes ]; then
		wait=$((postfix_queue_failures[$job] * every / 2))
		[ $wait -le 600 ] || wait=600
	fi
	postfix_queue_due[$job]=$((now + every + wait))
}

# Reads a job's queue and leaves a part of the protocol in postfix_queue_output. It is whole or empty.
postfix_queue_emit_part() {
	local job=$1 part=$2
	shift 2
	postfix_queue_run "$job" --format netdata --part "$part" --update-every "$(postfix_queue_setting "$job" update_every)" \
		--priority "$(postfix_queue_setting "$job" priority)" "$@"
	case $?:$part in
	0:charts) [ -n "$postfix_queue_output" ] ;;
	# 1: one of several instances could not be read, and what there is belongs to the others.
	0:*values | 1:*values) [[ $postfix_queue_output = *$'\nEND' ]] ;;
	*) return 1 ;;
	esac
}

# Remembers the charts that postfix_queue_output defines for a job.
postfix_queue_note_charts() {
	local keyword id rest
	while read -r keyword id rest; do
		[ "$keyword" != CHART ] || postfix_queue_charted[$1]+=" $id "
	done <<<"$postfix_queue_output"
}

# Says whether all charts are defined that postfix_queue_output has values for. Netdata disconnects who sends
# others. There are more of them once an instance is up that was down, or was not there.
postfix_queue_has_charts() {
	local keyword id rest defined=${postfix_queue_charted[$1]-}
	while read -r keyword id rest; do
		case $keyword in
		CHART) defined+=" $id " ;;
		BEGIN) [[ $defined = *" $id "* ]] || return 1 ;;
		esac
	done <<<"$postfix_queue_output"
}

postfix_queue_run() {
	local job=$1 option options instances=0
	shift
	read -r -a options <<<"${postfix_queue_job_options[$job]-}"
	for option in ${options[@]+"${options[@]}"}; do
		case $option in
		-a | --all-instances) instances=2 ;; # or however many there are
		-d* | --config-dir | --config-dir=*) instances=$((instances + 1)) ;;
		esac
	done
	# Where there are several, each has its own name.
	[ "$instances" -gt 1 ] || options+=(--name "${postfix_queue_job_name[$job]-$job}")
	# What went wrong goes to Netdata's log.
	postfix_queue_output=$("$postfix_queue_command" --timeout "$postfix_queue_timeout" "${options[@]}" "$@")
}

# Prints a setting of a job: its own, or that of all.
postfix_queue_setting() {
	local own="postfix_queue_job_$2[$1]" all="postfix_queue_$2"
	printf '%s' "${!own-${!all}}"
}

postfix_queue_seconds() { printf '%(%s)T' -1; }

# Bash 5 has the time in microseconds; without it, and its decimal point or comma, seconds do.
postfix_queue_microseconds() {
	local now=${EPOCHREALTIME-}
	if [ -n "$now" ]; then
		printf '%s' "${now//[.,]/}"
	else
		printf '%(%s)T000000' -1
	fi
}
