/* base/network.c */
#include "base/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/err.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

/* "unix", an IPv4 or an IPv6 address. */
static union address address_of(const char *text)
{
    union address a = {.any.sa_family = AF_UNIX};
    if (strcmp(text, "unix") == 0)
        return a;
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
        a.v6.sin6_family = AF_INET6;
    }
    return a;
}

static bool list_has(const struct network_list *list, const char *address)
{
    union address a = address_of(address);
    return network_has(list, &a.any);
}

static bool has(const char *text, const char *address)
{
    struct network network;
    assert_int_equal(network_parse(str_of(text), &network, NULL), 0);
    return list_has(&(struct network_list){&network, 1}, address);
}

static void network_has_the_addresses_between_its_first_and_last(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool is_in;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"127.0.0.1", "::ffff:127.0.0.1", true},
        {"127.0.0.1", "::127.0.0.1", false},
        {"127.0.0.1", "::1", false},
        {"127.0.0.1", "unix", false},
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "::ffff:10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.0.0.0/8", "::ffff:11.0.0.0", false},
        {"192.168.255.254/31", "192.168.255.254", true},
        {"192.168.255.254/31", "192.168.255.255", true},
        {"192.168.255.254/31", "192.168.255.253", false},
        {"128.0.0.0/1", "255.255.255.255", true},
        {"128.0.0.0/1", "127.255.255.255", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::ffff:1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"0.0.0.0/0", "unix", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "1.2.3.4", false},
        {"::/0", "::ffff:1.2.3.4", false},
        {"::1", "::1", true},
        {"::1", "::", false},
        {"fd00::/8", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {"fd00::/8", "fe00::", false},
        {"2001:db8:0:0:8000::/65", "2001:db8::8000:0:0:1", true},
        {"2001:db8:0:0:8000::/65", "2001:db8::7000:0:0:1", false},
        {"2001:db8::/64", "2001:db8:0:0:ffff::", true},
        {"2001:db8::/64", "2001:db8:0:1::", false},
        {"2001:db8::/63", "2001:db8:0:1::", true},
        {"2001:db8::fffe/127", "2001:db8::ffff", true},
        {"2001:db8::fffe/127", "2001:db8::fffd", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "11.1.2.3", false},
        {"::ffff:10.0.0.1", "10.0.0.1", true},
        {"*", "1.2.3.4", true},
        {"*", "2001:db8::1", true},
        {"*", "unix", true},
        {"unix", "unix", true},
        {"unix", "127.0.0.1", false},
        {"unix", "::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (has(cases[i].network, cases[i].address) != cases[i].is_in)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
}

static void network_lists_have_what_one_of_their_networks_has(void **state)
{
    (void)state;
    struct network items[3];
    struct network_list list = {items, 3};
    assert_int_equal(network_parse(STR("127.0.0.1"), &items[0], NULL), 0);
    assert_int_equal(network_parse(STR("::1"), &items[1], NULL), 0);
    assert_int_equal(network_parse(STR("unix"), &items[2], NULL), 0);
    static const char *const in[] = {"127.0.0.1", "::1", "unix", "::ffff:127.0.0.1"};
    static const char *const out[] = {"127.0.0.2", "::2", "::"};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        assert_true(list_has(&list, in[i]));
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        assert_false(list_has(&list, out[i]));
    list.n = 2;
    assert_false(list_has(&list, "unix"));
}

static void network_has_nobody_in_an_empty_list(void **state)
{
    (void)state;
    struct network_list none = {0};
    assert_false(list_has(&none, "127.0.0.1"));
    assert_false(list_has(&none, "unix"));
    assert_false(network_has(&none, NULL));
}

static void network_any_alone_has_peers_of_no_known_family(void **state)
{
    (void)state;
    struct network items[4];
    struct network_list list = {items, 4};
    struct sockaddr other = {.sa_family = AF_UNSPEC};
    static const char *const texts[] = {"0.0.0.0/0", "::/0", "unix", "*"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(network_parse(str_of(texts[i]), &items[i], NULL), 0);
    assert_true(network_has(&list, &other));
    assert_true(network_has(&list, NULL));
    list.n = 3;
    assert_false(network_has(&list, &other));
    assert_false(network_has(&list, NULL));
}

static void network_parse_refuses_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "is empty; allowed: " NETWORK_FORMS},
        {"localhost", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0.256", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"010.0.0.1", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"0x7f.0.0.1", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"127.1", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"[::1]", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"::1%lo", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"fe80::1%eth0/64", "is no IP address or network; allowed: " NETWORK_FORMS},
        {" 10.0.0.1", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0.1 ", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0.1,10.0.0.2", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0.1:80", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"/8", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"*/0", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"unix:", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"unix:/run/a", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"UNIX", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"**", "is no IP address or network; allowed: " NETWORK_FORMS},
        {":::", "is no IP address or network; allowed: " NETWORK_FORMS},
        {"10.0.0.0/", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/33", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/08", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/+8", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/-1", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/8/8", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/255.0.0.0", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/ 8", "has no number from 0 to 32 behind its slash"},
        {"10.0.0.0/4294967304", "has no number from 0 to 32 behind its slash"},
        {"fd00::/129", "has no number from 0 to 128 behind its slash"},
        {"10.0.0.1/8", "has bits set behind its first 8; the network is 10.0.0.0/8"},
        {"192.168.1.1/31", "has bits set behind its first 31; the network is 192.168.1.0/31"},
        {"1.2.3.4/0", "has bits set behind its first 0; the network is 0.0.0.0/0"},
        {"fd00::1/8", "has bits set behind its first 8; the network is fd00::/8"},
        {"2001:db8:0:0:8000::/64",
         "has bits set behind its first 64; the network is 2001:db8::/64"},
        {"2001:db8:0:0:c000::/65",
         "has bits set behind its first 65; the network is 2001:db8:0:0:8000::/65"},
        {"::ffff:10.0.0.1/104", "has bits set behind its first 8; the network is 10.0.0.0/8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct network network = {.bits = 4711};
        struct err err = {0};
        int rc = network_parse(str_of(cases[i].text), &network, &err);
        if (rc != -EINVAL || strcmp(err.text, cases[i].reason) != 0)
            fail_msg("\"%s\": %d, %s", cases[i].text, rc, err.text);
        assert_int_equal(network.bits, 4711);
        assert_int_equal(network_parse(str_of(cases[i].text), &network, NULL), -EINVAL);
    }
    struct network network;
    assert_int_equal(network_parse(STR("127.0.0.1\0"), &network, NULL), -EINVAL);
}

static void network_format_is_read_back_as_the_same(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"*", "*"},
        {"unix", "unix"},
        {"127.0.0.1", "127.0.0.1"},
        {"127.0.0.1/32", "127.0.0.1"},
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"::1", "::1"},
        {"0:0:0:0:0:0:0:1/128", "::1"},
        {"::/0", "::/0"},
        {"FD00::/8", "fd00::/8"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:0:0/95", NULL}, /* bits behind the 95th */
        {"::fffe:0:0/95", "::fffe:0:0/95"},
        {"2001:db8:1111:2222:3333:4444:5555:6660/124",
         "2001:db8:1111:2222:3333:4444:5555:6660/124"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct network first = {0};
        struct network again = {0};
        char text[NETWORK_TEXT_MAX];
        int rc = network_parse(str_of(texts[i][0]), &first, NULL);
        assert_int_equal(rc, texts[i][1] ? 0 : -EINVAL);
        if (rc < 0)
            continue;
        size_t len = network_format(&first, text);
        assert_int_equal(len, strlen(text));
        assert_string_equal(text, texts[i][1]);
        assert_int_equal(network_parse(str_of(text), &again, NULL), 0);
        assert_int_equal(first.kind, again.kind);
        assert_int_equal(first.bits, again.bits);
        assert_true(first.high == again.high && first.low == again.low &&
                    first.high_mask == again.high_mask && first.low_mask == again.low_mask);
    }
}

/* Every prefix length against a comparison bit by bit. */
static void network_has_agrees_with_counting_bits(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 128; bits++) {
        for (unsigned flipped = 0; flipped < 128; flipped++) {
            union address a = {.v6 = {.sin6_family = AF_INET6}};
            struct network network;
            char text[NETWORK_TEXT_MAX];
            (void)snprintf(text, sizeof text, "::/%u", bits);
            assert_int_equal(network_parse(str_of(text), &network, NULL), 0);
            a.v6.sin6_addr.s6_addr[flipped / 8] = (unsigned char)(0x80 >> flipped % 8);
            struct network_list list = {&network, 1};
            assert_int_equal(network_has(&list, &a.any), flipped >= bits);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_has_the_addresses_between_its_first_and_last),
        cmocka_unit_test(network_lists_have_what_one_of_their_networks_has),
        cmocka_unit_test(network_has_nobody_in_an_empty_list),
        cmocka_unit_test(network_any_alone_has_peers_of_no_known_family),
        cmocka_unit_test(network_parse_refuses_with_a_reason),
        cmocka_unit_test(network_format_is_read_back_as_the_same),
        cmocka_unit_test(network_has_agrees_with_counting_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
