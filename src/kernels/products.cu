// Products of tiles that lie in shared memory, for programs that walk along a sum in slices.

// binary16, which programs only hand on.
typedef unsigned short f16_t;

#ifndef WATTPROOF_EMULATED
// d += a·b with a 16×16 and b 16×8 in binary16, d 16×8 in binary32 (mma.m16n8k16).
DEVICE void multiply_f16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d += a·b with a 16×32 and b 32×8 in signed bytes, d 16×8 in 32 bits (mma.m16n8k32).
DEVICE void multiply_i8(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d += a·b with a 16×32 in 2:4, of which the stored half is given, and b 32×8 in bfloat16, d 16×8 in binary32 (mma.sp.m16n8k32).
// `places`: two bits a stored value, which of its four neighbours it is, ascending. Lanes 4g and 4g + 1 give those of columns 0 to 15
// and 16 to 31 of row g in their lower half, of row g + 8 in their upper half (selector 0); what the other lanes give is not read.
DEVICE void multiply_sparse_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, 0x0;\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(places));
}

// The same in binary16.
DEVICE void multiply_sparse_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, 0x0;\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(places));
}

// d += a·b with a 16×64 in 2:4, of which the stored half is given, and b 64×8 in signed bytes, d 16×8 in 32 bits (mma.sp.m16n8k64).
// Lanes 4g and 4g + 1 give the places of columns 0 to 31 of rows g and g + 8, the next two those of columns 32 to 63.
DEVICE void multiply_sparse_i8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[4], unsigned places) {
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k64.row.col.s32.s8.s8.s32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, 0x0;\n"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(places));
}

// d += a·b with a 8×4, b 4×8 and d 8×8 in binary64 (mma.m8n8k4).
DEVICE void multiply_f64(double (&d)[2], double a, double b) {
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};\n"
                 : "+d"(d[0]), "+d"(d[1])
                 : "d"(a), "d"(b));
}
#endif

// sums += left·right in bfloat16, or, where KIND is 2, in binary16, by one warp, on tensor cores, for a slice of `Depth` products. `left` has `Rows` rows and is
// stored row by row, or, `Turned`, column by column as blocks of a sparse matrix are; `right` is Depth × Columns. Both lie as
// `chunk_at` says. The warp's tile begins at `row` and `column`, and the second half of its columns lies `jump` columns
// further than the first half ends.
template <bool Turned, int Rows, int Columns, int Depth, int RowTiles, int ColumnTiles>
DEVICE void multiply_slice(float (&sums)[RowTiles][ColumnTiles][4], const bf16_t* left, const bf16_t* right, unsigned row,
                           unsigned column, unsigned jump) {
    const unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (int step = 0; step < Depth / 16; ++step) {
        unsigned a[RowTiles][4], b[ColumnTiles / 2][4];
#pragma unroll
        for (int i = 0; i < RowTiles; ++i) {
            if (Turned) {
                const unsigned depth = step * 16 + lane % 8 + lane / 16 * 8;
                load_matrices_transposed(a[i], left + chunk_at<Rows>(depth, row / 8 + i * 2 + lane / 8 % 2));
            } else {
                load_matrices(a[i], left + chunk_at<Depth>(row + i * 16 + lane % 16, step * 2 + lane / 16));
            }
        }
#pragma unroll
        for (int j = 0; j < ColumnTiles / 2; ++j) {
            const unsigned chunk = (column + (j * 4 >= ColumnTiles ? jump : 0)) / 8 + j * 2 + lane / 16;
            load_matrices_transposed(b[j], right + chunk_at<Columns>(step * 16 + lane % 16, chunk));
        }
#pragma unroll
        for (int i = 0; i < RowTiles; ++i) {
#pragma unroll
            for (int j = 0; j < ColumnTiles; ++j) {
#if defined(KIND) && KIND == 2
                multiply_f16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
#else
                multiply_bf16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
#endif
            }
        }
    }
}

// Results of a thread in each direction on FMA units.
#define SIDE_OF_THREAD 8

// Row, or column, of the thread's result `index`: 16 bytes of neighbours at a time, and these spread over the tile, so that
// the lanes of a warp read neighbouring 16 bytes. `place` of `all / SIDE_OF_THREAD` threads.
template <class Number>
DEVICE unsigned spread(unsigned place, unsigned index, unsigned all) {
    const unsigned lanes = 16 / sizeof(Number);
    return index / lanes * (all / SIDE_OF_THREAD * lanes) + place * lanes + index % lanes;
}

