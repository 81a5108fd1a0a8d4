# Text to the lines of a string of C: no comments, indentation or empty lines. A comment begins where its line does.
/^\/\*/,/\*\//d
s/^ *//
/^$/d
s/[\\"]/\\&/g
s/.*/    "&\\n"/
