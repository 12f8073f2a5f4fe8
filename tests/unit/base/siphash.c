/* base/siphash.c against what its authors have published: key 00 … 0f, of 00 01 02 …. */
#include "base/siphash.h"

#include "tests/harness/check.h"

static void hashes_are_those_of_its_authors(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {{0, UINT64_C(0x726fdb47dd0e0e31)}, {15, UINT64_C(0xa129ca6149be45e5)}};
    static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char data[15];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ(siphash(key, data, rows[i].len), rows[i].hash);
    CHECK_EQ(siphash(key, NULL, 0), rows[0].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hashes_are_those_of_its_authors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
