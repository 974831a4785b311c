// What src/kernels/hopper.cu takes from PTX, for the emulator: barriers that count bytes, copies of tiles, products of warpgroups.
//
// Stricter than hardware where that finds mistakes: a copy or a product happens, by chance, when it is begun or when somebody
// waits for it; sums are NaN meanwhile and must not be touched; a barrier may not get more bytes or arrivals than it was told
// of; a tile that threads wrote is not read by tensor cores before a fence. What waits for ever is reported with the state of
// every barrier. Operands are found by the bits of their descriptors alone.
//
// Source: PTX ISA 8.x, "Matrix Descriptor Format", "Strides", "Swizzling Modes" (of the copies), "Register Fragments for
// wgmma.mma_async.m64nNk16" (k8 and k32 have the same sums), "Contents of the mbarrier object"; canonical layouts of swizzled operands as CUTLASS states them
// (include/cute/atom/mma_traits_sm90_gmma.hpp).

#include "threads.hpp"

#include "hopper.hpp"

#include <map>
#include <string>

namespace emulator {
namespace hopper {

constexpr std::uint64_t kMap = 0x70616d726f736e65;
constexpr unsigned kGroup = 128;
// Dynamic shared memory begins behind what the system keeps for itself.
constexpr unsigned kBase = 1024;
constexpr unsigned kPoison = 0x7fdead00;

struct Barrier {
    unsigned arrivals, pending, phase;
    long bytes;
    bool known;
};

struct Load {
    TensorMap map;
    unsigned to, at[3], barrier;
};

struct Turn {
    unsigned threads = 0, arrived = 0, generation = 0;
};

unsigned size_of(Type type) { return type == Type::Tf32 ? 4 : type == Type::I8 || type == Type::F8 ? 1 : 2; }
// Every product takes 32 bytes of each line.
unsigned depth_of(Type type) { return 32 / size_of(type); }

// One warp's part of a product.
struct Product {
    Type type;
    float* sums[kWarp];
    const unsigned* registers[kWarp];
    unsigned held[kWarp][4];
    std::uint64_t left, right;
    unsigned columns;
    bool from_registers, wide, accumulate;
};

// Sums under way: their values, and where they will be written.
struct Sums {
    float* places[kWarp];
    unsigned count, under_way;
    std::vector<float> values;
};

// A group of products: their sums, and how many of the warp were begun until its end.
struct Committed {
    std::vector<float*> sums;
    unsigned end;
};

struct WarpState {
    bool fenced = false;
    unsigned issued = 0;
    std::vector<Product> open;
    std::deque<Committed> groups;
    std::deque<Product> waiting;
    std::map<float*, Sums> sums;
};

struct Issued {
    Type type;
    std::uint64_t left, right;
    unsigned columns;
    bool wide, accumulate;
};

struct State {
    std::mt19937 random;
    std::map<unsigned, Barrier> barriers;
    std::vector<Load> loads;
    Turn turns[16];
    std::vector<WarpState> warps;
    std::vector<std::vector<Issued>> issued;
    std::vector<unsigned> registers;
    unsigned spare = 0, limit = 0;
    // Shared memory as copies and tensor cores know it.
    std::unique_ptr<unsigned char[]> known{new unsigned char[kShared]};
};

State& state() {
    static thread_local State one;
    return one;
}

bool chance() { return state().random() & 1; }

void begin(unsigned seed, unsigned shared) {
    State& s = state();
    Block& b = block();
    s.random.seed(seed);
    s.barriers.clear();
    s.loads.clear();
    for (Turn& turn : s.turns) {
        turn = Turn{};
    }
    s.warps.clear();
    s.warps.resize(b.threads / kWarp);
    s.issued.assign((b.threads + kGroup - 1) / kGroup, {});
    s.registers.assign(b.threads, std::min(65536 / b.threads / 8 * 8, 255u));
    s.spare = 65536 - s.registers[0] * b.threads;
    s.limit = shared;
    std::memset(s.known.get(), 0xff, kShared);
}

const char* finish() {
    State& s = state();
    if (!s.loads.empty()) {
        return "a tile is copied and nobody waits for it";
    }
    for (const Turn& turn : s.turns) {
        if (turn.arrived != 0) {
            return "the block ends while threads are expected at a numbered barrier";
        }
    }
    for (std::size_t w = 0; w < s.warps.size(); ++w) {
        const WarpState& warp = s.warps[w];
        if (!warp.open.empty() || !warp.groups.empty() || !warp.waiting.empty() || !warp.sums.empty()) {
            return "the block ends while a product is under way";
        }
        if (warp.issued != s.issued[w * kWarp / kGroup].size()) {
            return "the warps of a warpgroup began different numbers of products";
        }
    }
    return nullptr;
}

// Says who waits for what, when nobody gets any further.
void explain() {
    const State& s = state();
    for (const auto& [at, barrier] : s.barriers) {
        std::fprintf(stderr, "cuda emulator: barrier at %u: phase %u waits for %u arrivals and %ld bytes\n", at - kBase,
                     barrier.phase, barrier.pending, barrier.bytes);
    }
    for (unsigned id = 0; id < 16; ++id) {
        if (s.turns[id].arrived != 0) {
            std::fprintf(stderr, "cuda emulator: numbered barrier %u: %u of %u threads\n", id, s.turns[id].arrived, s.turns[id].threads);
        }
    }
}

unsigned address_of(const void* pointer) {
    const auto offset = static_cast<const unsigned char*>(pointer) - block().shared.get();
    if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(kShared)) {
        fail("an address outside of shared memory");
    }
    return static_cast<unsigned>(offset) + kBase;
}

// Patterns of 128 bytes: bits 4 to 6 of an address are crossed with bits 7 to 9, of 64 and 32 bytes with fewer of them.
unsigned swizzled(unsigned address, unsigned bits) { return address ^ ((address >> 7 & ((1u << bits) - 1)) << 4); }

Barrier& barrier_at(const void* pointer) {
    const unsigned at = address_of(pointer);
    auto found = state().barriers.find(at);
    if (at % 8 != 0 || found == state().barriers.end()) {
        fail("a barrier that nobody prepared");
    }
    return found->second;
}

void end_phase(Barrier& barrier) {
    if (barrier.pending == 0 && barrier.bytes == 0) {
        barrier.phase++;
        barrier.pending = barrier.arrivals;
    }
    block().progress++;
}

void arrive(Barrier& barrier) {
    if (barrier.pending == 0) {
        fail("more arrivals at a barrier than it was prepared for");
    }
    barrier.pending--;
    end_phase(barrier);
}

void perform(const Load& load) {
    State& s = state();
    const TensorMap& map = load.map;
    for (unsigned z = 0; z < map.box[2]; ++z) {
        for (unsigned y = 0; y < map.box[1]; ++y) {
            for (unsigned x = 0; x < map.box[0]; ++x) {
                const std::int64_t at[3] = {std::int64_t{static_cast<int>(load.at[0])} + x, std::int64_t{static_cast<int>(load.at[1])} + y,
                                            std::int64_t{static_cast<int>(load.at[2])} + z};
                bool inside = true;
                for (int i = 0; i < 3; ++i) {
                    inside = inside && at[i] >= 0 && static_cast<std::uint64_t>(at[i]) < map.sizes[i];
                }
                const unsigned linear = ((z * map.box[1] + y) * map.box[0] + x) * map.element;
                const unsigned to = swizzled(load.to + linear, 3) - kBase;
                unsigned char bytes[8] = {};
                if (inside) {
                    std::memcpy(bytes,
                                reinterpret_cast<const unsigned char*>(map.address) + at[0] * map.element + at[1] * map.pitches[0] +
                                    at[2] * map.pitches[1],
                                map.element);
                }
                std::memcpy(block().shared.get() + to, bytes, map.element);
                std::memcpy(s.known.get() + to, bytes, map.element);
            }
        }
    }
    Barrier& barrier = s.barriers.at(load.barrier);
    barrier.bytes -= static_cast<long>(map.box[0]) * map.box[1] * map.box[2] * map.element;
    if (barrier.bytes < 0) {
        fail("more bytes came to a barrier than it was told to expect");
    }
    end_phase(barrier);
}

// An element of an operand.
double fetch(unsigned address, Type type) {
    const unsigned at = address - kBase, size = size_of(type);
    if (address < kBase || at + size > state().limit) {
        fail("an operand that lies outside of the shared memory of the block");
    }
    if (std::memcmp(block().shared.get() + at, state().known.get() + at, size) != 0) {
        fail("an operand that threads wrote, without a fence before the tensor cores read it");
    }
    std::uint32_t bits = 0;
    std::memcpy(&bits, block().shared.get() + at, size);
    float value;
    switch (type) {
        case Type::Bf16: return of_bf16(static_cast<std::uint16_t>(bits));
        case Type::F16: return of_f16(static_cast<std::uint16_t>(bits));
        case Type::I8: return static_cast<std::int8_t>(bits);
        case Type::F8: return of_e4m3(static_cast<std::uint8_t>(bits));
        default:
            // Bits that TF32 has not are cut off.
            bits &= 0xffffe000u;
            std::memcpy(&value, &bits, 4);
            return value;
    }
}

// Address of element `k`, of `size` bytes, of line `major` of an operand. `wide`: the other dimension than k is innermost.
unsigned element_at(std::uint64_t descriptor, bool wide, unsigned major, unsigned k, unsigned size) {
    const unsigned start = static_cast<unsigned>(descriptor & 0x3fff) << 4;
    const unsigned leading = static_cast<unsigned>(descriptor >> 16 & 0x3fff) << 4;
    const unsigned stride = static_cast<unsigned>(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 49 & 7) {
        fail("an operand with a base offset, which is not emulated");
    }
    // Modes 1, 2 and 3 swizzle lines of 128, 64 and 32 bytes; mode 0 has lines of 16.
    const unsigned mode = static_cast<unsigned>(descriptor >> 62);
    const unsigned line = mode == 0 ? 16 : 256 >> mode, bits = mode == 0 ? 0 : 4 - mode;
    unsigned offset;
    if (wide && size != 2) {
        fail("an operand whose elements are not of 16 bits and whose innermost dimension is not k");
    }
    if (wide) {
        const unsigned width = line / 2, outer = major / width, group = k / 8;
        offset = major % width * 2 + k % 8 * line + (mode == 0 ? outer * stride + group * leading : outer * leading + group * stride);
    } else {
        offset = major / 8 * stride + major % 8 * line + k * size % 16 + k * size / 16 * (mode == 0 ? leading : 16);
    }
    return swizzled(start + offset, bits);
}

void run(WarpState& state, const Product& product, unsigned warp) {
    const unsigned size = size_of(product.type), depth = depth_of(product.type);
    double left[16][32];
    std::vector<double> right(depth * product.columns);
    for (unsigned k = 0; k < depth; ++k) {
        for (unsigned n = 0; n < product.columns; ++n) {
            right[k * product.columns + n] = fetch(element_at(product.right, product.wide, n, k, size), product.type);
        }
    }
    for (unsigned lane = 0; product.from_registers && lane < kWarp; ++lane) {
        if (std::memcmp(product.held[lane], product.registers[lane], sizeof product.held[lane]) != 0) {
            fail("registers of an operand changed while a product was under way");
        }
        for (unsigned part = 0; part < 4; ++part) {
            for (unsigned half = 0; half < 2; ++half) {
                const unsigned row = lane / 4 + part % 2 * 8, column = lane % 4 * 2 + half + part / 2 * 8;
                left[row][column] = of_bf16(static_cast<std::uint16_t>(product.held[lane][part] >> (16 * half)));
            }
        }
    }
    for (unsigned row = 0; !product.from_registers && row < 16; ++row) {
        for (unsigned k = 0; k < depth; ++k) {
            left[row][k] = fetch(element_at(product.left, false, warp % 4 * 16 + row, k, size), product.type);
        }
    }
    Sums& sums = state.sums.at(product.sums[0]);
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        for (unsigned i = 0; i < sums.count; ++i) {
            const unsigned row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
            float& value = sums.values[lane * sums.count + i];
            const bool whole = product.type == Type::I8;
            std::int32_t bits;
            std::memcpy(&bits, &value, 4);
            double sum = !product.accumulate ? 0.0 : whole ? bits : value;
            for (unsigned k = 0; k < depth; ++k) {
                sum += left[row][k] * right[k * product.columns + column];
            }
            bits = whole ? static_cast<std::int32_t>(sum) : 0;
            value = static_cast<float>(sum);
            if (whole) {
                std::memcpy(&value, &bits, 4);
            }
        }
    }
}

