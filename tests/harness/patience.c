/* Deadlines of tests, scaled in one place: sanitizers slow everything down, and so does a build
 * that shares the machine. */
#include "tests/harness/patience.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BUILD_FACTOR 3U
#else
#define BUILD_FACTOR 1U
#endif

static unsigned slow_factor(void)
{
    const char *text = getenv("REMUDA_TEST_SLOW");
    int factor = text ? atoi(text) : 1;
    return factor >= 1 && factor <= 100 ? (unsigned)factor : 1;
}

unsigned patience_factor(void)
{
    return BUILD_FACTOR * slow_factor();
}

uint64_t patience_until(unsigned ms)
{
    return clock_now_us() + (uint64_t)ms * CLOCK_US_PER_MS * patience_factor();
}

bool patience_is_long(void)
{
    const char *text = getenv("REMUDA_TEST_LONG");
    return text && strcmp(text, "1") == 0;
}

unsigned patience_times(unsigned few, unsigned many)
{
    return patience_is_long() ? many : few;
}

int patience_left_ms(uint64_t deadline_us)
{
    uint64_t now = clock_now_us();
    return now >= deadline_us ? 0 : (int)((deadline_us - now + 999) / CLOCK_US_PER_MS);
}

bool patience_turn(uint64_t deadline_us)
{
    if (clock_now_us() >= deadline_us)
        return false;
    (void)poll(NULL, 0, 2);
    return true;
}

bool patience_poll(int fd, short events, uint64_t deadline_us)
{
    struct pollfd ready = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&ready, 1, patience_left_ms(deadline_us));
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}
