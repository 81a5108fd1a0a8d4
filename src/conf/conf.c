/* Reading a configuration, from its file or from memory: the guard (guard.c) before inih, the
 * meaning of each line (meaning.c, peers.c) behind it, and what only the whole tells (finish.c). */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "conf/reading_int.h"

#include "base/banned.h"

int conf_parse(const char *path, const void *data, size_t len, const char *id, bool need_self,
               struct conf *ret, struct conf_problems *ret_problems)
{
    cleanup_free struct conf *c = calloc(1, sizeof(*c));
    struct reading rd = {
        .c = c, .problems = ret_problems, .data = data, .len = len, .section = CONF_SECTION_NONE};
    int rc;

    *ret_problems = (struct conf_problems){0};
    if (c == NULL)
        return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
    conf_set_defaults(c);
    (void)snprintf(c->path, sizeof(c->path), "%s", path);

    if (len > CONF_FILE_BYTES_MAX) {
        conf_problem_add(&rd, 0, "larger than %u KiB: this is no configuration file",
                         CONF_FILE_BYTES_MAX >> 10);
    } else if (bytes_look_utf16(data, len)) {
        conf_problem_add(&rd, 1, "this is UTF-16; save the file as plain UTF-8");
    } else {
        rc = ini_parse_stream(conf_read_line, &rd, conf_take_pair, &rd);
        /* The guard lets through nothing that inih refuses; if it does, nothing is taken on
         * trust. */
        if (rc == -2)
            rd.out_of_memory = true;
        else if (rc != 0)
            conf_problem_add(&rd, rc > 0 ? (unsigned)rc : 0, "not understood");
        conf_finish(&rd, id, need_self);
    }
    if (rd.out_of_memory) {
        conf_problems_done(ret_problems);
        return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
    }
    if (ret_problems->n > 0) {
        conf_problems_sort(ret_problems);
        return CONF_E_PROBLEMS;
    }
    *ret = *c;
    ret->self = c->self != NULL ? &ret->peers[c->self - c->peers] : NULL;
    return 0;
}

int conf_load(const char *path, const char *id, bool need_self, struct conf *ret,
              struct conf_problems *ret_problems)
{
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    cleanup_buf struct buf b = BUF_INIT;

    *ret_problems = (struct conf_problems){0};
    if (fd < 0)
        return err_origin(err_say(-errno, "cannot open '%s': %s", path, strerror(errno)));
    /* One byte more than allowed tells conf_parse() that it is too much. */
    while (b.len <= CONF_FILE_BYTES_MAX) {
        size_t room =
            CONF_FILE_BYTES_MAX + 1 - b.len < 4096 ? CONF_FILE_BYTES_MAX + 1 - b.len : 4096;
        void *to = buf_reserve(&b, room);
        ssize_t n;

        if (to == NULL)
            return err_origin(err_say(-ENOMEM, "cannot read '%s': no memory", path));
        n = read(fd, to, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_origin(err_say(-errno, "cannot read '%s': %s", path, strerror(errno)));
        if (n == 0)
            break;
        b.len += (size_t)n;
    }
    return conf_parse(path, b.data, b.len, id, need_self, ret, ret_problems);
}
