/* All pairs, vectorised by the compiler. The exponential: exp(x) = 2^n * 2^f with n an integer and
   |f| <= 1/2; 2^f by its Taylor polynomial, relative error below 2e-7. x is never positive. */

#include <stdint.h>
#include <string.h>

static inline float exponential(float x) {
    float t = x * 1.44269504f;
    t = t < -126.0f ? -126.0f : t;
    /* -ffast-math would fold adding and subtracting a large constant: rounded by conversion. */
    int32_t n = (int32_t)(t - 0.5f);
    float f = (t - (float)n) * 0.693147181f;
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * (4.16666667e-2f
        + f * (8.33333333e-3f + f * (1.38888889e-3f + f * 1.98412698e-4f))))));
    int32_t bits = (n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

void gauss_sums(const float *restrict x, const float *restrict y, const float *restrict z,
                const float *restrict weights, float scale, long size, float *restrict sums) {
    for (long i = 0; i < size; i++) {
        float total = 0.0f;
        for (long j = 0; j < size; j++) {
            float a = x[i] - x[j], b = y[i] - y[j], c = z[i] - z[j];
            total += weights[j] * exponential((a * a + b * b + c * c) * scale);
        }
        sums[i] = total;
    }
}
