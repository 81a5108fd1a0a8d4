# fish completion of ridbench: its options are those of its help.
complete -c ridbench -f
complete -c ridbench -s m -l method -x -a "read_index log lease follower local bounded write mixed batch scan"
complete -c ridbench -l arrivals -x -a "uniform poisson"
complete -c ridbench -s c -l config -r
complete -c ridbench -l save -r
for option in (command ridbench --help 2>/dev/null | string match -a -r -- '--[a-z][a-z-]*' | string sub -s 3 | sort -u)
    contains $option method arrivals config save; or complete -c ridbench -l $option
end
