/* Multiply-adds on registers alone: how many this CPU can do, memory aside.
 * Built by peak.py with -O3 -march=native -ffp-contract=fast, called once on each core. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

/* Enough independent sums to hide the latency of an instruction, few enough for the registers there are. */
#define SUMS 12

typedef float vector __attribute__((vector_size(BYTES)));

/* Return the floating-point operations done, two for each multiply-add; the sums go to `out`. */
long multiply_add(long steps, float *out) {
    vector sums[SUMS];
    vector factor, addend;
    for (unsigned lane = 0; lane < BYTES / sizeof(float); lane++) {
        factor[lane] = 0.999f;
        addend[lane] = 0.001f;
        for (int i = 0; i < SUMS; i++) sums[i][lane] = (float)i;
    }
    for (long step = 0; step < steps; step++) {
        for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + addend;
    }
    *out = 0;
    for (int i = 0; i < SUMS; i++) *out += sums[i][0];
    return steps * SUMS * 2 * (long)(BYTES / sizeof(float));
}
