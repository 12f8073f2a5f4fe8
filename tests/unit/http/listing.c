/* http/listing.c: names on a page, whatever they are made of. */
#include "http/listing.h"

#include "tests/unit/http/asked.h"

static char *page_of(const char *path, const struct listing_options *options)
{
    struct buf page = {0};
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(listing_render(fd, options, &page), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(buf_append(&page, "", 1), 0);
    return page.data;
}

static void names_are_escaped_for_page_and_link(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *link;
        const char *text;
    } rows[] = {
        {"plain-1._~txt", "plain-1._~txt", "plain-1._~txt"},
        {"<b>&\"'", "%3Cb%3E%26%22%27", "&lt;b&gt;&amp;&quot;&#39;"},
        {"javascript:alert(1)", "javascript%3Aalert%281%29", "javascript:alert(1)"},
        {"a?b#c", "a%3Fb%23c", "a?b#c"},
        {"100%2F", "100%252F", "100%2F"},
        {"\\", "%5C", "\\"},
        {"gr\xc3\xb6\xc3\x9f"
         "e",
         "gr%C3%B6%C3%9Fe",
         "gr\xc3\xb6\xc3\x9f"
         "e"},
        {"\xff\xc3", "%FF%C3", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\nb\x7f", "a%0Ab%7F",
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        asked_write(rows[i].name, "");
    char *page = page_of(".", &(struct listing_options){.path = STR("/<x>/")});
    CHECK_HAS(page, "<title>Index of /&lt;x&gt;/</title>");
    CHECK_HAS(page, "<h1>Index of /&lt;x&gt;/</h1>");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[256];
        check_context("%s", rows[i].name);
        (void)snprintf(line, sizeof line, "<a href=\"%s\">%s</a>", rows[i].link, rows[i].text);
        CHECK_HAS(page, line);
    }
    free(page);
}

static void folders_come_first_and_each_kind_is_sorted(void **state)
{
    (void)state;
    asked_write("b", "12345");
    asked_write("a", "");
    asked_write("Z", "");
    CHECK(mkdir("zz", 0755) == 0 && mkdir("y", 0755) == 0);
    asked_touch("b", 1600000000, 0);
    char *page = page_of(".", &(struct listing_options){.path = STR("/"), .has_parent = true});
    static const char *const order[] = {"href=\"../\"", "href=\"y/\">y/<", "href=\"zz/\">zz/<",
                                        "href=\"Z\"",   "href=\"a\"",      "href=\"b\""};
    const char *at = page;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const char *found = strstr(at, order[i]);
        CHECK_SAYING(found, "%s is not behind the one before it in %s", order[i], page);
        at = found;
    }
    CHECK_HAS(page, "<a href=\"b\">b</a></td><td align=\"right\">5</td>"
                    "<td>Sun, 13 Sep 2020 12:26:40 GMT</td></tr>");
    free(page);
}

static void only_what_can_be_sent_is_there(void **state)
{
    (void)state;
    asked_write(".hidden", "");
    asked_write("seen", "");
    CHECK(mkfifo("fifo", 0644) == 0 && symlink("/etc/shadow", "link") == 0);
    char *page = page_of(".", &(struct listing_options){.path = STR("/")});
    CHECK_HAS(page, ">seen<");
    CHECK_HAS_NOT(page, "hidden");
    CHECK_HAS_NOT(page, "fifo");
    CHECK_HAS_NOT(page, "link");
    CHECK_HAS_NOT(page, "../");
    free(page);
    page = page_of(
        ".", &(struct listing_options){.path = STR("/"), .has_dotfiles = true, .has_links = true});
    CHECK_HAS(page, "<a href=\".hidden\">.hidden</a>");
    CHECK_HAS(page, "<a href=\"link\">link</a></td><td align=\"right\"></td>"); /* no size */
    CHECK_HAS_NOT(page, "fifo");
    CHECK_HAS_NOT(page, "href=\"./\"");
    CHECK_HAS_NOT(page, "href=\"../\"");
    free(page);
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

static void a_full_folder_is_cut_and_says_so(void **state)
{
    (void)state;
    char name[32];
    CHECK_EQ(mkdir("full", 0755), 0);
    for (int i = 0; i <= LISTING_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "full/%d", i);
        asked_write(name, "");
        if (i == LISTING_NAMES_MAX - 1) {
            char *page = page_of("full", &(struct listing_options){.path = STR("/")});
            CHECK_EQ(count(page, "<td><a "), LISTING_NAMES_MAX);
            CHECK_HAS_NOT(page, "There are more");
            free(page);
        }
    }
    char *page = page_of("full", &(struct listing_options){.path = STR("/")});
    CHECK_EQ(count(page, "<td><a "), LISTING_NAMES_MAX);
    CHECK_HAS(page, "There are more names");
    free(page);
}

static void what_is_no_folder_is_refused_and_closed(void **state)
{
    (void)state;
    struct buf page = {0};
    asked_write("file", "");
    int fd = open("file", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(listing_render(fd, &(struct listing_options){.path = STR("/")}, &page), -ENOTDIR);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(page.len, 0);
    buf_fini(&page);
}

int main(void)
{
#define IN_FOLDER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, asked_enter_folder, asked_leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(names_are_escaped_for_page_and_link),
        IN_FOLDER(folders_come_first_and_each_kind_is_sorted),
        IN_FOLDER(only_what_can_be_sent_is_there),
        IN_FOLDER(a_full_folder_is_cut_and_says_so),
        IN_FOLDER(what_is_no_folder_is_refused_and_closed),
    };
    return cmocka_run_group_tests_name("http/listing", tests, NULL, NULL);
}
