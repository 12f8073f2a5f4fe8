/* How long tests wait for events. Deadlines are generous, since a test that passes never uses them
 * up; REMUDA_TEST_SLOW=N makes them N times as long (valgrind, crowded machines). */
#ifndef REMUDA_TESTS_HARNESS_PATIENCE_H
#define REMUDA_TESTS_HARNESS_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_MS 30000 /* the usual deadline */

/* The moment, on the monotonic clock in microseconds, `ms` scaled from now. */
uint64_t patience_until(unsigned ms);

/* How many times slower than usual things are here: sanitizers, REMUDA_TEST_SLOW. Tests that try
 * very many things try that many fewer. ≥ 1 */
unsigned patience_factor(void);

/* Whether REMUDA_TEST_LONG=1 asks for tests as long as the promises are (tests/soak), and how often
 * to do something: few times, or, then, many. */
bool patience_is_long(void);
unsigned patience_times(unsigned few, unsigned many);

/* Milliseconds left for poll(2), rounded up; 0 when the deadline has passed. */
int patience_left_ms(uint64_t deadline_us);

/* For conditions without a descriptor to wait on (a process table, /proc): lets others run for a
 * few milliseconds. Returns false when the deadline has passed */
bool patience_turn(uint64_t deadline_us);

/* Waits until fd is ready. events as for poll(2). Returns false when the deadline has passed */
bool patience_poll(int fd, short events, uint64_t deadline_us);

#endif
