// One token of one row through a transformer, all of it in one call: what the decoders of PyTorch compute call by call.
//
// A step is bound by reading the weights once. So the threads are called together once a token, each reads its own share of the
// rows of every matrix as they lie in memory, (d_out, d_in), and what is small enough each thread computes for itself.
// `step.py` mirrors the records. Nothing is kept between calls, so any number of threads may call at once, each with its own Row.

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__) || defined(__AVX2__)
#include <immintrin.h>
#endif

typedef int64_t Size;
typedef struct { const void *weight; const float *bias; Size type; } Linear;  // bias: null for none; type: see below
typedef struct { const float *gain, *bias; double eps; } Norm;  // gain: null for no norm
typedef struct {
    Norm norm_1, norm_2, query_norm, key_norm;
    Linear query, key, value, out, gate, up, down;  // gate.weight null: GELU(up), else SiLU(gate) * up
    Size window;                                    // tokens that a query looks at, itself included; 0 is all
} Block;
typedef struct {
    Size d_model, n_layers, n_heads, n_kv_heads, head_width, inner, vocab_size, num_tokens;
    Size is_rms, norms_first, pairs_beside;  // pairs_beside: a head's pairs are its neighbours, as GGUF's llama has them
    const float *table, *positions;  // of tokens, (num_tokens, d_model); of places, null where queries and keys are turned
    double table_scale;
    const Block *blocks;
    Norm norm;
    Linear head;
} Model;
typedef struct {
    Size capacity, first, num_threads;  // slots of the cache; the first slot that holds a token
    const float *turns;  // (capacity, 2 * head_width): cosines twice, sines, negative sines of each position; or null
    float *scratch, *logits;
} Row;
typedef struct { Size from, end; } Share;

enum { FLOATS = 0, Q4_0 = 2, Q4_1 = 3, Q8_0 = 8, BLOCK = 32 };  // of a weight: ggml's numbers, and how many share a scale
enum { LANES = 16, BESIDE = 4 };  // numbers of a vector; vectors that are summed side by side
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static Share share(Size number)
{
    Size thread = omp_get_thread_num(), threads = omp_get_num_threads();
    return (Share){number * thread / threads, number * (thread + 1) / threads};
}

// Numbers

// e^x to 2e-7 of itself (Moshier's Cephes, expf); a loop over it becomes vector instructions.
static inline float exponential(float x)
{
    x = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    float whole = floorf(x * 1.44269504f + 0.5f);
    float rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float power = 1.9875691500e-4f;
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    union { int32_t bits; float number; } two = {((int32_t)whole + 127) << 23};
    return power * two.number;
}

