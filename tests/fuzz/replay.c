/* Runs a fuzz target over files, for builds without libFuzzer: `fuzz_parse DIR|FILE…` feeds each
 * file once, whole. Every crash that was ever found is kept in tests/fuzz/corpus/<what>/, so this
 * is the test that none comes back. A folder that is empty or missing is an error, since a replay
 * of nothing proves nothing. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX_BYTES = 16 << 20 };

/* Feeds one file. Returns 0; -errno */
static int feed(const char *path)
{
    char *data = NULL;
    size_t len = 0;
    int rc = fd_read_file(path, INPUT_MAX_BYTES, &data, &len);
    if (rc)
        return rc;
    /* An exact copy on the heap, without the NUL, so that the sanitizer sees an octet too far. */
    uint8_t *exact = malloc(len ? len : 1);
    if (exact) {
        if (len)
            memcpy(exact, data, len);
        (void)LLVMFuzzerTestOneInput(exact, len);
    }
    free(exact);
    free(data);
    return exact ? 0 : -ENOMEM;
}

/* Feeds a file, or every regular file of a folder. Returns how many; -errno */
static int feed_all(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return -errno;
    if (!S_ISDIR(st.st_mode)) {
        int rc = feed(path);
        return rc ? rc : 1;
    }
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int n = 0;
    for (const struct dirent *entry; n >= 0 && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char file[4096];
        (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        int rc = feed(file);
        n = rc ? rc : n + 1;
    }
    (void)closedir(dir);
    return n ? n : -ENOENT;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = feed_all(argv[i]);
        if (n < 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(-n));
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], n);
    }
    return argc > 1 ? 0 : 2;
}
