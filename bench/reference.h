/* What the reference servers share: the listening socket, the answer and how it goes out. */
#ifndef REMUDA_BENCH_REFERENCE_H
#define REMUDA_BENCH_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* What is answered, as the command line says it; valid as long as the process. */
struct reference_content {
    const char *type; /* Content-Type */
    const char *body;
    size_t body_len;
    const char *file; /* where the body was read from; NULL: from nowhere */
};

/* What goes out on one connection; zero but for fd at first. */
struct reference_out {
    int fd;
    const char *owed; /* bytes that the socket did not take, from owed_at; NULL nearly always */
    char *heap;       /* where they are, unless they are the answer's own; NULL nearly always */
    size_t owed_len;
    size_t owed_at;
};

/* Sets what is answered from argv = { name, port, [content-type, body] }, opens the socket on
 * 127.0.0.1 and prints the port as the first line of stdout. Port 0 lets the kernel choose; a body
 * that begins with @ names the file that holds it.
 * On any error it says what is wrong on stderr and exits with 2.
 * Returns  the listening descriptor, non-blocking and close-on-exec */
int reference_init(int argc, char **argv);

/* Returns  what reference_init has read */
const struct reference_content *reference_content(void);

/* Renders both heads anew when now is another second than at the last call (RFC 9110 §6.6.1:
 * Date); to be called once a turn of the loop, before anything is put.
 * Safe     the process's only thread */
void reference_tick(time_t now);

/* Puts the answer to a request behind those that wait to be written in this turn. close says
 * whether the connection ends behind it (then with the field Connection: close, as remuda sends
 * it). The waiting ones are of one connection: flush before another one's turn.
 * Returns  false when the connection is of no more use */
bool reference_put(struct reference_out *out, bool close);

/* Writes what waits. Afterwards out->owed says whether the socket has to become writable first.
 * Returns  false when the connection is of no more use */
bool reference_flush(struct reference_out *out);

/* Writes more of what is owed, which there must be.
 * Returns  false when the connection is of no more use */
bool reference_resume(struct reference_out *out);

/* Closes the connection and forgets what waits and what is owed. */
void reference_end(struct reference_out *out);

/* Takes one waiting connection, non-blocking and without Nagle's delay.
 * Returns  a descriptor; -1 when none waits */
int reference_accept(int listen_fd);

#endif