// x * Phi(x), the error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
static inline float gelu(float x)
{
    float size = fabsf(x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * size);
    float poly = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    float tail = 0.5f * poly * exponential(-size * size);
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

static inline float silu(float x)
{
    return x / (1.0f + exponential(-x));
}

// LayerNorm, or RMSNorm where is_rms; out may be x.
static void normed(const Norm *norm, Size is_rms, const float *x, float *out, Size width)
{
    float mean = 0.0f, square = 0.0f;
    if (!is_rms) {
        #pragma omp simd reduction(+ : mean)
        for (Size i = 0; i < width; i++) mean += x[i];
        mean /= width;
    }
    #pragma omp simd reduction(+ : square)
    for (Size i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
    float factor = 1.0f / sqrtf(square / width + (float)norm->eps);
    const float *gain = norm->gain, *bias = norm->bias;
    if (bias) {
        #pragma omp simd
        for (Size i = 0; i < width; i++) out[i] = (x[i] - mean) * factor * gain[i] + bias[i];
    } else {
        #pragma omp simd
        for (Size i = 0; i < width; i++) out[i] = (x[i] - mean) * factor * gain[i];
    }
}

static inline float sum_of(Lanes lanes)
{
    float parts[LANES];
    *(Lanes *)parts = lanes;
    for (Size half = LANES / 2; half; half /= 2)
        for (Size lane = 0; lane < half; lane++) parts[lane] += parts[lane + half];
    return parts[0];
}

// Sums side by side hide the latency of an addition; a single row at a time keeps memory's prefetching at its best.
static inline float dot(const float *row, const float *x, Size width)
{
    Lanes sums[BESIDE] = {0};
    Size i = 0;
    for (; i + BESIDE * LANES <= width; i += BESIDE * LANES)
        for (Size k = 0; k < BESIDE; k++)
            sums[k] += *(const Lanes *)(x + i + k * LANES) * *(const Lanes *)(row + i + k * LANES);
    for (; i + LANES <= width; i += LANES) sums[0] += *(const Lanes *)(x + i) * *(const Lanes *)(row + i);
    float rest = 0.0f;
    for (; i < width; i++) rest += x[i] * row[i];
    return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

static inline float of_half(const uint8_t *bytes)
{
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
#ifdef __F16C__
    return _cvtsh_ss(bits);
#else
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = (uint32_t)(bits & 0x7fff) << 13;
    union { uint32_t bits; float number; } found = {rest};  // its exponent is 112 too small, also where it is subnormal
    found.number *= 0x1p112f;
    found.bits |= sign;
    return found.number;
#endif
}

typedef uint8_t Pairs __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef int8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

// Whole numbers as floats. GCC 12 converts them one by one where it is not told the instructions: six times slower.
#ifdef __AVX512F__
static inline Lanes of_pairs(Pairs from) { return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)from)); }
static inline Lanes of_bytes(Bytes from) { return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)from)); }
#elif defined(__AVX2__)
typedef union { __m256 halves[2]; Lanes lanes; } Halves;
static inline Lanes of_pairs(Pairs from)
{
    const __m128i low = (__m128i)from, high = _mm_srli_si128(low, LANES / 2);
    return ((Halves){{_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high))}}).lanes;
}
static inline Lanes of_bytes(Bytes from)
{
    const __m128i low = (__m128i)from, high = _mm_srli_si128(low, LANES / 2);
    return ((Halves){{_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high))}}).lanes;
}
#else
static inline Lanes of_pairs(Pairs from) { return __builtin_convertvector(from, Lanes); }
static inline Lanes of_bytes(Bytes from) { return __builtin_convertvector(from, Lanes); }
#endif

static Size row_bytes(Size type, Size width)
{
    return width / BLOCK * (type == Q4_1 ? 20 : type == Q4_0 ? 18 : 34);
}

// Blocks of 32 numbers of 4 bits: a scale, with Q4_1 a least number, then number j beside number j + 16.
static inline float dot_of_4_bits(const uint8_t *row, Size head, const float *x, const float *sums, Size width)
{
    Lanes lows = {0}, highs = {0};
    float rest = 0.0f;
    for (Size block = 0; block < width / BLOCK; block++, row += head + LANES, x += BLOCK) {
        const Pairs pairs = *(const Pairs *)(row + head);
        const Lanes low = of_pairs(pairs & 15), high = of_pairs(pairs >> 4);
        const float scale = of_half(row), least = head == 4 ? of_half(row + 2) : -8.0f * scale;
        lows += low * *(const Lanes *)x * scale;
        highs += high * *(const Lanes *)(x + LANES) * scale;
        rest += least * sums[block];
    }
    return sum_of(lows + highs) + rest;
}

static inline float dot_of_8_bits(const uint8_t *row, const float *x, Size width)
{
    Lanes firsts = {0}, seconds = {0};
    for (Size block = 0; block < width / BLOCK; block++, row += 2 + BLOCK, x += BLOCK) {
        const Lanes first = of_bytes(*(const Bytes *)(row + 2)), second = of_bytes(*(const Bytes *)(row + 2 + LANES));
        const float scale = of_half(row);
        firsts += first * *(const Lanes *)x * scale;
        seconds += second * *(const Lanes *)(x + LANES) * scale;
    }
    return sum_of(firsts + seconds);
}

