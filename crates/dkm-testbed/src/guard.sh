# Undoes what a domain left on this machine, once its owner is gone: standard input ends with the owner, however it ended.
# Arguments: the folder to remove, then commands, one a word.
folder=$1
shift
read -r _
for undo in "$@"; do
    $undo 2>/dev/null
done
# Its servers may be dying still, and writing.
tries=200
until rm -rf -- "$folder" 2>/dev/null || [ "$tries" -eq 0 ]; do
    tries=$((tries - 1))
    sleep 0.05
done
