// One token of each of some rows through a transformer, all of it in one call: what the decoders of PyTorch compute call by call.
//
// A step of one row is bound by reading the weights once. So the threads are called together once a step, each reads its own
// share of the rows of every matrix as they lie in memory, (d_out, d_in), and what is small enough each thread computes for
// itself. Who is done helps the others: a thread whose core does something else for a moment, a server's answers say, keeps
// nobody waiting but for a piece of its share. Several rows share what is read, and each is added up in the order in which it
// would be alone: no bit of a row's logits tells who was beside it, or which thread computed it. A row has a cache and an
// adapter of its own, so rows come and go between two steps.
// `step.py` mirrors the records. Nothing is kept between calls, so any number of threads may call at once, each with its own rows.

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
typedef struct { const float *a, *b; Size rank; } LowRank;  // (d_in, rank) and (rank, d_out), what is added: x * a * b
typedef struct {
    Size capacity, first, num_threads;  // slots of the cache; the first slot that holds a token
    const float *turns;  // (capacity, 2 * head_width): cosines twice, sines, negative sines of each position; or null
    float *scratch, *logits;
    const LowRank *adapter;  // of query, key, value, out, gate, up and down of each layer, and of the head; rank 0 for none; or null
    float *cache;            // (layer, key or value, head, slot, width)
    Size place, token;       // the slot that the token is written to
} Row;
typedef struct { Size from, end; } Share;
typedef struct { const float *x, *added; float *out; const LowRank *adapter; } Use;  // one row's part in a product

enum { FLOATS = 0, Q4_0 = 2, Q4_1 = 3, Q8_0 = 8, BLOCK = 32 };  // of a weight: ggml's numbers, and how many share a scale
enum { LANES = 16 };            // numbers of a vector
enum { TILE_BYTES = 1 << 17 };  // of a matrix: what stays in a core's cache while all tokens pass; a thread takes as much at once
enum { LINE = 64 / sizeof(Size) };  // a processor's line of memory
enum { QUERY, KEY, VALUE, OUT, GATE, UP, DOWN, PRODUCTS };
enum { QUERIES, KEYS, VALUES, OUTS, FEEDS, DOWNS, WORKS };  // of a layer, what its threads hand out in pieces
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// Sixteen numbers: one register, or two halves of it by name. Of a vector that is wider than its registers GCC makes moves through
// memory, ten times slower. Either way they are added and multiplied in the same order, so that no bit tells which it was.
#ifdef __AVX512F__
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
static inline Lanes loaded(const float *from) { return *(const Lanes *)from; }
static inline void store(float *to, Lanes lanes) { *(Lanes *)to = lanes; }
static inline Lanes plus(Lanes a, Lanes b) { return a + b; }
static inline Lanes plus_product(Lanes sum, Lanes a, Lanes b) { return sum + a * b; }
static inline Lanes plus_scaled(Lanes sum, Lanes a, float factor) { return sum + a * factor; }
static inline Lanes scaled(Lanes a, float factor) { return a * factor; }
static inline Lanes scaled_from(Lanes a, float factor, float least) { return a * factor + least; }
static inline Eight halved(Lanes lanes)
{
    const union { Lanes whole; Eight halves[2]; } all = {lanes};
    return all.halves[0] + all.halves[1];
}
#else
typedef struct { Eight low, high; } Lanes;
static inline Lanes loaded(const float *from) { return (Lanes){*(const Eight *)from, *(const Eight *)(from + 8)}; }
static inline void store(float *to, Lanes lanes) { *(Eight *)to = lanes.low, *(Eight *)(to + 8) = lanes.high; }
static inline Lanes plus(Lanes a, Lanes b) { return (Lanes){a.low + b.low, a.high + b.high}; }
static inline Lanes plus_product(Lanes sum, Lanes a, Lanes b)
{
    return (Lanes){sum.low + a.low * b.low, sum.high + a.high * b.high};
}
static inline Lanes plus_scaled(Lanes sum, Lanes a, float factor)
{
    return (Lanes){sum.low + a.low * factor, sum.high + a.high * factor};
}
static inline Lanes scaled(Lanes a, float factor) { return (Lanes){a.low * factor, a.high * factor}; }
static inline Lanes scaled_from(Lanes a, float factor, float least)
{
    return (Lanes){a.low * factor + least, a.high * factor + least};
}
static inline Eight halved(Lanes lanes) { return lanes.low + lanes.high; }
#endif

