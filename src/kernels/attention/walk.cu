// Which keys queries see, and which tiles of keys they go through.
//
// Macros: KEYS (keys of a tile), MASK (0 dense, 1 causal, 2 window, 3 blocks).

#define MASK_CAUSAL 1
#define MASK_WINDOW 2
#define MASK_BLOCKS 3

// The tiles of keys that a tile of queries goes through.
struct Walk {
    unsigned count;
    unsigned start;
    unsigned side;
    const unsigned* columns;
};

// For `rows` queries from `query` on. `limit`: keys of the window, or the side of a block.
DEVICE Walk walk_of(unsigned head, unsigned query, unsigned rows, unsigned seq, unsigned limit, const unsigned* columns, unsigned visible) {
    Walk walk = {0, 0, limit, columns};
    unsigned end = MASK == MASK_CAUSAL || MASK == MASK_WINDOW ? min(query + rows, seq) : seq;
    if (MASK == MASK_BLOCKS) {
        walk.count = visible * (limit / KEYS);
        walk.columns = columns + (static_cast<u64_t>(head) * (seq / limit) + query / limit) * visible;
        return walk;
    }
    if (MASK == MASK_WINDOW && query + 1 > limit) {
        walk.start = (query + 1 - limit) / KEYS * KEYS;
    }
    walk.count = (end - walk.start + KEYS - 1) / KEYS;
    return walk;
}

DEVICE unsigned first_key(const Walk& walk, unsigned index) {
    if (MASK == MASK_BLOCKS) {
        unsigned tiles = walk.side / KEYS;
        return walk.columns[index / tiles] * walk.side + index % tiles * KEYS;
    }
    return walk.start + index * KEYS;
}

DEVICE bool sees(unsigned query, unsigned key, unsigned seq, unsigned limit) {
    bool past = MASK == MASK_CAUSAL || MASK == MASK_WINDOW ? key <= query : true;
    bool near = MASK == MASK_WINDOW ? key + limit > query : true;
    return key < seq && past && near;
}

// Whether some query of `rows` from `query` on does not see some key of the tile.
DEVICE bool is_cut(unsigned query, unsigned rows, unsigned key, unsigned seq, unsigned limit) {
    bool cut = key + KEYS > seq;
    if (MASK == MASK_CAUSAL || MASK == MASK_WINDOW) {
        cut = cut || key + KEYS - 1 > query;
    }
    if (MASK == MASK_WINDOW) {
        cut = cut || key + limit <= query + rows - 1;
    }
    return cut;
}
