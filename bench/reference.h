/* What both reference servers share: the listening socket and the answer's bytes. */
#ifndef REMUDA_BENCH_REFERENCE_H
#define REMUDA_BENCH_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* The largest head plus body, in bytes; reference_init() refuses what does not fit. */
#define REFERENCE_ANSWER_MAX 4096

/* One answer, head and body, ready to be written. */
struct reference_answer {
    size_t len;
    char bytes[REFERENCE_ANSWER_MAX];
};

/* Sets what is answered from argv = { name, port, [content-type, body] }, opens the socket on
 * 127.0.0.1 and prints the port as the first line of stdout. Port 0 lets the kernel choose.
 * On any error it says what is wrong on stderr and exits with 2.
 * Returns  the listening descriptor, non-blocking and close-on-exec */
int reference_init(int argc, char **argv);

/* Renders both answers anew when now is another second than at the last call (RFC 9110 §6.6.1:
 * Date); to be called once a turn of the loop.
 * Safe     the process's only thread */
void reference_tick(time_t now);

/* The answer to a request. close says whether the connection ends behind it (then with the field
 * Connection: close, as remuda sends it).
 * Returns  bytes valid until the next reference_tick */
const struct reference_answer *reference_answer(bool close);

/* Takes one waiting connection, non-blocking and without Nagle's delay.
 * Returns  a descriptor; -1 when none waits */
int reference_accept(int listen_fd);

#endif