// Runs what was begun, in order, until `count` products of the warp have run.
void run_until(WarpState& state, unsigned warp, unsigned count) {
    for (; state.issued - state.waiting.size() < count; state.waiting.pop_front()) {
        run(state, state.waiting.front(), warp);
    }
}

// All lanes begin a product of their warp.
void multiply(Type type, float* sums, unsigned count, std::uint64_t left, const unsigned* registers, std::uint64_t right,
                     bool wide, bool accumulate) {
    struct Given {
        float* sums;
        const unsigned* registers;
        std::uint64_t left, right;
        bool accumulate;
    } given{sums, registers, left, right, accumulate};
    const unsigned warp = self().linear / kWarp;
    together(&given, nullptr, [=](const void** all, void**) {
        State& s = state();
        WarpState& own = s.warps[warp];
        if (!own.fenced) {
            fail("a product without wgmma.fence before it");
        }
        Product product{};
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            const Given& g = *static_cast<const Given*>(all[lane]);
            if (g.left != left || g.right != right || g.accumulate != accumulate) {
                fail("the lanes of a warp begin different products");
            }
            product.sums[lane] = g.sums;
            product.registers[lane] = g.registers;
            if (registers != nullptr) {
                std::memcpy(product.held[lane], g.registers, sizeof product.held[lane]);
            }
        }
        product.type = type;
        product.left = left;
        product.right = right;
        product.columns = count * 2;
        product.from_registers = registers != nullptr;
        product.wide = wide;
        product.accumulate = accumulate;
        auto& issued = s.issued[warp * kWarp / kGroup];
        if (own.issued == issued.size()) {
            issued.push_back({type, left, right, count, wide, accumulate});
        } else {
            const Issued& first = issued[own.issued];
            if (first.type != type || first.left != left || first.right != right || first.columns != count || first.wide != wide ||
                first.accumulate != accumulate) {
                fail("the warps of a warpgroup begin different products");
            }
        }
        own.issued++;
        auto [found, fresh] = own.sums.try_emplace(product.sums[0]);
        Sums& under_way = found->second;
        if (fresh) {
            under_way.count = count;
            under_way.under_way = 0;
            under_way.values.resize(kWarp * count);
            for (unsigned lane = 0; lane < kWarp; ++lane) {
                under_way.places[lane] = product.sums[lane];
                std::memcpy(&under_way.values[lane * count], product.sums[lane], count * 4);
                for (unsigned i = 0; i < count; ++i) {
                    std::memcpy(product.sums[lane] + i, &kPoison, 4);
                }
            }
        }
        under_way.under_way++;
        own.open.push_back(product);
        own.waiting.push_back(product);
        if (chance()) {
            run_until(own, warp, own.issued);
        }
    });
}

