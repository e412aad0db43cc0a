# shellcheck shell=bash
# A module for Netdata's charts.d.plugin, which sources this file. It charts the numbers of Postfix mail queues, read by
# postfix_queue_emit. Install it into Netdata's directory charts.d (Debian: /usr/lib/netdata/charts.d, elsewhere
# /usr/libexec/netdata/charts.d), and its configuration as /etc/netdata/charts.d/postfix_queue.conf.
#
# To see what the module sees: runuser -u netdata -- postfix_queue_emit --check -v

# Settings are looked up by name.
# shellcheck disable=SC2034
{
	# Defaults for all jobs; the configuration may override them.
	postfix_queue_update_every=10        # seconds between readings
	postfix_queue_priority=60000         # position of the first chart on the dashboard
	postfix_queue_autodetection_retry=60 # seconds between attempts until a job first works; 0: a single attempt
	postfix_queue_penalty=yes            # wait longer and longer, up to ten minutes, while a job fails
	postfix_queue_timeout=2              # seconds for a reading: all modules wait for each other
	postfix_queue_command=postfix_queue_emit

	# The jobs, and the settings of single jobs.
	postfix_queue_jobs=local
	declare -A postfix_queue_job_options=()             # options of postfix_queue_emit: what to read
	declare -A postfix_queue_job_name=()                # in charts; of jobs with the same name, the first that works runs
	declare -A postfix_queue_job_update_every=()
	declare -A postfix_queue_job_priority=()
	declare -A postfix_queue_job_autodetection_retry=()
	declare -A postfix_queue_job_penalty=()
}

# The state of each job.
declare -A postfix_queue_state=()    # running, waiting (has never worked), or empty: given up
declare -A postfix_queue_charted=()  # its charts that have been defined
declare -A postfix_queue_due=()      # when to read it next
declare -A postfix_queue_failures=() # failures in a row
declare -A postfix_queue_last=()     # time of the last success in microseconds, unless a failure followed
postfix_queue_output=

postfix_queue_check() {
	local job found=1
	for job in $postfix_queue_jobs; do
		: "${postfix_queue_job_update_every[$job]:=$postfix_queue_update_every}"
	done
	for job in $postfix_queue_jobs; do
		# charts.d calls the module for all its jobs at once, as often as the most frequent of them needs.
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

# Never fails: charts.d permanently disables a module that fails too often, and a mail system may be down for long.
# A reading that fails prints nothing, which leaves a gap in the charts.
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
			# An alternative works. This decision is final.
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

# Prints what a job reads, and decides when to read it again.
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
		# Not counted from now, which is a little late each time.
		postfix_queue_due[$job]=$((now / every * every + every))
		return
	fi
	postfix_queue_last[$job]= # the next values count as the first
	postfix_queue_failures[$job]=$((${postfix_queue_failures[$job]-0} + 1))
	wait=0
	if [ "$(postfix_queue_setting "$job" penalty)" = yes ]; then
		wait=$((postfix_queue_failures[$job] * every / 2))
		[ $wait -le 600 ] || wait=600
	fi
	postfix_queue_due[$job]=$((now + every + wait))
}

# Reads a job's queue and puts a part of the protocol into postfix_queue_output, complete or not at all.
postfix_queue_emit_part() {
	local job=$1 part=$2
	shift 2
	postfix_queue_run "$job" --format netdata --part "$part" --update-every "$(postfix_queue_setting "$job" update_every)" \
		--priority "$(postfix_queue_setting "$job" priority)" "$@"
	case $?:$part in
	0:charts) [ -n "$postfix_queue_output" ] ;;
	# 1: one of several instances could not be read; the output belongs to the others.
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

# Succeeds if every chart that postfix_queue_output has values for has been defined. Netdata disconnects a plugin that
# sends values for other charts. New charts appear when an instance comes up that was down or did not exist.
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
		-a | --all-instances) instances=2 ;; # or more
		-d* | --config-dir | --config-dir=*) instances=$((instances + 1)) ;;
		esac
	done
	# Several instances bring their own names.
	[ "$instances" -gt 1 ] || options+=(--name "${postfix_queue_job_name[$job]-$job}")
	# Errors go to Netdata's log.
	postfix_queue_output=$("$postfix_queue_command" --timeout "$postfix_queue_timeout" "${options[@]}" "$@")
}

# Prints a job's setting, or else the default of all jobs.
postfix_queue_setting() {
	local own="postfix_queue_job_$2[$1]" all="postfix_queue_$2"
	printf '%s' "${!own-${!all}}"
}

postfix_queue_seconds() { printf '%(%s)T' -1; }

# Bash 5 has the time in microseconds, with a decimal point or comma; before that, seconds must do.
postfix_queue_microseconds() {
	local now=${EPOCHREALTIME-}
	if [ -n "$now" ]; then
		printf '%s' "${now//[.,]/}"
	else
		printf '%(%s)T000000' -1
	fi
}
