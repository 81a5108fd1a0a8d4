# shellcheck shell=bash disable=SC2154
# For tools/test and tools/test-packages, which read it: steps that pass or fail, are bounded in time, and leave nothing behind that
# runs. Before: work (a folder, in which failed/ is), seconds (for each step), and set -o pipefail.
tool=tools/${0##*/}
passed=0
failed=0
skipped=0
running= # process id of the step under way

# Everything that a step starts inherits this mark in its environment, and so can be found and ended, whatever
# process group it has moved to.
mark=ridd-test-$$-$(date +%s)

leftovers()
{
    grep -lsa "RIDD_TEST_RUN=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

end_leftovers()
{
    local pid

    for pid in $(leftovers); do
        printf '%s: still running, ended: %s (%s)\n' "$tool" "$({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null)" "$pid"
        kill -KILL "$pid" 2>/dev/null
    done
}

# shellcheck disable=SC2317 # called by the traps
interrupted()
{
    [ -z "$running" ] || kill -TERM "$running" 2>/dev/null
    end_leftovers
    echo "$tool: interrupted" >&2
    exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

# run LOG COMMAND...: output into LOG, time bounded, everything marked. In the background, so that a signal is acted on at once.
run()
{
    local log=$1 status
    shift
    RIDD_TEST_RUN=$mark timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running"
    status=$?
    running=
    [ "$status" != 124 ] || echo "$tool: not done after $seconds seconds, ended" >>"$log"
    return "$status"
}

begin()
{
    printf '%-22s ' "$1"
    step_began=$SECONDS
}

end()
{
    printf '%s (%s s)\n' "$1" $((SECONDS - step_began))
}

# show NAME LOG: keeps a log of something that failed, and prints its end.
show()
{
    local kept=$work/failed/${1//[^A-Za-z0-9.-]/_}.log lines

    cp "$2" "$kept"
    lines=$(wc -l <"$kept")
    printf -- '---- %s: %s\n' "$1" "$kept"
    [ "$lines" -le 200 ] || printf '(the last 200 of %s lines)\n' "$lines"
    tail -n 200 "$kept"
    printf -- '----\n'
}

finish()
{
    end_leftovers
    [ "$skipped" = 0 ] || echo "$skipped skipped"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}

# broken NAME LOG: a step without which nothing else of its build can run.
broken()
{
    end FAILED
    show "$1" "$2"
    failed=$((failed + 1))
}

# step NAME COMMAND...: one program that passes or fails as a whole; 77 says that it could not be run.
step()
{
    local name=$1 log=$work/step.out status
    shift
    begin "$name"
    run "$log" "$@"
    status=$?
    case $status in
    0)
        passed=$((passed + 1))
        end "1 passed, 0 failed"
        ;;
    77)
        skipped=$((skipped + 1))
        end skipped
        ;;
    *)
        broken "$name" "$log"
        ;;
    esac
    return "$status"
}
