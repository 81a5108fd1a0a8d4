/* One picture after the other. A picture is printed into memory first: on a terminal it is drawn
 * over the one before, line by line, so that nothing flickers and nothing of the old one stays. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/screen_int.h"

#include "base/banned.h"

static volatile sig_atomic_t is_over;
static struct termios terminal_was;
static bool terminal_changed;
static int frame_fd = -1; /* what is printed goes there */
static int output_fd = -1;
static bool stands_in_line; /* the last line that was drawn has no end */

static void on_signal(int number)
{
    (void)number;
    is_over = 1;
}

bool screen_is_shown(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

static unsigned from_terminal(bool rows, unsigned otherwise)
{
    const int fd = output_fd >= 0 ? output_fd : STDOUT_FILENO;
    struct winsize size;
    unsigned v;

    if (ioctl(fd, TIOCGWINSZ, &size) != 0)
        return otherwise;
    v = rows ? size.ws_row : size.ws_col;
    return v > 0 ? v : otherwise;
}

unsigned screen_columns(void)
{
    return from_terminal(false, CTL_LINE_COLUMNS + 1);
}

unsigned screen_rows(void)
{
    return from_terminal(true, 24);
}

void screen_begin(bool keys)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct termios mode;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (!keys || !screen_is_shown() || tcgetattr(STDIN_FILENO, &terminal_was) != 0)
        return;
    mode = terminal_was; /* keys come at once and are not shown; ^C stays a signal */
    mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    terminal_changed = tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) == 0;
}

void screen_end(void)
{
    if (terminal_changed)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal_was);
    terminal_changed = false;
    if (stands_in_line)
        (void)putchar('\n');
    stands_in_line = false;
}

/* ---- pictures ---- */

void screen_frame_begin(void)
{
    char text[32];
    time_t now = (time_t)(clock_wall_us() / 1000000u);
    struct tm tm;

    if (!screen_is_shown()) {
        if (gmtime_r(&now, &tm) != NULL && strftime(text, sizeof(text), "%FT%TZ", &tm) > 0)
            (void)printf("%s\n", text);
        return;
    }
    (void)fflush(stdout);
    frame_fd = memfd_create("ridctl", MFD_CLOEXEC);
    output_fd = frame_fd >= 0 ? dup(STDOUT_FILENO) : -1;
    if (output_fd < 0 || dup2(frame_fd, STDOUT_FILENO) < 0)
        (void)fputs("\033[H\033[J", stdout); /* it flickers, that is all */
}

/* How many rows a line takes; a byte that goes on with a character of UTF-8 takes none. */
static unsigned rows_of(const char *line, size_t len)
{
    const unsigned columns = screen_columns();
    size_t width = 0;

    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)line[i] & 0xc0u) != 0x80u;
    return width > columns ? (unsigned)((width + columns - 1) / columns) : 1;
}

static void draw(char *text, size_t len)
{
    const unsigned rows = screen_rows();
    const char *line = text;
    unsigned row = 0;

    stands_in_line = false;
    (void)fputs("\033[H", stdout);
    while (line < text + len) {
        const char *end = memchr(line, '\n', (size_t)(text + len - line));
        const size_t n = end != NULL ? (size_t)(end - line) : (size_t)(text + len - line);

        row += rows_of(line, n);
        if (row > rows)
            break;
        (void)fwrite(line, 1, n, stdout);
        (void)fputs("\033[K", stdout);
        line += n + 1;
        stands_in_line = row == rows;
        if (stands_in_line)
            break;
        (void)putchar('\n');
    }
    (void)fputs("\033[J", stdout);
}

void screen_frame_end(void)
{
    off_t size;
    char *text;
    ssize_t n = 0;

    if (frame_fd < 0) {
        (void)putchar(screen_is_shown() ? '\r' : '\n');
        (void)fflush(stdout);
        return;
    }
    (void)fflush(stdout);
    (void)dup2(output_fd, STDOUT_FILENO);
    size = lseek(frame_fd, 0, SEEK_END);
    text = size > 0 ? malloc((size_t)size) : NULL;
    if (text != NULL)
        n = pread(frame_fd, text, (size_t)size, 0);
    if (n > 0)
        draw(text, (size_t)n);
    free(text);
    (void)close(frame_fd);
    (void)close(output_fd);
    frame_fd = output_fd = -1;
    (void)fflush(stdout);
}

/* ---- time ---- */

bool screen_is_ended(void)
{
    return is_over != 0;
}

static void take_key(void)
{
    char key;
    const ssize_t n = read(STDIN_FILENO, &key, 1);

    if (n == 1 && (key == 'q' || key == 'Q'))
        is_over = 1;
    else if (n == 0) /* the terminal is gone */
        is_over = 1;
}

bool screen_wait(unsigned ms)
{
    const uint64_t until_us = clock_mono_us() + ms * UINT64_C(1000);

    while (!is_over) {
        const uint64_t now_us = clock_mono_us();
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        int n;

        if (now_us >= until_us)
            return true;
        /* A signal may come just before: it is seen soon all the same. */
        n = poll(&fd, terminal_changed ? 1 : 0,
                 until_us - now_us > CTL_PROGRESS_EVERY_MS * UINT64_C(1000)
                     ? (int)CTL_PROGRESS_EVERY_MS
                     : (int)((until_us - now_us + 999) / 1000));
        if (n > 0)
            take_key();
    }
    return false;
}
