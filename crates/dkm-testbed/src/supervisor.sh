# Runs a server in a process-id namespace of its own, and ends it when its owner is gone: standard input ends with the
# owner, however that ended. When the namespace's first process dies the kernel kills the rest, stopped ones too.
# Arguments: the file that is to hold the first process's id, then the server's command line.
pid_file=$1
shift
setpriv --pdeathsig KILL unshare --pid --fork --kill-child=KILL sh -c '
    read -r pid _ </proc/self/stat
    echo "$pid" >"$0.new" && mv "$0.new" "$0"
    exec "$@"' "$pid_file" "$@" </dev/null &
server=$!
read -r word
first=$(cat "$pid_file" 2>/dev/null) || first=$server
if [ "$word" = stop ]; then
    kill -TERM "$first"
else
    kill -KILL "$first"
fi
wait "$server"
