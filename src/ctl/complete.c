/* Completion. The scripts for the shells are thin: they hand the words of the line to `ridctl
 * __complete`, which answers from the tables of verbs and options, so that there is no second list.
 * Nobody is asked; names of nodes are those of the configuration.
 *
 * An answer is a line "word<TAB>what it is" for each, or ":file" where a file is wanted. */
#include <string.h>

#include "ctl/command_line_int.h"
#include "ctl/explain_int.h"

#include "base/banned.h"

/* What stands in the line so far. */
struct line {
    const struct verb *verb;           /* NULL: none yet */
    bool is_help;                      /* `help` stands there */
    bool is_plain;                     /* behind "--" nothing is an option */
    unsigned n_args;                   /* behind the verb */
    const struct option_text *pending; /* waits for its value */
    const char *word;                  /* that is to be completed */
};

/* "--via METHOD", "-n, --count N": its letter or 0, its long name, its placeholder or "". */
struct option_parts {
    char letter;
    const char *name;
    size_t name_len;
    const char *placeholder;
};

static struct option_parts parts_of(const struct option_text *o)
{
    struct option_parts p = {.letter = '\0'};

    if (o->name[1] != '-')
        p.letter = o->name[1];
    p.name = strstr(o->name, "--") + 2;
    p.name_len = strcspn(p.name, " ");
    p.placeholder = p.name[p.name_len] == ' ' ? p.name + p.name_len + 1 : "";
    return p;
}

/* What a verb does not list is not offered behind it (TELL-3). */
static bool is_taken(const struct line *l, const struct option_text *o)
{
    return o->option == 0 || l->verb == NULL || (l->verb->options & o->option) != 0;
}

/* By its long name, or with len 0 by its letter. */
static const struct option_text *find_option(const struct line *l, const char *name, size_t len,
                                             char letter)
{
    for (size_t i = 0; i < ctl_n_option_texts; i++) {
        const struct option_text *o = &ctl_option_texts[i];
        const struct option_parts p = parts_of(o);

        if (is_taken(l, o) && (len > 0 ? p.name_len == len && strncmp(p.name, name, len) == 0
                                       : letter != '\0' && p.letter == letter))
            return o;
    }
    return NULL;
}

/* ---- the words that stand already ---- */

static void take_value(struct ctl *ctl, const struct option_text *o, const char *value)
{
    const struct option_parts p = parts_of(o);

    if (p.letter == 'c')
        ctl->config_option = value;
    else if (p.letter == 'e')
        ctl->endpoints_option = value;
}

static void read_long(struct ctl *ctl, struct line *l, const char *word)
{
    const size_t len = strcspn(word + 2, "=");
    const struct option_text *o = find_option(l, word + 2, len, '\0');

    if (o == NULL || parts_of(o).placeholder[0] == '\0')
        return;
    if (word[2 + len] == '=')
        take_value(ctl, o, word + 2 + len + 1);
    else
        l->pending = o;
}

/* "-v", "-vc", "-cFILE" */
static void read_letters(struct ctl *ctl, struct line *l, const char *word)
{
    for (const char *c = word + 1; *c != '\0'; c++) {
        const struct option_text *o = find_option(l, NULL, 0, *c);

        if (o == NULL || parts_of(o).placeholder[0] == '\0')
            continue;
        if (c[1] != '\0')
            take_value(ctl, o, c + 1);
        else
            l->pending = o;
        return;
    }
}

static void read_word(struct ctl *ctl, struct line *l, const char *word)
{
    if (l->pending != NULL) {
        if (strcmp(word, "=") == 0) /* bash makes three words of --via=log */
            return;
        take_value(ctl, l->pending, word);
        l->pending = NULL;
    } else if (!l->is_plain && strcmp(word, "--") == 0) {
        l->is_plain = true;
    } else if (!l->is_plain && strncmp(word, "--", 2) == 0) {
        read_long(ctl, l, word);
    } else if (!l->is_plain && word[0] == '-' && word[1] != '\0') {
        read_letters(ctl, l, word);
    } else if (l->verb == NULL && !l->is_help) {
        l->verb = ctl_find_verb(word);
        l->is_help = strcmp(word, "help") == 0;
    } else {
        l->n_args++;
    }
}

/* ---- answers ---- */