void wait(unsigned pending) {
    const unsigned warp = self().linear / kWarp;
    together(nullptr, nullptr, [=](const void**, void**) {
        WarpState& own = state().warps[warp];
        while (own.groups.size() > pending) {
            run_until(own, warp, own.groups.front().end);
            for (float* key : own.groups.front().sums) {
                Sums& sums = own.sums.at(key);
                if (--sums.under_way > 0) {
                    continue;
                }
                for (unsigned lane = 0; lane < kWarp; ++lane) {
                    for (unsigned i = 0; i < sums.count; ++i) {
                        if (std::memcmp(sums.places[lane] + i, &kPoison, 4) != 0) {
                            fail("sums were touched while a product was under way");
                        }
                    }
                    std::memcpy(sums.places[lane], &sums.values[lane * sums.count], sums.count * 4);
                }
                own.sums.erase(key);
            }
            own.groups.pop_front();
        }
        // Registers are the threads' again: what they do to them has to be fenced.
        own.fenced = false;
    });
}

Turn& turn_of(unsigned id, unsigned threads) {
    Turn& turn = state().turns[id & 15];
    if (id == 0 || id > 15 || threads % kWarp != 0 || (turn.arrived != 0 && turn.threads != threads)) {
        fail("a numbered barrier with another number, or for other threads, than it can have");
    }
    turn.threads = threads;
    block().progress++;
    if (++turn.arrived == threads) {
        turn.arrived = 0;
        turn.generation++;
    }
    return turn;
}

