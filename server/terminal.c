/* The terminal. Process: `remuda top`.
 *
 * ncurses would do this and a hundred other things; what is needed is six escapes that all
 * terminals share, and one dependency less. Signals stay signals (ISIG), so Ctrl-C and Ctrl-Z are
 * for the loop to hear. */
#include "server/terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"

/* Other screen, no cursor, no wrapping at the right edge; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static struct {
    struct termios before;
    bool is_open;
    char keys[64]; /* read, not given yet */
    size_t n_keys;
} terminal;

bool terminal_is_usable(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && kind[0] &&
           strcmp(kind, "dumb") != 0;
}

bool terminal_has_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return !no || no[0] == '\0';
}

bool terminal_is_utf8(void)
{
    return setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_write(const char *data, size_t len)
{
    (void)!fd_write_all(STDOUT_FILENO, data,
                        len); /* a terminal that has gone is seen at the keys */
}

int terminal_open(void)
{
    if (tcgetattr(STDIN_FILENO, &terminal.before) < 0)
        return -errno;
    struct termios raw = terminal.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
        return -errno;
    terminal.is_open = true;
    terminal_write(ENTER, sizeof ENTER - 1);
    return 0;
}

void terminal_close(void)
{
    if (!terminal.is_open)
        return;
    terminal.is_open = false;
    terminal_write(LEAVE, sizeof LEAVE - 1);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal.before);
}

void terminal_size(unsigned *out_width, unsigned *out_height)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *out_width = is_known ? size.ws_col : 80;
    *out_height = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

static void drop_keys(size_t n)
{
    terminal.n_keys -= n;
    memmove(terminal.keys, terminal.keys + n, terminal.n_keys);
}

/* What comes behind ESC, when something does. */
static int take_sequence(void)
{
    static const struct {
        const char *text;
        int key;
    } sequences[] = {
        {"[A", TERMINAL_UP},   {"OA", TERMINAL_UP},       {"[B", TERMINAL_DOWN},
        {"OB", TERMINAL_DOWN}, {"[5~", TERMINAL_PAGE_UP}, {"[6~", TERMINAL_PAGE_DOWN},
    };
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        size_t len = strlen(sequences[i].text);
        if (terminal.n_keys >= len && memcmp(terminal.keys, sequences[i].text, len) == 0) {
            drop_keys(len);
            return sequences[i].key;
        }
    }
    if (terminal.n_keys == 0)
        return TERMINAL_ESCAPE;
    /* Another key's: up to the letter or tilde that ends it (ECMA-48 §5.4). */
    size_t n = terminal.keys[0] == '[' || terminal.keys[0] == 'O' ? 1 : 0;
    while (n < terminal.n_keys && (terminal.keys[n] < 0x40 || terminal.keys[n] > 0x7e))
        n++;
    drop_keys(n < terminal.n_keys ? n + 1 : terminal.n_keys);
    return TERMINAL_NONE;
}

bool terminal_has_keys(void)
{
    return terminal.n_keys > 0;
}

int terminal_read_key(void)
{
    if (terminal.n_keys == 0) {
        ssize_t n = read(STDIN_FILENO, terminal.keys, sizeof terminal.keys);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return TERMINAL_NONE;
        if (n <= 0)
            return TERMINAL_END;
        terminal.n_keys = (size_t)n;
    }
    int key = (unsigned char)terminal.keys[0];
    drop_keys(1);
    return key == 033 ? take_sequence() : key;
}