static inline float dot_of(const Linear *linear, Size row, const float *x, const float *sums, Size width)
{
    if (linear->type == FLOATS) return dot((const float *)linear->weight + row * width, x, width);
    const uint8_t *blocks = (const uint8_t *)linear->weight + row * row_bytes(linear->type, width);
    if (linear->type == Q8_0) return dot_of_8_bits(blocks, x, width);
    return linear->type == Q4_1 ? dot_of_4_bits(blocks, 4, x, sums, width) : dot_of_4_bits(blocks, 2, x, sums, width);
}

// out = weight * x + bias + added in the rows of this share; bias and added may be null, added may be out.
static void product(const Linear *linear, const float *x, Size d_in, Share mine, const float *added, float *out)
{
    const float *bias = linear->bias;
    const Size blocks = linear->type == Q4_0 || linear->type == Q4_1 ? d_in / BLOCK : 0;
    float sums[blocks + 1];  // of x in each block
    for (Size block = 0; block < blocks; block++)
        sums[block] = sum_of(*(const Lanes *)(x + block * BLOCK) + *(const Lanes *)(x + block * BLOCK + LANES));
    for (Size row = mine.from; row < mine.end; row++)
        out[row] = dot_of(linear, row, x, sums, d_in) + (bias ? bias[row] : 0.0f) + (added ? added[row] : 0.0f);
}

// A block

// A head's norm and its turn by the position; its pairs become its first and second half, as they are or, beside, its
// neighbours. out is not head.
static void turned(const Norm *norm, const float *turn, float *head, float *out, Size width, Size beside)
{
    if (norm->gain) normed(norm, 1, head, head, width);
    if (!turn) {
        memcpy(out, head, width * sizeof(float));
        return;
    }
    const Size half = width / 2;
    const float *cosine = turn, *sine = turn + width;
    const Size step = beside ? 2 : 1, other = beside ? 1 : half;
    #pragma omp simd
    for (Size i = 0; i < half; i++) {
        float first = head[i * step], second = head[i * step + other];
        out[i] = first * cosine[i] - second * sine[i];
        out[i + half] = second * cosine[i] + first * sine[i];
    }
}

// softmax(query * keys / sqrt(width)) * values over `number` slots; scores is room for as many numbers.
static void attend(
    const float *query, const float *keys, const float *values, Size number, Size width, float *scores, float *mixed)
{
    const Linear looked_at = {keys, 0, FLOATS};
    product(&looked_at, query, width, (Share){0, number}, 0, scores);
    float most = -INFINITY, sum = 0.0f;
    const float scale = 1.0f / sqrtf(width);
    #pragma omp simd reduction(max : most)
    for (Size slot = 0; slot < number; slot++) most = scores[slot] > most ? scores[slot] : most;
    #pragma omp simd reduction(+ : sum)
    for (Size slot = 0; slot < number; slot++) {
        scores[slot] = exponential((scores[slot] - most) * scale);
        sum += scores[slot];
    }
    memset(mixed, 0, width * sizeof(float));
    for (Size slot = 0; slot < number; slot++) {
        const float part = scores[slot] / sum, *value = values + slot * width;
        #pragma omp simd
        for (Size i = 0; i < width; i++) mixed[i] += part * value[i];
    }
}

// Of all records: a caller that mirrors others must not call.
Size record_bytes(void)
{
    return sizeof(Linear) + sizeof(Norm) + sizeof(Block) + sizeof(Model) + sizeof(Row);
}

Size scratch_numbers(const Model *model, Size capacity, Size num_threads)
{
    const Size queries = model->n_heads * model->head_width, kept = model->n_kv_heads * model->head_width;
    return model->d_model * (1 + num_threads) + 3 * queries + 2 * kept + 2 * model->inner + model->n_heads * capacity;
}

