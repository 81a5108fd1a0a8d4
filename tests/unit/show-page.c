/* Prints the status page of a saved document (/cluster.json, `ridctl status --json`): for
 * tools/test-page, and for whoever changes the page and wants to see it. */
#include <stdio.h>
#include <stdlib.h>

#include "page/page.h"

int main(int argc, char **argv)
{
    struct page_view view = {.self = "n1", .now_us = INT64_C(1796056200000000)};
    struct buf out = BUF_INIT;
    json_error_t error;
    json_t *doc;

    if (argc < 2 || argc > 4) {
        (void)fprintf(stderr, "usage: show-page FILE [NODE [UNIX-MICROSECONDS]]\n");
        return 64;
    }
    if (argc > 2)
        view.self = argv[2];
    if (argc > 3)
        view.now_us = strtoll(argv[3], NULL, 10);
    doc = json_load_file(argv[1], 0, &error);
    if (doc == NULL) {
        (void)fprintf(stderr, "show-page: cannot read '%s': %s\n", argv[1], error.text);
        return 1;
    }
    if (page_render(doc, &view, &out) != 0)
        return 1;
    (void)fwrite(out.data, 1, out.len, stdout);
    buf_done(&out);
    json_decref(doc);
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