/* Where it begins with what stands there; front is repeated in front of it. */
static void offer(const char *front, const char *begun, const char *word, size_t len,
                  const char *what)
{
    const size_t n = strlen(begun);

    for (size_t i = 0; i < n; i++)
        if (i >= len || ((begun[i] != word[i]) && !(begun[i] == '-' && word[i] == '_')))
            return;
    (void)printf("%s%.*s%s%s\n", front, (int)len, word, what != NULL ? "\t" : "",
                 what != NULL ? what : "");
}

static void offer_verbs(const char *begun)
{
    for (size_t i = 0; i < ctl_n_verbs; i++)
        offer("", begun, ctl_verbs[i].name, strlen(ctl_verbs[i].name), ctl_verbs[i].summary);
    offer("", begun, "help", 4, "what ridctl or a verb does");
}

/* Of a configuration that cannot be used nothing is offered, and nothing said. */
static void offer_nodes(struct ctl *ctl, const char *front, const char *begun)
{
    ctl->quiet = true;
    if (cluster_find(ctl) != CTL_EXIT_OK)
        return;
    for (unsigned i = 0; i < ctl->n_nodes; i++)
        if (ctl->nodes[i].name[0] != '\0')
            offer(front, begun, ctl->nodes[i].name, strlen(ctl->nodes[i].name),
                  ctl->nodes[i].endpoint);
}

static void offer_explained(const char *begun)
{
    for (unsigned kind = 0; kind < EXPLAINED_KINDS; kind++) {
        const struct explained *list;
        const size_t n = explained_list((enum explained_kind)kind, &list);

        for (size_t i = 0; i < n; i++)
            offer("", begun, list[i].name, strlen(list[i].name), NULL);
    }
}

static void offer_words(const char *front, const char *begun, const char *placeholder)
{
    const char *word;

    for (unsigned i = 0; (word = ctl_word(placeholder, i)) != NULL; i++)
        offer(front, begun, word, strlen(word), NULL);
}

static bool is_called(const char *placeholder, size_t len, const char *name)
{
    return strlen(name) == len && strncmp(placeholder, name, len) == 0;
}

/* What may stand where help shows this placeholder. */
static void offer_for(struct ctl *ctl, const char *front, const char *begun,
                      const char *placeholder, size_t len)
{
    char name[32];
    char before[256];
    const char *comma = strrchr(begun, ',');

    (void)snprintf(name, sizeof(name), "%.*s", (int)len, placeholder);
    if (is_called(placeholder, len, "FILE") || is_called(placeholder, len, "DIR")) {
        (void)puts(":file");
    } else if (is_called(placeholder, len, "NODE") || is_called(placeholder, len, "NAME")) {
        offer_nodes(ctl, front, begun);
    } else if (is_called(placeholder, len, "EVENT")) {
        offer_explained(begun);
    } else if (comma != NULL && is_called(placeholder, len, "METHODS")) {
        (void)snprintf(before, sizeof(before), "%s%.*s", front, (int)(comma + 1 - begun), begun);
        offer_words(before, comma + 1, name);
    } else {
        offer_words(front, begun, name);
    }
}

static void offer_options(const struct line *l)
{
    for (size_t i = 0; i < ctl_n_option_texts; i++) {
        const struct option_text *o = &ctl_option_texts[i];
        const struct option_parts p = parts_of(o);
        char what[128];

        if (!is_taken(l, o) || (l->verb == NULL && o->option != 0 && o->option != CTL_OPT_JSON))
            continue;
        (void)snprintf(what, sizeof(what), "%.*s", (int)strcspn(o->help, "\n"), o->help);
        if (l->word[1] == '\0' || l->word[1] == '-')
            offer("--", l->word[1] == '-' ? l->word + 2 : "", p.name, p.name_len, what);
        else if (p.letter == l->word[1] && l->word[2] == '\0')
            (void)printf("%s\n", l->word);
    }
}

/* The placeholder of the i-th argument in "[NODE ... | --all] [--save FILE]", the last one for all
 * behind it. NULL: there is none. */
static const char *placeholder_at(const struct verb *verb, unsigned i, size_t *ret_len)
{
    const char *found = NULL;
    unsigned n = 0;

    for (const char *s = verb->usage; *s != '\0';) {
        const size_t len = strcspn(s, " []|.");
        const bool is_value = s > verb->usage + 2 && s[-1] == ' ' && s[-2] >= 'a' && s[-2] <= 'z';

        if (len == 0) {
            s++;
            continue;
        }
        if (s[0] >= 'A' && s[0] <= 'Z' && !is_value && (found == NULL || n <= i)) {
            found = s;
            *ret_len = len;
            n++;
        }
        s += len;
    }
    return found;
}