template <class Number>
DEVICE void load_sixteen(Number* to, const Number* from) {
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
}

// sums += left·right by one thread, on FMA units. `left` is Rows × (Depth + 16 bytes of padding), or, `Turned`, Depth × Rows;
// `right` is Depth × Columns.
template <bool Turned, int Rows, int Columns, int Depth, class Number>
DEVICE void accumulate_slice(Number (&sums)[SIDE_OF_THREAD][SIDE_OF_THREAD], const Number* left, const Number* right) {
    const unsigned down = threadIdx.x / (Columns / SIDE_OF_THREAD), across = threadIdx.x % (Columns / SIDE_OF_THREAD);
    const int lanes = 16 / sizeof(Number);
#pragma unroll
    for (int first = 0; first < Depth; first += lanes) {
        // By row and product, or by product and row.
        __align__(16) Number a[SIDE_OF_THREAD * lanes];
#pragma unroll
        for (int part = 0; part < SIDE_OF_THREAD; ++part) {
            if (Turned) {
                const int step = part / (SIDE_OF_THREAD / lanes), group = part % (SIDE_OF_THREAD / lanes);
                const unsigned row = spread<Number>(down, group * lanes, Rows);
                load_sixteen(a + part * lanes, left + (first + step) * Rows + row);
            } else {
                load_sixteen(a + part * lanes, left + spread<Number>(down, part, Rows) * (Depth + lanes) + first);
            }
        }
#pragma unroll
        for (int step = 0; step < lanes; ++step) {
            __align__(16) Number b[SIDE_OF_THREAD];
#pragma unroll
            for (int group = 0; group < SIDE_OF_THREAD / lanes; ++group) {
                const unsigned column = spread<Number>(across, group * lanes, Columns);
                load_sixteen(b + group * lanes, right + (first + step) * Columns + column);
            }
#pragma unroll
            for (int i = 0; i < SIDE_OF_THREAD; ++i) {
                const Number value = Turned ? a[step * SIDE_OF_THREAD + i] : a[i * lanes + step];
#pragma unroll
                for (int j = 0; j < SIDE_OF_THREAD; ++j) {
                    sums[i][j] = fma(value, b[j], sums[i][j]);
                }
            }
        }
    }
}

// Two neighbouring results, at the even column `column` of a row of `columns`; `Aligned`: both exist or neither.
template <bool Aligned>
DEVICE void store_pair(float* row, unsigned column, unsigned columns, float first, float second) {
    if (column >= columns) {
        return;
    }
    if (Aligned) {
        *reinterpret_cast<float2*>(row + column) = float2{first, second};
        return;
    }
    row[column] = first;
    if (column + 1 < columns) {
        row[column + 1] = second;
    }
}

// The same with a pair of numbers of 16 bits in one register.
template <bool Aligned>
DEVICE void store_packed(unsigned short* row, unsigned column, unsigned columns, unsigned both) {
    if (column >= columns) {
        return;
    }
    if (Aligned) {
        *reinterpret_cast<unsigned*>(row + column) = both;
        return;
    }
    row[column] = static_cast<unsigned short>(both & 0xffffu);
    if (column + 1 < columns) {
        row[column + 1] = static_cast<unsigned short>(both >> 16);
    }
}

template <bool Aligned>
DEVICE void store_pair(bf16_t* row, unsigned column, unsigned columns, float first, float second) {
    store_packed<Aligned>(row, column, columns, pack_bf16(first, second));
}

// 16 bytes of neighbouring results from `column` on; `Aligned`: all exist or none.
template <bool Aligned, class Number>
DEVICE void store_sixteen(Number* row, unsigned column, unsigned columns, const Number* from) {
    if (Aligned) {
        if (column < columns) {
            load_sixteen(row + column, from);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 16 / sizeof(Number); ++i) {
        if (column + i < columns) {
            row[column + i] = from[i];
        }
    }
}

// 16 bytes of a row into a tile in shared memory, zeros where `inside` is false; `left` elements of them lie in the row.
template <bool Aligned, class Number>
DEVICE void copy_sixteen(Number* to, const Number* from, bool inside, unsigned left) {
    if (Aligned) {
        copy_async(to, from, inside);
        return;
    }
    for (unsigned i = 0; i < 16 / sizeof(Number); ++i) {
        to[i] = inside && i < left ? from[i] : static_cast<Number>(0);
    }
}
