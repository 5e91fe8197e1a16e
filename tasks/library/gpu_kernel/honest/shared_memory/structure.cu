// Points come through shared memory, and sine and cosine from the special function units: phases are
// brought into [-pi, pi] first, where those are exact to 5e-7.
#define TILE 128

extern "C" __global__ void structure_factors(const float *points, const float *weights,
                                             const float *waves, float *factors, int count,
                                             int size) {
    __shared__ float4 tile[TILE];
    int m = blockIdx.x * blockDim.x + threadIdx.x;
    bool mine = m < size;
    float x = mine ? waves[3 * m] : 0.0f;
    float y = mine ? waves[3 * m + 1] : 0.0f;
    float z = mine ? waves[3 * m + 2] : 0.0f;
    float real = 0.0f, imaginary = 0.0f;
    for (int begin = 0; begin < count; begin += TILE) {
        int n = begin + threadIdx.x;
        bool there = n < count;
        __syncthreads();
        tile[threadIdx.x] = make_float4(there ? points[3 * n] : 0.0f,
                                        there ? points[3 * n + 1] : 0.0f,
                                        there ? points[3 * n + 2] : 0.0f,
                                        there ? weights[n] : 0.0f);
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < TILE; k++) {
            float4 p = tile[k];
            float phase = x * p.x + y * p.y + z * p.z;
            float turns = rintf(phase * 0.159154943f);
            phase = fmaf(turns, -6.28318548f, phase);
            phase = fmaf(turns, 1.74845553e-7f, phase);
            real += p.w * __cosf(phase);
            imaginary += p.w * __sinf(phase);
        }
    }
    if (mine) {
        factors[2 * m] = real;
        factors[2 * m + 1] = imaginary;
    }
}