static void offer_argument(struct ctl *ctl, const struct line *l)
{
    size_t len = 0;
    const char *placeholder = placeholder_at(l->verb, l->n_args, &len);

    if (placeholder != NULL && (int)l->n_args < l->verb->args_max)
        offer_for(ctl, "", l->word, placeholder, len);
}

static void offer_value(struct ctl *ctl, const struct option_text *o, const char *front,
                        const char *begun)
{
    const char *placeholder = parts_of(o).placeholder;

    offer_for(ctl, front, begun, placeholder, strlen(placeholder));
}

/* "--via=lo" in one word, as zsh and fish have it. */
static bool offer_in_word(struct ctl *ctl, const struct line *l)
{
    const char *equals = strchr(l->word, '=');
    const struct option_text *o;
    char front[64];

    if (strncmp(l->word, "--", 2) != 0 || equals == NULL)
        return false;
    o = find_option(l, l->word + 2, (size_t)(equals - l->word - 2), '\0');
    (void)snprintf(front, sizeof(front), "%.*s", (int)(equals + 1 - l->word), l->word);
    if (o != NULL)
        offer_value(ctl, o, front, equals + 1);
    return true;
}

int ctl_complete(struct ctl *ctl, int n, char **words)
{
    struct line l = {.word = n > 0 ? words[n - 1] : ""};

    for (int i = 0; i + 1 < n; i++)
        read_word(ctl, &l, words[i]);
    if (l.pending != NULL)
        offer_value(ctl, l.pending, "", strcmp(l.word, "=") == 0 ? "" : l.word);
    else if (!l.is_plain && offer_in_word(ctl, &l))
        ;
    else if (!l.is_plain && l.word[0] == '-')
        offer_options(&l);
    else if (l.verb == NULL && (!l.is_help || l.n_args == 0))
        offer_verbs(l.word);
    else if (l.verb != NULL)
        offer_argument(ctl, &l);
    return CTL_EXIT_OK;
}

/* ---- the scripts ---- */

static const char bash_script[] =
    "# bash completion of ridctl: eval \"$(ridctl completion bash)\"\n"
    "_ridctl()\n"
    "{\n"
    "    local word\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r word _; do\n"
    "        if [ \"$word\" = :file ]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            while IFS= read -r word; do COMPREPLY+=(\"$word\"); done \\\n"
    "                < <(compgen -f -- \"${COMP_WORDS[COMP_CWORD]#=}\")\n"
    "        else\n"
    "            COMPREPLY+=(\"$word\")\n"
    "        fi\n"
    "    done < <(\"$1\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _ridctl ridctl\n";

static const char zsh_script[] =
    "# zsh completion of ridctl: eval \"$(ridctl completion zsh)\"\n"
    "_ridctl()\n"
    "{\n"
    "    local line\n"
    "    local -a found\n"
    "    for line in \"${(@f)$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" "
    "2>/dev/null)}\"; do\n"
    "        case $line in\n"
    "        :file) _files ;;\n"
    "        *$'\\t'*) found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        ?*) found+=(\"${line//:/\\\\:}\") ;;\n"
    "        esac\n"
    "    done\n"
    "    (( $#found )) && _describe -t words ridctl found\n"
    "}\n"
    "(( $+functions[compdef] )) && compdef _ridctl ridctl\n"
    "true\n";

static const char fish_script[] =
    "# fish completion of ridctl: ridctl completion fish | source\n"
    "function __ridctl_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l current (commandline -ct)\n"
    "    for line in ($words[1] __complete $words[2..-1] \"$current\" 2>/dev/null)\n"
    "        if test \"$line\" = :file\n"
    "            __fish_complete_path (string replace -r '^--[a-z-]*=' '' -- \"$current\")\n"
    "        else\n"
    "            echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c ridctl -f -a '(__ridctl_complete)'\n";

int verb_completion(struct ctl *ctl)
{
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    const int exit_code = ctl_check_word(ctl, "completion", "SHELL", ctl->args[0]);

    for (size_t i = 0; exit_code == CTL_EXIT_OK && i < sizeof(scripts) / sizeof(scripts[0]); i++)
        if (strcmp(scripts[i].shell, ctl->args[0]) == 0)
            (void)fputs(scripts[i].script, stdout);
    return exit_code;
}
