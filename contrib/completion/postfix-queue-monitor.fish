# Completion for check_postfix_queue and postfix_queue_emit in fish. Packages and make install put it into
# share/fish/vendor_completions.d, under the name of each program. To try it, source it.

function __postfix_queue_queues
    printf '%s\n' active deferred hold incoming maildrop
end

function __postfix_queue_metrics
    printf '%s\n' emails size age recipients forced_expire corrupt \
        arrived_5m arrived_1h future expiring spool_free spool_free_inodes top_login top_client top_sender top_domain up \
        {active,deferred,hold,incoming,maildrop}{,_size,_age} \
        deferred_{authentication,blocked,connection_refused,connection_timed_out,greylisted,host_not_found,local,loop} \
        deferred_{lost_connection,mailbox_full,no_route,other,rate_limited,remote_error,tls,transport,unknown_user}
end

function __postfix_queue_check_metrics
    __postfix_queue_metrics
    echo growth
end

# The last word of a list with commas, which a ! may begin: all but these.
function __postfix_queue_list
    set -l before (commandline -ct | string replace -r -- '^(--[^=]*=|-\w)?(.*[,!])?[^,!]*$' '$2')
    printf '%s\n' $before$argv
end

for program in check_postfix_queue postfix_queue_emit
    complete -c $program -f
    complete -c $program -s d -l config-dir -x -a '(__fish_complete_directories)' -d 'Postfix instance with this directory'
    complete -c $program -s a -l all-instances -d 'Every enabled instance'
    complete -c $program -l source -x -a 'auto postqueue showq spool' -d 'How to read the queue'
    complete -c $program -l queue-directory -x -a '(__fish_complete_directories)' -d 'Read this queue directory'
    complete -c $program -s i -l input -r -F -d 'Read this listing or snapshot'
    complete -c $program -l max-age -x -d 'How old the input may be'
    complete -c $program -l allow-empty -d 'Take empty input as an empty queue'
    complete -c $program -s q -l queue -x -a '(__postfix_queue_list (__postfix_queue_queues))' -d 'Only these queues'
    complete -c $program -l sender -x -d 'Only messages whose sender matches'
    complete -c $program -l login -x -d 'Only messages of these SASL logins'
    complete -c $program -l client -x -d 'Only messages of these client addresses'
    complete -c $program -l recipient -x -d 'Only recipients that match'
    complete -c $program -l reason -x -d 'Only recipients whose deferral reason matches'
    complete -c $program -l older-than -x -d 'Only messages at least this old'
    complete -c $program -l by-reason -d 'Also count deferred mail by category of its reason'
    complete -c $program -l stuck -x -d 'When waiting mail counts as not moving'
    complete -c $program -s t -l timeout -x -d 'Seconds for an answer'
    complete -c $program -s v -l verbose -d 'Say more'
    complete -c $program -s h -l help -d 'Print the usage text'
    complete -c $program -s V -l version -d 'Print the version'
end

complete -c check_postfix_queue -s w -l warning -x -a '(__postfix_queue_check_metrics)=' -d 'WARNING outside this range'
complete -c check_postfix_queue -s c -l critical -x -a '(__postfix_queue_check_metrics)=' -d 'CRITICAL outside this range'
complete -c check_postfix_queue -l perfdata -x -a '(__postfix_queue_list (__postfix_queue_check_metrics))' -d 'Metrics in the performance data'
complete -c check_postfix_queue -l state -r -F -d 'Remember the number of emails there'
complete -c check_postfix_queue -l no-findings -d 'Do not say what most of the mail has in common'
complete -c check_postfix_queue -l max-output -x -d 'Bytes of text'
complete -c check_postfix_queue -s M -l mailserver -x -a postfix -d 'As check_mailq has it'

complete -c postfix_queue_emit -s f -l format -x -a 'graphite ids influx json netdata prometheus statsd value' -d 'Output format'
complete -c postfix_queue_emit -l to -r -F -a 'udp:// tcp:// unix:/// unixgram:///' -d 'Where to write or send it'
complete -c postfix_queue_emit -s m -l metrics -x -a '(__postfix_queue_list (__postfix_queue_metrics) ages sizes)' -d 'Only these metrics'
complete -c postfix_queue_emit -s n -l name -x -d 'Name of the instance'
complete -c postfix_queue_emit -s p -l prefix -x -d 'Beginning of every name'
complete -c postfix_queue_emit -l tags -x -a 'none datadog influx graphite' -d 'Style of tags'
complete -c postfix_queue_emit -l tag -x -d 'KEY=VALUE for every series'
complete -c postfix_queue_emit -l part -x -a 'charts values charts,values' -d 'Part of the Netdata protocol'
complete -c postfix_queue_emit -l usec -x -d 'Microseconds since the last values'
complete -c postfix_queue_emit -l update-every -x -d 'Seconds between values'
complete -c postfix_queue_emit -l priority -x -d 'Order on the dashboard'
complete -c postfix_queue_emit -l check -d 'Read the queue and print only errors'
complete -c postfix_queue_emit -l dry-run -d 'Print what would be sent'
complete -c postfix_queue_emit -l breakdown -d 'json: whose mail waits, and why'
complete -c postfix_queue_emit -l all-messages -d 'ids: without a filter'
