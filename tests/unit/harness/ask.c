/* The judge of the load must itself be strict: every octet of an answer that is changed, missing or
 * too many is noticed, at whatever place the answer is cut into reads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/ask.h"
#include "tests/harness/check.h"

static struct ask a;
static struct buf request;

/* Asks for a line, and gives the right answer to it. */
static const char *ask_hello(uint64_t id, const char *more_fields, bool is_chunked)
{
    static char answer[512];
    request.len = 0;
    CHECK_EQ(ask_begin(&a, ASK_HELLO, id, 0, false, &request), 0);
    if (is_chunked)
        (void)snprintf(answer, sizeof answer,
                       "HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n"
                       "7\r\nhello, \r\n11\r\n%016" PRIx64 "\n\r\n0\r\n\r\n",
                       more_fields, id);
    else
        (void)snprintf(answer, sizeof answer,
                       "HTTP/1.1 200 OK\r\n%sContent-Length: 24\r\n\r\nhello, %016" PRIx64 "\n",
                       more_fields, id);
    return answer;
}

static void right_answers_are_right_wherever_they_are_cut(void **state)
{
    (void)state;
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        size_t len = strlen(ask_hello(7, "", is_chunked));
        for (size_t cut = 1; cut < len; cut++) {
            const char *answer = ask_hello(7, "", is_chunked);
            CHECK_EQ(ask_feed(&a, answer, cut), cut);
            CHECK_EQ(a.state, ASK_COMES);
            CHECK_EQ(ask_feed(&a, answer + cut, len - cut), len - cut);
            CHECK_EQ(a.state, ASK_RIGHT);
        }
    }
}

/* But for letters' case, which does not matter in the name of a field. */
static void every_changed_octet_is_noticed(void **state)
{
    (void)state;
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        size_t len = strlen(ask_hello(7, "", is_chunked));
        for (size_t at = 0; at < len; at++) {
            char bad[512];
            (void)snprintf(bad, sizeof bad, "%s", ask_hello(7, "", is_chunked));
            if (at == 13 || at == 14)
                continue; /* the reason phrase */
            bad[at] ^= 0x40;
            (void)ask_feed(&a, bad, len);
            CHECK_SAYING(a.state != ASK_RIGHT, "octet %zu of\n%s", at, bad);
        }
    }
}

static void what_follows_is_not_taken(void **state)
{
    (void)state;
    char two[1024];
    const char *answer = ask_hello(7, "", false);
    size_t len = strlen(answer);
    (void)snprintf(two, sizeof two, "%s%s", answer, answer);
    CHECK_EQ(ask_feed(&a, two, 2 * len), len);
    CHECK_EQ(a.state, ASK_RIGHT);
}

static void answer_of_another_is_wrong(void **state)
{
    (void)state;
    char other[512];
    (void)snprintf(other, sizeof other, "%s", ask_hello(8, "", false));
    (void)ask_hello(7, "", false);
    (void)ask_feed(&a, other, strlen(other));
    CHECK_EQ(a.state, ASK_WRONG);
}

static void two_lengths_are_wrong(void **state)
{
    (void)state;
    const char *answer = ask_hello(7, "Content-Length: 24\r\n", false);
    (void)ask_feed(&a, answer, strlen(answer));
    CHECK_EQ(a.state, ASK_WRONG);
}

static void answer_says_who_gave_it_and_whether_it_is_the_last(void **state)
{
    (void)state;
    const char *answer =
        ask_hello(7, "Connection: close\r\nX-Worker: pid=12 generation=3\r\n", true);
    (void)ask_feed(&a, answer, strlen(answer));
    CHECK_EQ(a.state, ASK_RIGHT);
    CHECK(a.is_closing);
    CHECK_EQ(a.pid, 12);
    CHECK_EQ(a.generation, 3);
}

/* What was asked for earlier leaves nothing behind; what is sent is what must come back. */
static void uploads_of_all_sizes_carry_what_they_expect(void **state)
{
    (void)state;
    uint64_t dice = 1;
    for (uint64_t id = 1; id < 500; id++) {
        char head[128];
        request.len = 0;
        CHECK_EQ(ask_begin(&a, ASK_ECHO, id, ask_random(&dice), id % 2 == 0, &request), 0);
        CHECK_EQ(buf_printf(&request, "%s", ""), 0);
        const char *body = strstr(request.data, "\r\n\r\n") + 4;
        size_t len = (size_t)(request.data + request.len - body);
        (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
        CHECK_EQ(ask_feed(&a, head, strlen(head)), strlen(head));
        CHECK_EQ(ask_feed(&a, body, len), len);
        CHECK_EQ(a.state, ASK_RIGHT);
    }
}

static int give_back(void **state)
{
    (void)state;
    ask_fini(&a);
    buf_fini(&request);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_answers_are_right_wherever_they_are_cut),
        cmocka_unit_test(every_changed_octet_is_noticed),
        cmocka_unit_test(what_follows_is_not_taken),
        cmocka_unit_test(answer_of_another_is_wrong),
        cmocka_unit_test(two_lengths_are_wrong),
        cmocka_unit_test(answer_says_who_gave_it_and_whether_it_is_the_last),
        cmocka_unit_test(uploads_of_all_sizes_carry_what_they_expect),
    };
    return cmocka_run_group_tests(tests, NULL, give_back);
}
