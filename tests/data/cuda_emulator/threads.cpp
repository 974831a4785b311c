// Threads as fibers, what a block waits for, and copies under way.

#include "threads.hpp"

namespace emulator {

__thread const Place* place;
__thread const dim3* thread;

Block& block() {
    static thread_local Block one;
    return one;
}

Fiber& self() { return *block().now; }

unsigned lane() { return self().linear % kWarp; }

// Only the first time by its context, which costs two calls of the system.
[[gnu::noinline]] void resume(Block& b, Fiber& f) {
    if (_setjmp(b.scheduler) == 0) {
        if (f.begun) {
            _longjmp(f.place, 1);
        }
        f.begun = true;
        setcontext(&f.context);
    }
}

[[gnu::noinline]] void give_way() {
    Block& b = block();
    if (_setjmp(b.now->place) == 0) {
        _longjmp(b.scheduler, 1);
    }
}

// The thread is never run again: the launch returns the message.
[[noreturn]] void fail(const char* what) {
    block().failure = what;
    give_way();
    std::abort();
}

void enter() {
    Block& b = block();
    b.body.first(b.body.second);
    if (!self().open.empty() || !self().groups.empty()) {
        // Copies nobody waits for are legal only when they copy nothing that is read: hardware drops them at exit.
        self().open.clear();
        self().groups.clear();
    }
    self().done = true;
    b.progress++;
    give_way();
}

// Waits for the whole block.
void barrier() {
    Block& b = block();
    const unsigned mine = b.generation;
    b.progress++;
    if (++b.arrived == b.threads) {
        b.arrived = 0;
        b.generation++;
        return;
    }
    while (b.generation == mine) {
        give_way();
    }
}

std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, unsigned from) {
    if (mask != 0xffffffffu) {
        fail("a shuffle of a part of a warp");
    }
    struct Given {
        std::uint64_t bits;
        unsigned from;
    } given{bits, from % kWarp};
    std::uint64_t result;
    together(&given, &result, [](const void** all, void** wanted) {
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            const unsigned source = static_cast<const Given*>(all[lane])->from;
            *static_cast<std::uint64_t*>(wanted[lane]) = static_cast<const Given*>(all[source])->bits;
        }
    });
    return result;
}

void wait_for_copies(unsigned pending) {
    auto& groups = self().groups;
    while (groups.size() > pending) {
        for (const auto& copy : groups.front()) {
            if ((reinterpret_cast<std::uintptr_t>(copy.to) | reinterpret_cast<std::uintptr_t>(copy.from)) % 16 != 0) {
                emulator::fail("an asynchronous copy that is not aligned to 16 bytes");
            }
            if (copy.valid) {
                std::memcpy(copy.to, copy.from, 16);
            } else {
                std::memset(copy.to, 0, 16);
            }
        }
        groups.pop_front();
    }
}

const char* run_grid(void (*body)(void*), void* given, dim3 grid, dim3 size, unsigned shared, unsigned seed, bool hopper) {
    Block& b = block();
    b.threads = size.x * size.y * size.z;
    if (b.threads == 0 || b.threads % kWarp != 0 || b.threads > 1024 || shared > kShared) {
        return "a block of another size than 1 to 32 warps, or with too much shared memory";
    }
    b.body = {body, given};
    b.place = {{}, size, grid, b.shared.get()};
    place = &b.place;
    b.failure = nullptr;
    while (b.fibers.size() < b.threads) {
        b.fibers.push_back(std::make_unique<Fiber>());
    }
    std::mt19937 random(seed);
    std::vector<unsigned> blocks(std::size_t{grid.x} * grid.y * grid.z), order(b.threads);
    std::iota(blocks.begin(), blocks.end(), 0u);
    std::shuffle(blocks.begin(), blocks.end(), random);
    std::iota(order.begin(), order.end(), 0u);
    for (unsigned place : blocks) {
        std::shuffle(order.begin(), order.end(), random);
        b.place.index = {place % grid.x, place / grid.x % grid.y, place / grid.x / grid.y};
        std::memset(b.shared.get(), 0xff, kShared);
        b.warps.assign(b.threads / kWarp, Warp{});
        b.arrived = b.generation = 0;
        if (hopper) {
            hopper::begin(random(), shared);
        }
        for (unsigned t = 0; t < b.threads; ++t) {
            Fiber& f = *b.fibers[t];
            f.index = {t % size.x, t / size.x % size.y, t / size.x / size.y};
            f.linear = t;
            f.done = f.begun = false;
            f.open.clear();
            f.groups.clear();
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get();
            f.context.uc_stack.ss_size = kStack;
            f.context.uc_link = nullptr;
            makecontext(&f.context, enter, 0);
        }
        for (unsigned left = b.threads; left > 0;) {
            const unsigned before = b.progress;
            left = 0;
            for (unsigned t : order) {
                Fiber& f = *b.fibers[t];
                if (f.done) {
                    continue;
                }
                b.now = &f;
                thread = &f.index;
                resume(b, f);
                if (b.failure != nullptr) {
                    return b.failure;
                }
                left += f.done ? 0 : 1;
            }
            if (left > 0 && b.progress == before) {
                if (hopper) {
                    hopper::explain();
                }
                return "threads wait for others that never come";
            }
        }
        if (const char* open = hopper ? hopper::finish() : nullptr) {
            return open;
        }
        for (unsigned i = shared; i < kShared; ++i) {
            if (b.shared[i] != 0xff) {
                return "a write behind the shared memory of the block";
            }
        }
    }
    return nullptr;
}

}  // namespace emulator

void __syncthreads() { emulator::barrier(); }
void __syncwarp() {
    emulator::together(nullptr, nullptr, [](const void**, void**) {});
}
unsigned __ballot_sync(unsigned mask, bool value) {
    if (mask != 0xffffffffu) {
        emulator::fail("a ballot of a part of a warp");
    }
    unsigned result;
    emulator::together(&value, &result, [](const void** given, void** wanted) {
        unsigned all = 0;
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            all |= *static_cast<const bool*>(given[lane]) ? 1u << lane : 0u;
        }
        for (unsigned lane = 0; lane < emulator::kWarp; ++lane) {
            *static_cast<unsigned*>(wanted[lane]) = all;
        }
    });
    return result;
}

void copy_async(void* shared, const void* global, bool valid) {
    emulator::self().open.push_back(
        {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), valid});
}
void copy_commit() {
    auto& fiber = emulator::self();
    fiber.groups.push_back(std::move(fiber.open));
    fiber.open.clear();
}