static Share share_of(Size thread, Size number)
{
    const Size threads = omp_get_num_threads();
    return (Share){number * thread / threads, number * (thread + 1) / threads};
}

static Share share(Size number)
{
    return share_of(omp_get_thread_num(), number);
}

// Work that is handed out in pieces of `size`: those of a thread's own share first, then what others have left. `taken` counts
// for each thread, on a line of its own, how many pieces of its share are taken; `helped` is how many threads have nothing left.
typedef struct { Size *taken; Size number, size, helped; } Pieces;

// The next piece for this thread; an empty one where nothing is left.
static Share next_piece(Pieces *work)
{
    const Size threads = omp_get_num_threads();
    for (; work->helped < threads; work->helped++) {
        const Size thread = (omp_get_thread_num() + work->helped) % threads;
        const Share whole = share_of(thread, work->number);
        const Size from = whole.from + work->size * __atomic_fetch_add(work->taken + thread * LINE, 1, __ATOMIC_RELAXED);
        if (from < whole.end) return (Share){from, from + work->size < whole.end ? from + work->size : whole.end};
    }
    return (Share){0, 0};
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

// Halves are added to halves, as far as it goes.
static inline float sum_of(Lanes lanes)
{
    const union { Eight whole; Four halves[2]; } eight = {halved(lanes)};
    const Four four = eight.halves[0] + eight.halves[1];
    return (four[0] + four[2]) + (four[1] + four[3]);
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
static inline Lanes of_pairs(Pairs from)
{
    const __m128i low = (__m128i)from, high = _mm_srli_si128(low, LANES / 2);
    return (Lanes){(Eight)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low)), (Eight)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high))};
}
static inline Lanes of_bytes(Bytes from)
{
    const __m128i low = (__m128i)from, high = _mm_srli_si128(low, LANES / 2);
    return (Lanes){(Eight)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), (Eight)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high))};
}
#else
typedef uint8_t EightPairs __attribute__((vector_size(8)));
typedef int8_t EightBytes __attribute__((vector_size(8)));
static inline Lanes of_pairs(Pairs from)
{
    const union { Pairs whole; EightPairs halves[2]; } all = {from};
    return (Lanes){__builtin_convertvector(all.halves[0], Eight), __builtin_convertvector(all.halves[1], Eight)};
}
static inline Lanes of_bytes(Bytes from)
{
    const union { Bytes whole; EightBytes halves[2]; } all = {from};
    return (Lanes){__builtin_convertvector(all.halves[0], Eight), __builtin_convertvector(all.halves[1], Eight)};
}
#endif

static Size row_bytes(Size type, Size width)
{
    return width / BLOCK * (type == Q4_1 ? 20 : type == Q4_0 ? 18 : 34);
}

typedef struct { Lanes first, second; } Pair;

// 32 numbers of a matrix's row. With 4 bits: a scale, with Q4_1 a least number, then number j beside number j + 16.
static inline __attribute__((always_inline)) Pair block_of(const uint8_t *row, Size block, Size type)
{
    if (type == FLOATS) {
        const float *numbers = (const float *)row + block * BLOCK;
        return (Pair){loaded(numbers), loaded(numbers + LANES)};
    }
    if (type == Q8_0) {
        row += block * (2 + BLOCK);
        const float scale = of_half(row);
        return (Pair){scaled(of_bytes(*(const Bytes *)(row + 2)), scale), scaled(of_bytes(*(const Bytes *)(row + 2 + LANES)), scale)};
    }
    const Size head = type == Q4_1 ? 4 : 2;
    row += block * (head + LANES);
    const Pairs pairs = *(const Pairs *)(row + head);
    const float scale = of_half(row), least = head == 4 ? of_half(row + 2) : -8.0f * scale;
    return (Pair){scaled_from(of_pairs(pairs & 15), scale, least), scaled_from(of_pairs(pairs >> 4), scale, least)};
}