// The token that follows the `place` slots of the cache, (layer, key or value, head, slot, width): writes its keys and values
// there, and the logits of the next token. Gives 0, or 1 for a token outside the table, and does nothing then.
int step(const Model *model, const Row *row, float *cache, Size place, const Size *token)
{
    if (*token < 0 || *token >= model->num_tokens) return 1;
    const Size d_model = model->d_model, width = model->head_width, heads = model->n_heads, kv_heads = model->n_kv_heads;
    const Size capacity = row->capacity, inner = model->inner, is_rms = model->is_rms, before = model->norms_first;
    const Size position = place - row->first, queries = heads * width, kept = kv_heads * width;
    float *stream = row->scratch;  // what every layer adds to
    float *query = stream + d_model, *key = query + queries, *value = key + kept, *looking = value + kept;
    float *mixed = looking + queries, *gate = mixed + queries, *up = gate + inner, *scores = up + inner;
    float *reads = scores + heads * capacity;  // (thread, d_model)
    const float *turn = row->turns ? row->turns + position * 2 * width : 0;
    const float *embedded = model->table + *token * d_model;
    const float *placed = model->positions ? model->positions + position * d_model : 0;
    for (Size i = 0; i < d_model; i++)
        stream[i] = embedded[i] * (float)model->table_scale + (placed ? placed[i] : 0.0f);

    #pragma omp parallel num_threads(row->num_threads)
    {
        float *read = reads + omp_get_thread_num() * d_model;  // what the next product reads, each thread its own
        const float *residual = before ? stream : read;        // what its result is added to
        memcpy(read, stream, d_model * sizeof(float));
        for (Size layer = 0; layer < model->n_layers; layer++) {
            const Block *block = model->blocks + layer;
            float *keys = cache + 2 * layer * kept * capacity, *values = keys + kept * capacity;

            if (before) normed(&block->norm_1, is_rms, stream, read, d_model);
            product(&block->query, read, d_model, share(queries), 0, query);
            product(&block->key, read, d_model, share(kept), 0, key);
            product(&block->value, read, d_model, share(kept), 0, value);
            #pragma omp barrier
            Share mine = share(heads);
            for (Size head = mine.from; head < mine.end; head++)
                turned(&block->query_norm, turn, query + head * width, looking + head * width, width,
                       model->pairs_beside);
            mine = share(kv_heads);
            for (Size head = mine.from; head < mine.end; head++) {
                const Size slot = (head * capacity + place) * width;
                turned(&block->key_norm, turn, key + head * width, keys + slot, width, model->pairs_beside);
                memcpy(values + slot, value + head * width, width * sizeof(float));
            }
            #pragma omp barrier
            const Size unseen = block->window && place + 1 > block->window ? place + 1 - block->window : 0;
            const Size from = unseen > row->first ? unseen : row->first;
            mine = share(heads);
            for (Size head = mine.from; head < mine.end; head++) {
                const Size slot = (head / (heads / kv_heads) * capacity + from) * width;
                attend(looking + head * width, keys + slot, values + slot, place + 1 - from, width,
                       scores + head * capacity, mixed + head * width);
            }
            #pragma omp barrier
            product(&block->out, mixed, queries, share(d_model), residual, stream);
            #pragma omp barrier
            normed(before ? &block->norm_2 : &block->norm_1, is_rms, stream, read, d_model);
            mine = share(inner);
            product(&block->up, read, d_model, mine, 0, up);
            if (block->gate.weight) {
                product(&block->gate, read, d_model, mine, 0, gate);
                #pragma omp simd
                for (Size i = mine.from; i < mine.end; i++) up[i] *= silu(gate[i]);
            } else {
                #pragma omp simd
                for (Size i = mine.from; i < mine.end; i++) up[i] = gelu(up[i]);
            }
            #pragma omp barrier
            product(&block->down, up, inner, share(d_model), residual, stream);
            #pragma omp barrier
            if (!before) normed(&block->norm_2, is_rms, stream, read, d_model);
        }
        normed(&model->norm, is_rms, before ? stream : read, read, d_model);
        product(&model->head, read, d_model, share(model->vocab_size), 0, row->logits);
    }
    return 0;
}
