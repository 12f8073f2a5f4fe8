/* Quantiles of a log2 histogram. */
#include "base/meter.h"

uint64_t meter_quantile(const uint64_t counts[METER_BUCKETS], unsigned permille)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < METER_BUCKETS; i++)
        total += counts[i];
    uint64_t rank = total / 1000 * permille + total % 1000 * permille / 1000;
    if (rank == 0 && total > 0)
        rank = 1;
    uint64_t below = 0;
    for (unsigned i = 0; total > 0 && i < METER_BUCKETS; i++) {
        if (counts[i] > 0 && below + counts[i] >= rank) {
            uint64_t from = i == 0 ? 0 : UINT64_C(1) << (i - 1);
            double part = (double)(rank - below) / (double)counts[i];
            return from + (uint64_t)((double)from * (part < 1 ? part : 1));
        }
        below += counts[i];
    }
    return 0;
}
