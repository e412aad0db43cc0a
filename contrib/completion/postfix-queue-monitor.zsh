#compdef check_postfix_queue postfix_queue_emit
# Completion for check_postfix_queue and postfix_queue_emit in zsh. Packages and make install put it into
# share/zsh/vendor-completions or share/zsh/site-functions, as _postfix_queue_monitor.

local -a queues=(active deferred hold incoming maildrop)
local -a metrics=(
	emails size age recipients forced_expire corrupt
	arrived_5m arrived_1h future expiring spool_free spool_free_inodes top_login top_client top_sender top_domain up
	{active,deferred,hold,incoming,maildrop}{,_size,_age}
	deferred_{authentication,blocked,connection_refused,connection_timed_out,greylisted,host_not_found,local,loop}
	deferred_{lost_connection,mailbox_full,no_route,other,rate_limited,remote_error,tls,transport,unknown_user}
)
[[ $service == check_postfix_queue ]] && metrics+=(growth)

# A list with commas, which a ! may begin: all but these.
_postfix_queue_list() {
	compset -P '*[,!]'
	compset -S ',*'
	compadd -S '' "$@"
}

_postfix_queue_targets() {
	compadd -S '' -- udp:// tcp:// unix:/// unixgram:///
	_files
}

local -a common=(
	'*'{-d+,--config-dir=}'[Postfix instance with this directory]:directory:_directories'
	{-a,--all-instances}'[every enabled instance]'
	'--source=[how to read the queue]:source:(auto postqueue showq spool)'
	'--queue-directory=[read this queue directory]:directory:_directories'
	{-i+,--input=}'[read this listing or snapshot]:file:_files'
	'--max-age=[how old the input may be]:duration:'
	'--allow-empty[take empty input as an empty queue]'
	'*'{-q+,--queue=}'[only these queues]:queues:_postfix_queue_list $queues'
	'*--sender=[only messages whose sender matches]:expression:'
	'*--login=[only messages of these SASL logins]:expression:'
	'*--client=[only messages of these client addresses]:expression:'
	'*--recipient=[only recipients that match]:expression:'
	'*--reason=[only recipients whose deferral reason matches]:expression:'
	'--older-than=[only messages at least this old]:duration:'
	'--by-reason[also count deferred mail by category of its reason]'
	'--stuck=[when waiting mail counts as not moving]:duration:'
	{-t+,--timeout=}'[seconds for an answer]:seconds:'
	'*'{-v,--verbose}'[say more]'
	{-h,--help}'[print the usage text]'
	{-V,--version}'[print the version]'
)

case $service in
check_postfix_queue)
	_arguments -s -S : $common \
		'*'{-w+,--warning=}'[WARNING outside this range]:range:compadd -S = -- $metrics' \
		'*'{-c+,--critical=}'[CRITICAL outside this range]:range:compadd -S = -- $metrics' \
		'*--perfdata=[metrics in the performance data]:metrics:_postfix_queue_list $metrics' \
		'--state=[remember the number of emails there]:file:_files' \
		'--no-findings[do not say what most of the mail has in common]' \
		'--max-output=[bytes of text]:bytes:' \
		{-M+,--mailserver=}'[as check_mailq has it]:name:(postfix)'
	;;
postfix_queue_emit)
	_arguments -s -S : $common \
		{-f+,--format=}'[output format]:format:(graphite ids influx json netdata prometheus statsd value)' \
		'--to=[where to write or send it]:target:_postfix_queue_targets' \
		'*'{-m+,--metrics=}'[only these metrics]:metrics:_postfix_queue_list $metrics ages sizes' \
		{-n+,--name=}'[name of the instance]:name:' \
		{-p+,--prefix=}'[beginning of every name]:prefix:' \
		'--tags=[style of tags]:style:(none datadog influx graphite)' \
		'*--tag=[KEY=VALUE for every series]:tag:' \
		'--part=[part of the Netdata protocol]:part:(charts values charts,values)' \
		'--usec=[microseconds since the last values]:number:' \
		'--update-every=[seconds between values]:seconds:' \
		'--priority=[order on the dashboard]:number:' \
		'--check[read the queue and print only errors]' \
		'--dry-run[print what would be sent]' \
		'--breakdown[json\: whose mail waits, and why]' \
		'--all-messages[ids\: without a filter]'
	;;
esac