// One number of the result: two sums side by side, which also hide the latency of an addition, then what is left of a row that
// is no multiple of 32. Macros, since a compiler keeps an array of sums in memory where it should keep it in registers.
#define BEGIN(i, j) Lanes first_##i##j = {0}, second_##i##j = {0}; float rest_##i##j = 0.0f;
#define ADD_BLOCK(i, j) \
    first_##i##j = plus_product(first_##i##j, read_##i.first, x_first_##j); \
    second_##i##j = plus_product(second_##i##j, read_##i.second, x_second_##j);
#define ADD_HALF(i, j) first_##i##j = plus_product(first_##i##j, loaded(numbers_##i + done), loaded(x_##j + done));
#define ADD_ONE(i, j) rest_##i##j += numbers_##i[done] * x_##j[done];
#define WRITE(i, j) \
    uses[j].out[row + i] = sum_of(plus(first_##i##j, second_##i##j)) + rest_##i##j + (linear->bias ? linear->bias[row + i] : 0.0f) + \
        (uses[j].added ? uses[j].added[row + i] : 0.0f);
#define WEIGHT(i) const uint8_t *row_##i = weight + i * bytes; const float *numbers_##i = (const float *)row_##i;
#define READ(i) const Pair read_##i = block_of(row_##i, block, type);
#define FETCH(i) \
    __builtin_prefetch(row_##i + ahead + block * step, 0, 2); \
    if (type == FLOATS) __builtin_prefetch(row_##i + ahead + block * step + 64, 0, 2);
#define TOKEN(j) const float *x_##j = uses[j].x;
#define LOOK(j) \
    const Lanes x_first_##j = loaded(x_##j + block * BLOCK); \
    const Lanes x_second_##j = loaded(x_##j + block * BLOCK + LANES);

// Rows of a matrix, from `row` on, times tokens: ROWS, TOKENS and BOTH do something for each of them, and for each pair. What
// stands `ahead` bytes further on is brought near meanwhile; 0 is nothing.
#define MULTIPLY(name, ROWS, TOKENS, BOTH) \
    static inline __attribute__((always_inline)) void name( \
        const Linear *linear, Size row, const Use *uses, Size width, Size ahead, const Size type) \
    { \
        const Size bytes = type == FLOATS ? width * (Size)sizeof(float) : row_bytes(type, width); \
        const Size step = type == FLOATS ? BLOCK * (Size)sizeof(float) : row_bytes(type, BLOCK); \
        const uint8_t *weight = (const uint8_t *)linear->weight + row * bytes; \
        ROWS(WEIGHT) TOKENS(TOKEN) BOTH(BEGIN) \
        for (Size block = 0; block < width / BLOCK; block++) { \
            ROWS(READ) TOKENS(LOOK) BOTH(ADD_BLOCK) \
            if (ahead) { ROWS(FETCH) } \
        } \
        if (type == FLOATS) { \
            Size done = width / BLOCK * BLOCK; \
            if (done + LANES <= width) { BOTH(ADD_HALF) done += LANES; } \
            for (; done < width; done++) { BOTH(ADD_ONE) } \
        } \
        BOTH(WRITE) \
    }

#define TO_1(DO) DO(0)
#define TO_2(DO) DO(0) DO(1)
#define TO_4(DO) DO(0) DO(1) DO(2) DO(3)
#define BY_1_1(DO) DO(0, 0)
#define BY_1_2(DO) DO(0, 0) DO(0, 1)
#define BY_2_2(DO) DO(0, 0) DO(0, 1) DO(1, 0) DO(1, 1)
#define BY_1_4(DO) DO(0, 0) DO(0, 1) DO(0, 2) DO(0, 3)
#define BY_2_4(DO) BY_1_4(DO) DO(1, 0) DO(1, 1) DO(1, 2) DO(1, 3)
MULTIPLY(multiply_1_1, TO_1, TO_1, BY_1_1)
MULTIPLY(multiply_1_2, TO_1, TO_2, BY_1_2)
MULTIPLY(multiply_2_2, TO_2, TO_2, BY_2_2)
MULTIPLY(multiply_1_4, TO_1, TO_4, BY_1_4)
MULTIPLY(multiply_2_4, TO_2, TO_4, BY_2_4)

// Rows of a matrix times all tokens, four, two or one at a time. A token alone takes one row after the other, which keeps memory's
// own prefetching at its best; several bring near what stands `ahead`, each of them its part of the rows.
static inline __attribute__((always_inline)) void multiply(
    const Linear *linear, Share rows, const Use *uses, Size number, Size width, Size ahead, const Size type)
{
    const Size passes = (number + 3) / 4;
    Size pass = 0;
#ifdef __AVX512F__
    for (; number >= 4; number -= 4, uses += 4, pass++) {
        Size row = rows.from, others = pass;
        for (; row + 2 <= rows.end; row += 2, others = others ? others - 1 : passes - 1)
            multiply_2_4(linear, row, uses, width, others ? 0 : ahead, type);
        for (; row < rows.end; row++) multiply_1_4(linear, row, uses, width, 0, type);
    }
#endif
    for (; number >= 2; number -= 2, uses += 2, pass++) {
        Size row = rows.from, others = pass;
        for (; row + 2 <= rows.end; row += 2, others = others ? others - 1 : passes - 1)
            multiply_2_2(linear, row, uses, width, others ? 0 : ahead, type);
        for (; row < rows.end; row++) multiply_1_2(linear, row, uses, width, 0, type);
    }
    if (number)
        for (Size row = rows.from; row < rows.end; row++) multiply_1_1(linear, row, uses, width, 0, type);
}

// out += x * a * b in these columns; x * a is made anew for them.
static void adapt(const Use *use, Size d_in, Size d_out, Share mine)
{
    const Size rank = use->adapter->rank;
    const float *a = use->adapter->a, *x = use->x;
    float inner[rank];
    Size part = 0;
    for (; part + LANES <= rank; part += LANES) {
        Lanes sums[4] = {0};
        Size i = 0;
        for (; i + 4 <= d_in; i += 4)
            for (Size k = 0; k < 4; k++) sums[k] = plus_scaled(sums[k], loaded(a + (i + k) * rank + part), x[i + k]);
        for (; i < d_in; i++) sums[0] = plus_scaled(sums[0], loaded(a + i * rank + part), x[i]);
        store(inner + part, plus(plus(sums[0], sums[1]), plus(sums[2], sums[3])));
    }
    for (; part < rank; part++) {
        inner[part] = 0.0f;
        for (Size i = 0; i < d_in; i++) inner[part] += a[i * rank + part] * x[i];
    }
    for (part = 0; part < rank; part++) {
        const float *b = use->adapter->b + part * d_out, factor = inner[part];
        float *out = use->out;
        #pragma omp simd
        for (Size row = mine.from; row < mine.end; row++) out[row] += factor * b[row];
    }
}

// How many rows of a matrix a thread takes at once. What an adapter adds is made for all of a share, or it would be made too often.
static Size piece_of(const Linear *linear, const Use *uses, Size number, Size d_in, Size d_out)
{
    const Size bytes = linear->type == FLOATS ? d_in * (Size)sizeof(float) : row_bytes(linear->type, d_in);
    for (Size j = 0; j < number; j++)
        if (uses[j].adapter && uses[j].adapter->rank) return d_out;
    return 2 * bytes > TILE_BYTES ? 2 : TILE_BYTES / bytes / 2 * 2;
}

// out = weight * x + bias + added, and what the adapter adds, in these rows, for every token. `added` may be null, or `out`.
static void rows_of_product(const Linear *linear, const Use *uses, Size number, Size d_in, Size d_out, Share mine)
{
    const Size bytes = linear->type == FLOATS ? d_in * (Size)sizeof(float) : row_bytes(linear->type, d_in);
    const Size tile = number == 1 || 2 * bytes > TILE_BYTES ? d_out + 1 : TILE_BYTES / bytes / 2 * 2;
    const Size ahead = tile > d_out ? 0 : tile * bytes;
    for (Size from = mine.from; from < mine.end; from += tile) {
        const Share rows = {from, from + tile < mine.end ? from + tile : mine.end};
        if (linear->type == FLOATS) multiply(linear, rows, uses, number, d_in, ahead, FLOATS);
        else if (linear->type == Q8_0) multiply(linear, rows, uses, number, d_in, ahead, Q8_0);
        else if (linear->type == Q4_1) multiply(linear, rows, uses, number, d_in, ahead, Q4_1);
        else multiply(linear, rows, uses, number, d_in, ahead, Q4_0);
    }
    for (Size j = 0; j < number; j++)
        if (uses[j].adapter && uses[j].adapter->rank) adapt(uses + j, d_in, d_out, mine);
}

// The same in all rows, by all threads. taken: of this product alone, 0 before.
static void product(Size *taken, const Linear *linear, const Use *uses, Size number, Size d_in, Size d_out)
{
    Pieces work = {taken, d_out, piece_of(linear, uses, number, d_in, d_out), 0};
    for (Share rows; (rows = next_piece(&work)).end > rows.from;)
        rows_of_product(linear, uses, number, d_in, d_out, rows);
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
    const Use use = {query, 0, scores, 0};
    multiply(&looked_at, (Share){0, number}, &use, 1, width, 0, FLOATS);
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
    return sizeof(Linear) + sizeof(Norm) + sizeof(Block) + sizeof(Model) + sizeof(LowRank) + sizeof(Row);
}

// Of the pieces that each thread has taken of each work in a step.
static Size num_counters(const Model *model, Size num_threads)
{
    return (model->n_layers * WORKS + 1) * num_threads * LINE;
}

// Floats of a row's scratch, which end in counters that begin on a line.
Size scratch_numbers(const Model *model, Size capacity, Size num_threads)
{
    const Size queries = model->n_heads * model->head_width, kept = model->n_kv_heads * model->head_width;
    return model->d_model * (1 + num_threads) + 3 * queries + 2 * kept + 2 * model->inner + model->n_heads * capacity
        + (num_counters(model, num_threads) + LINE) * (Size)(sizeof(Size) / sizeof(float));
}

typedef struct {
    float *stream;  // what every layer adds to
    float *query, *key, *value, *looking, *mixed, *gate, *up, *scores;
    float *reads;   // (thread, d_model), what the next product reads, each thread its own
    Size *taken;    // counters of pieces
    const float *turn;
} Room;

static Room room_of(const Model *model, const Row *row)
{
    const Size queries = model->n_heads * model->head_width, kept = model->n_kv_heads * model->head_width;
    Room room = {.stream = row->scratch};
    room.query = room.stream + model->d_model, room.key = room.query + queries, room.value = room.key + kept;
    room.looking = room.value + kept, room.mixed = room.looking + queries, room.gate = room.mixed + queries;
    room.up = room.gate + model->inner, room.reads = room.up + model->inner;
    room.scores = room.reads + row->num_threads * model->d_model;  // late: with any capacity the others stand as aligned as they can
    const uintptr_t line = LINE * sizeof(Size), end = (uintptr_t)(room.scores + model->n_heads * row->capacity);
    room.taken = (Size *)((end + line - 1) / line * line);
    const Size position = row->place - row->first;
    room.turn = row->turns ? row->turns + position * 2 * model->head_width : 0;
    const float *embedded = model->table + row->token * model->d_model;
    const float *placed = model->positions ? model->positions + position * model->d_model : 0;
    for (Size i = 0; i < model->d_model; i++)
        room.stream[i] = embedded[i] * (float)model->table_scale + (placed ? placed[i] : 0.0f);
    return room;
}

static inline const LowRank *adapter_of(const Row *row, Size layer, Size number)
{
    return row->adapter ? row->adapter + layer * PRODUCTS + number : 0;
}

// The keys and values of one head go to their slots.
static void keep_head(const Model *model, const Block *block, const Row *row, const Room *room, Size layer, Size head)
{
    const Size width = model->head_width, both = model->n_kv_heads * row->capacity * width;
    float *keys = row->cache + 2 * layer * both, *values = keys + both;
    const Size slot = (head * row->capacity + row->place) * width;
    turned(&block->key_norm, room->turn, room->key + head * width, keys + slot, width, model->pairs_beside);
    memcpy(values + slot, room->value + head * width, width * sizeof(float));
}

static void attend_head(const Model *model, const Block *block, const Row *row, const Room *room, Size layer, Size head)
{
    const Size width = model->head_width, both = model->n_kv_heads * row->capacity * width, place = row->place;
    const float *keys = row->cache + 2 * layer * both, *values = keys + both;
    const Size unseen = block->window && place + 1 > block->window ? place + 1 - block->window : 0;
    const Size from = unseen > row->first ? unseen : row->first;
    const Size slot = (head / (model->n_heads / model->n_kv_heads) * row->capacity + from) * width;
    attend(room->looking + head * width, keys + slot, values + slot, place + 1 - from, width,
           room->scores + head * row->capacity, room->mixed + head * width);
}

// The wide half of a feed-forward block, GELU(up) or SiLU(gate) * up, by all threads. taken: of this work alone, 0 before.
static void widen(
    Size *taken, const Block *block, const Use *ups, const Use *gates, Size number, Size d_model, Size inner)
{
    const Linear *gate = block->gate.weight ? &block->gate : 0;
    const Size of_up = piece_of(&block->up, ups, number, d_model, inner);
    const Size of_gate = gate ? piece_of(gate, gates, number, d_model, inner) : of_up;
    Pieces work = {taken, inner, of_up > of_gate ? of_up : of_gate, 0};
    for (Share rows; (rows = next_piece(&work)).end > rows.from;) {
        rows_of_product(&block->up, ups, number, d_model, inner, rows);
        if (gate) rows_of_product(gate, gates, number, d_model, inner, rows);
        for (Size r = 0; r < number; r++) {
            float *up = ups[r].out;
            const float *beside = gates[r].out;
            if (gate) {
                #pragma omp simd
                for (Size i = rows.from; i < rows.end; i++) up[i] *= silu(beside[i]);
            } else {
                #pragma omp simd
                for (Size i = rows.from; i < rows.end; i++) up[i] = gelu(up[i]);
            }
        }
    }
}

// The tokens that follow the `place` slots of the caches: writes their keys and values there, and the logits of the next tokens.
// Gives 0, or for a token outside the table its row's number from 1, and does nothing then.
Size step(const Model *model, const Row *const *rows, Size number)
{
    for (Size r = 0; r < number; r++)
        if (rows[r]->token < 0 || rows[r]->token >= model->num_tokens) return r + 1;
    const Size d_model = model->d_model, width = model->head_width, heads = model->n_heads, kv_heads = model->n_kv_heads;
    const Size inner = model->inner, is_rms = model->is_rms, before = model->norms_first;
    const Size queries = heads * width, kept = kv_heads * width;
    Size num_threads = rows[0]->num_threads;
    Room rooms[number];
    for (Size r = 0; r < number; r++) {
        rooms[r] = room_of(model, rows[r]);
        if (rows[r]->num_threads < num_threads) num_threads = rows[r]->num_threads;
    }

    Size *const all_taken = rooms[0].taken;
    memset(all_taken, 0, num_counters(model, num_threads) * sizeof(Size));

    #pragma omp parallel num_threads(num_threads)
    {
        const Size each_work = omp_get_num_threads() * LINE;  // counters
        Use uses[number], gates[number];
        float *reads[number];
        for (Size r = 0; r < number; r++) {
            reads[r] = rooms[r].reads + omp_get_thread_num() * d_model;
            memcpy(reads[r], rooms[r].stream, d_model * sizeof(float));
        }
        for (Size layer = 0; layer < model->n_layers; layer++) {
            const Block *block = model->blocks + layer;
            Size *taken = all_taken + layer * WORKS * each_work;
            if (before)
                for (Size r = 0; r < number; r++) normed(&block->norm_1, is_rms, rooms[r].stream, reads[r], d_model);
            for (Size r = 0; r < number; r++)
                uses[r] = (Use){reads[r], 0, rooms[r].query, adapter_of(rows[r], layer, QUERY)};
            product(taken + QUERIES * each_work, &block->query, uses, number, d_model, queries);
            for (Size r = 0; r < number; r++)
                uses[r] = (Use){reads[r], 0, rooms[r].key, adapter_of(rows[r], layer, KEY)};
            product(taken + KEYS * each_work, &block->key, uses, number, d_model, kept);
            for (Size r = 0; r < number; r++)
                uses[r] = (Use){reads[r], 0, rooms[r].value, adapter_of(rows[r], layer, VALUE)};
            product(taken + VALUES * each_work, &block->value, uses, number, d_model, kept);
            #pragma omp barrier
            Share mine = share(number * heads);
            for (Size each = mine.from; each < mine.end; each++) {
                const Room *room = rooms + each / heads;
                const Size at = each % heads * width;
                turned(&block->query_norm, room->turn, room->query + at, room->looking + at, width, model->pairs_beside);
            }
            mine = share(number * kv_heads);
            for (Size each = mine.from; each < mine.end; each++)
                keep_head(model, block, rows[each / kv_heads], rooms + each / kv_heads, layer, each % kv_heads);
            #pragma omp barrier
            mine = share(number * heads);
            for (Size each = mine.from; each < mine.end; each++)
                attend_head(model, block, rows[each / heads], rooms + each / heads, layer, each % heads);
            #pragma omp barrier
            for (Size r = 0; r < number; r++)
                uses[r] = (Use){rooms[r].mixed, before ? rooms[r].stream : reads[r], rooms[r].stream,
                                adapter_of(rows[r], layer, OUT)};
            product(taken + OUTS * each_work, &block->out, uses, number, queries, d_model);
            #pragma omp barrier
            for (Size r = 0; r < number; r++)
                normed(before ? &block->norm_2 : &block->norm_1, is_rms, rooms[r].stream, reads[r], d_model);
            for (Size r = 0; r < number; r++) {
                uses[r] = (Use){reads[r], 0, rooms[r].up, adapter_of(rows[r], layer, UP)};
                gates[r] = (Use){reads[r], 0, rooms[r].gate, adapter_of(rows[r], layer, GATE)};
            }
            widen(taken + FEEDS * each_work, block, uses, gates, number, d_model, inner);
            #pragma omp barrier
            for (Size r = 0; r < number; r++)
                uses[r] = (Use){rooms[r].up, before ? rooms[r].stream : reads[r], rooms[r].stream,
                                adapter_of(rows[r], layer, DOWN)};
            product(taken + DOWNS * each_work, &block->down, uses, number, inner, d_model);
            #pragma omp barrier
            if (!before)
                for (Size r = 0; r < number; r++) normed(&block->norm_2, is_rms, rooms[r].stream, reads[r], d_model);
        }
        for (Size r = 0; r < number; r++) {
            normed(&model->norm, is_rms, before ? rooms[r].stream : reads[r], reads[r], d_model);
            uses[r] = (Use){reads[r], 0, rows[r]->logits, adapter_of(rows[r], model->n_layers, 0)};
        }
        product(all_taken + model->n_layers * WORKS * each_work, &model->head, uses, number, d_model, model->vocab_size);
    }
    return 0;
}
