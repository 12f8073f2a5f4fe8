/* base/title.c: what the kernel shows of this very process. main() gives the room, as the server's
 * does, so arguments and environment of the test program are what titles overwrite. */
#include "base/title.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/check.h"

#undef fork

#define PAGE 4096

static char before[PAGE]; /* /proc/self/cmdline when main() began */
static size_t before_len;
static char **given; /* argv, as the kernel gave it */
static char **taken; /* what title_take() gave */
static int n_given;

static size_t read_command(char out[PAGE])
{
    FILE *file = fopen("/proc/self/cmdline", "re");
    CHECK(file != NULL);
    size_t n = fread(out, 1, PAGE, file);
    (void)fclose(file);
    return n;
}

/* The title and the NUL behind it are all that is there. */
static void expect_title(const char *title)
{
    char seen[PAGE];
    size_t n = read_command(seen);
    CHECK_BYTES(seen, n, title, strlen(title) + 1);
}

static void taking_the_room_changes_nothing_that_is_seen(void **state)
{
    (void)state;
    char seen[PAGE];
    size_t n = read_command(seen);
    CHECK_BYTES(seen, n, before, before_len);
    CHECK(taken != given);
    for (int i = 0; i < n_given; i++) {
        CHECK(taken[i] != given[i]);
        CHECK_TEXT(taken[i], given[i]);
    }
    CHECK(taken[n_given] == NULL);
}

/* Runs before a title is set. */
static void environment_lives_on(void **state)
{
    (void)state;
    CHECK_TEXT(getenv("REMUDA_TITLE_TEST"), "kept");
    title_set("", NULL, "overwrites what was there");
    CHECK_TEXT(getenv("REMUDA_TITLE_TEST"), "kept");
    CHECK(setenv("REMUDA_TITLE_OTHER", "new", 1) == 0);
    CHECK_TEXT(getenv("REMUDA_TITLE_OTHER"), "new");
    CHECK_TEXT(program_invocation_name, taken[0]);
    CHECK(strchr(program_invocation_short_name, '/') == NULL);
    CHECK_HAS(taken[0], program_invocation_short_name);
}

static void a_title_is_shown_whatever_its_length(void **state)
{
    (void)state;
    char name[64] = "";
    char expected[128];
    title_set("", NULL, "m");
    expect_title("remuda: m");
    title_set("shop", NULL, "loader gen %d", 7);
    expect_title("remuda: loader gen 7 [shop]");
    title_set("shop", "draining", "web worker %d gen %d", 2, 7);
    expect_title("remuda: web worker 2 gen 7 [shop] (draining)");
    for (int i = 0; i < 60; i++) { /* across the border between arguments and environment */
        memset(name, 'n', (size_t)i);
        name[i] = '\0';
        (void)snprintf(expected, sizeof expected, "remuda: %s", name);
        title_set("", NULL, "%s", name);
        expect_title(expected);
    }
    title_set("", NULL, "m"); /* and nothing of it is left */
    expect_title("remuda: m");
}

static void business_is_a_store_to_memory(void **state)
{
    (void)state;
    title_set("", TITLE_IDLE, "web worker 2 gen 7");
    expect_title("remuda: web worker 2 gen 7 (idle)");
    title_mark(true);
    expect_title("remuda: web worker 2 gen 7 (busy)");
    title_mark(false);
    expect_title("remuda: web worker 2 gen 7 (idle)");
    title_set("", "draining", "web worker 2 gen 7");
    title_mark(true); /* no such state: nothing happens */
    expect_title("remuda: web worker 2 gen 7 (draining)");
}

static void a_detail_comes_and_goes(void **state)
{
    (void)state;
    char path[4000];
    char seen[PAGE];
    title_set("", TITLE_IDLE, "w");
    title_mark(true);
    title_set_detail(STR("GET"), STR("/a b\n\xc3\xa4"));
    expect_title("remuda: w (busy GET /a?b??\?)");
    title_set_detail(STR("GET"), STR("/"));
    expect_title("remuda: w (busy GET /)");
    title_mark(false);
    title_set_detail(STR(""), STR(""));
    expect_title("remuda: w (idle)");
    memset(path, 'p', sizeof path);
    title_set_detail(STR("POST"), str_make(path, sizeof path));
    size_t n = read_command(seen);
    CHECK(n > 0 && n < 400 && seen[n - 1] == '\0'); /* cut, and ended */
    CHECK_HAS(seen, "remuda: w (idle POST pppp");
    CHECK(seen[n - 2] == ')');
    title_set_detail(STR(""), STR(""));
    expect_title("remuda: w (idle)");
    title_set("", NULL, "w");
    title_set_detail(STR("GET"), STR("/")); /* no state, no detail */
    expect_title("remuda: w");
}

static void a_title_too_long_is_cut(void **state)
{
    (void)state;
    char text[3000];
    char seen[PAGE];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    title_set(text, text, "%s", text);
    size_t n = read_command(seen);
    CHECK(n > 20 && n < 512 && seen[n - 1] == '\0');
    title_mark(true);
    CHECK_EQ(read_command(seen), n);
}

static void a_child_has_a_title_of_its_own(void **state)
{
    (void)state;
    char seen[PAGE];
    title_set("", NULL, "parent");
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        title_set("", NULL, "child");
        size_t n = read_command(seen);
        _exit(n == 14 && strcmp(seen, "remuda: child") == 0 ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    expect_title("remuda: parent");
}

static void the_short_name_is_set(void **state)
{
    (void)state;
    char name[17] = "";
    title_set_comm("remuda-web");
    CHECK(prctl(PR_GET_NAME, name, 0, 0, 0) == 0);
    CHECK_TEXT(name, "remuda-web");
}

/* A list that is not in one piece gives no room, and no harm. */
static void arguments_that_lie_elsewhere_are_left_alone(void **state)
{
    (void)state;
    char one[] = "one";
    char *list[] = {one, taken[0], NULL};
    CHECK(title_take(2, list) == list);
    CHECK(title_take(0, list + 2) == list + 2);
    CHECK_TEXT(one, "one");
    title_set("", NULL, "still");
    expect_title("remuda: still");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(taking_the_room_changes_nothing_that_is_seen),
        cmocka_unit_test(environment_lives_on),
        cmocka_unit_test(a_title_is_shown_whatever_its_length),
        cmocka_unit_test(business_is_a_store_to_memory),
        cmocka_unit_test(a_detail_comes_and_goes),
        cmocka_unit_test(a_title_too_long_is_cut),
        cmocka_unit_test(a_child_has_a_title_of_its_own),
        cmocka_unit_test(the_short_name_is_set),
        cmocka_unit_test(arguments_that_lie_elsewhere_are_left_alone),
    };
    if (getenv("REMUDA_UNDER_VALGRIND")) {
        (void)printf("skipped: /proc/self/cmdline is valgrind's\n");
        return 0;
    }
    if (!getenv("REMUDA_TITLE_TEST")) { /* once more, with an environment that we know */
        (void)setenv("REMUDA_TITLE_TEST", "kept", 1);
        (void)execv("/proc/self/exe", argv);
        return 1;
    }
    before_len = read_command(before);
    given = argv;
    n_given = argc;
    taken = title_take(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
