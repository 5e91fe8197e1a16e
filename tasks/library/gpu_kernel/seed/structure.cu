// One thread for each wave; every point is read from global memory.
extern "C" __global__ void structure_factors(const float *points, const float *weights,
                                             const float *waves, float *factors, int count,
                                             int size) {
    int m = blockIdx.x * blockDim.x + threadIdx.x;
    if (m >= size) {
        return;
    }
    float x = waves[3 * m], y = waves[3 * m + 1], z = waves[3 * m + 2];
    float real = 0.0f, imaginary = 0.0f;
    for (int n = 0; n < count; n++) {
        float phase = x * points[3 * n] + y * points[3 * n + 1] + z * points[3 * n + 2];
        float sine, cosine;
        sincosf(phase, &sine, &cosine);
        real += weights[n] * cosine;
        imaginary += weights[n] * sine;
    }
    factors[2 * m] = real;
    factors[2 * m + 1] = imaginary;
}