void resize(unsigned count, bool more) {
    State& s = state();
    unsigned& own = s.registers[self().linear];
    if (count % 8 != 0 || count < 24 || count > 256 || (more ? count < own : count > own)) {
        fail("a number of registers that setmaxnreg does not take");
    }
    while (more && s.spare < count - own) {
        give_way();
    }
    s.spare += own - count;
    own = count;
    block().progress++;
}

}  // namespace hopper
}  // namespace emulator

unsigned shared_address(const void* pointer) { return emulator::hopper::address_of(pointer); }

void barrier_prepare(unsigned long long* barrier, unsigned arrivals) {
    const unsigned at = shared_address(barrier);
    if (at % 8 != 0 || arrivals == 0 || emulator::hopper::state().barriers.count(at) != 0) {
        emulator::fail("a barrier that is prepared twice, for nobody, or that is not aligned");
    }
    emulator::hopper::state().barriers[at] = {arrivals, arrivals, 0, 0, false};
}
void barriers_known() {
    for (auto& [at, barrier] : emulator::hopper::state().barriers) {
        barrier.known = true;
    }
}
void barrier_expect(unsigned long long* barrier, unsigned bytes) {
    auto& own = emulator::hopper::barrier_at(barrier);
    own.bytes += bytes;
    emulator::hopper::arrive(own);
}
void barrier_arrive(unsigned long long* barrier) { emulator::hopper::arrive(emulator::hopper::barrier_at(barrier)); }
void barrier_wait(unsigned long long* barrier, unsigned parity) {
    auto& own = emulator::hopper::barrier_at(barrier);
    auto& loads = emulator::hopper::state().loads;
    const unsigned at = shared_address(barrier);
    while ((own.phase & 1) == parity) {
        const auto load = std::find_if(loads.begin(), loads.end(), [=](const auto& l) { return l.barrier == at; });
        if (load == loads.end()) {
            emulator::give_way();
            continue;
        }
        const auto found = *load;
        loads.erase(load);
        emulator::hopper::perform(found);
    }
    emulator::block().progress++;
}
void load_box(void* shared, const TensorMap* map, unsigned long long* barrier, unsigned x, unsigned y, unsigned z) {
    auto& own = emulator::hopper::barrier_at(barrier);
    const unsigned to = shared_address(shared);
    if (map->magic != emulator::hopper::kMap || map->box[0] * map->element != 128 || map->swizzle != 3) {
        emulator::fail("a tensor map that is none, or whose tiles have no swizzled lines of 128 bytes");
    }
    if (!own.known) {
        emulator::fail("a copy to a barrier that is not yet known to copies");
    }
    if (to % 1024 != 0) {
        emulator::fail("a swizzled tile that does not begin at a multiple of 1024 bytes");
    }
    const unsigned bytes = map->box[0] * map->box[1] * map->box[2] * map->element;
    if (to - emulator::hopper::kBase + bytes > emulator::hopper::state().limit) {
        emulator::fail("a tile that does not fit into the shared memory of the block");
    }
    const emulator::hopper::Load load{*map, to, {x, y, z}, shared_address(barrier)};
    if (emulator::hopper::chance()) {
        emulator::hopper::perform(load);
    } else {
        emulator::hopper::state().loads.push_back(load);
        emulator::block().progress++;
    }
}
void turn_wait(unsigned id, unsigned threads) {
    const unsigned before = emulator::hopper::state().turns[id & 15].generation;
    auto& turn = emulator::hopper::turn_of(id, threads);
    while (turn.generation == before) {
        emulator::give_way();
    }
}
void turn_pass(unsigned id, unsigned threads) { emulator::hopper::turn_of(id, threads); }
// Makes what threads wrote to shared memory known to copies and tensor cores.
void writes_known() {
    std::memcpy(emulator::hopper::state().known.get(), emulator::block().shared.get(), emulator::kShared);
}

void products_fence() {
    const unsigned warp = emulator::self().linear / emulator::kWarp;
    emulator::together(nullptr, nullptr, [=](const void**, void**) { emulator::hopper::state().warps[warp].fenced = true; });
}
void products_commit() {
    const unsigned warp = emulator::self().linear / emulator::kWarp;
    emulator::together(nullptr, nullptr, [=](const void**, void**) {
        auto& own = emulator::hopper::state().warps[warp];
        own.groups.push_back({{}, own.issued});
        for (const auto& product : own.open) {
            own.groups.back().sums.push_back(product.sums[0]);
        }
        own.open.clear();
    });
}
