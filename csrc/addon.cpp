// The binding to Node (N-API, raw): memory, and one entry `run` for every operation.
//
// JavaScript writes operations and their arguments into a Float64Array of its own and calls
// run(count, address): 20 ns whatever they are, and no code here per operation. The first two
// entries are the instruction set and the thread count, so that several Kernels objects with
// different settings live side by side. Each JavaScript thread has its own scratch; the pool is one
// for the process.
#include <dlfcn.h>
#include <node_api.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "arena.h"
#include "kernels.h"
#include "loader.h"
#include "pool.h"
#include "roofline.h"

namespace moebius {
namespace {

// Doubles in an array of arguments: thirty queued operations; one takes a hundred at most.
constexpr size_t kMaxArguments = 4096;

struct Instance {
  Scratch scratch;
};

const std::vector<const Isa*>& availableIsas() {
  static const std::vector<const Isa*> isas = [] {
    std::vector<const Isa*> list;  // best first
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
    if (hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      list.push_back(&kIsaAvx512);
    }
    if (hasAvx2) list.push_back(&kIsaAvx2);
#endif
    list.push_back(&kIsaBaseline);
    return list;
  }();
  return isas;
}

napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

Instance& instanceOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Instance*>(data);
}

bool readArguments(napi_env env, napi_callback_info info, napi_value* values, size_t wanted) {
  size_t count = wanted;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  return count >= wanted;
}

// run(count, address): at the address lie kMaxArguments doubles: the instruction set, the thread
// count, then `count` times an operation's number, how many arguments it has, and these. Several in
// one call keep the caches and the other threads from forgetting what they were doing.
napi_value run(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t count = 0;
  double place = 0;
  if (!readArguments(env, info, values, 2) ||
      napi_get_value_uint32(env, values[0], &count) != napi_ok ||
      napi_get_value_double(env, values[1], &place) != napi_ok || !(place >= 1)) {
    return fail(env, "run: how many operations, and where?");
  }
  Instance& instance = instanceOf(env);
  const double* arguments = reinterpret_cast<const double*>(static_cast<uintptr_t>(place));
  const std::vector<const Isa*>& isas = availableIsas();
  const size_t isa = size_t(arguments[0]);
  const int threads = int(arguments[1]);
  if (isa >= isas.size() || threads < 1 || threads > kMaxThreads) {
    return fail(env, "run: no such instruction set or thread count");
  }
  const double* next = arguments + 2;
  const double* end = arguments + kMaxArguments;
  for (uint32_t i = 0; i < count; i++) {
    const bool isThere = end - next >= 2 && next[0] >= 0 && next[0] < int(kNumOperations) &&
                         next[1] >= 0 && next[1] <= double(end - next - 2);
    if (!isThere) return fail(env, "run: unknown operation, or arguments beyond the array");
    next += 2 + size_t(next[1]);
  }
  Pool& pool = Pool::instance();
  std::unique_lock<std::mutex> lock(pool.mutex(), std::defer_lock);
  if (threads > 1) lock.lock();
  const Context context = {
      threads, &instance,
      [](void*, int threads, void (*task)(void*, int), void* data) {
        Pool::instance().run(threads, task, data);
      },
      [](void* host, size_t bytes) {
        void* data = static_cast<Instance*>(host)->scratch.allocate(bytes);
        if (data == nullptr) {
          napi_fatal_error("moebius", NAPI_AUTO_LENGTH, "no memory for an operation's scratch",
                           NAPI_AUTO_LENGTH);
        }
        return data;
      }};
  next = arguments + 2;
  for (uint32_t i = 0; i < count; i++) {
    isas[isa]->operations[size_t(next[0])](context, next + 2);
    instance.scratch.reset();
    next += 2 + size_t(next[1]);
  }
  return nullptr;
}

// An ArrayBuffer over pages of ours, which go back to the system when it is collected.
napi_value wrapPages(napi_env env, Pages pages, size_t bytes) {
  Pages* kept = new Pages(pages);
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, pages.data, bytes,
      [](napi_env, void*, void* hint) {
        Pages* finished = static_cast<Pages*>(hint);
        freePages(*finished);
        delete finished;
      },
      kept, &buffer);
  if (status != napi_ok) {
    freePages(pages);
    delete kept;
    return fail(env, "this Node cannot make an ArrayBuffer of that size over memory of ours");
  }
  return buffer;
}

// allocate(byteLength): zeroed, 2 MiB aligned, on huge pages.
napi_value allocate(napi_env env, napi_callback_info info) {
  napi_value value;
  double bytes = -1;
  if (!readArguments(env, info, &value, 1) ||
      napi_get_value_double(env, value, &bytes) != napi_ok || !(bytes >= 1 && bytes < 0x1p52)) {
    return fail(env, "allocate: a positive number of bytes");
  }
  const Pages pages = allocatePages(size_t(bytes));
  if (pages.data == nullptr) return fail(env, "allocate: the system has no more memory");
  return wrapPages(env, pages, size_t(bytes));
}

// mapFile(path): the file's bytes as a read-only ArrayBuffer, also above 4 GiB.
napi_value mapFileCall(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t length = 0;
  if (!readArguments(env, info, &value, 1) ||
      napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    return fail(env, "mapFile: a path");
  }
  std::string path(length, '\0');
  napi_get_value_string_utf8(env, value, path.data(), length + 1, &length);
  if (std::strlen(path.c_str()) != length) return fail(env, "mapFile: a path without NUL");
  const Pages pages = mapFile(path.c_str());
  if (pages.data == nullptr && errno != 0) {
    return fail(env, ("mapFile: " + std::string(std::strerror(errno)) + ": " + path).c_str());
  }
  if (pages.data == nullptr) {
    void* nothing = nullptr;
    napi_value buffer;
    napi_create_arraybuffer(env, 0, &nothing, &buffer);
    return buffer;
  }
  return wrapPages(env, pages, pages.bytes);
}

// address(bytes: Uint8Array): where its first byte lies. A view, because N-API looks through views
// on shared memory but not at a SharedArrayBuffer itself.
napi_value address(napi_env env, napi_callback_info info) {
  napi_value value;
  bool isView = false;
  void* data = nullptr;
  if (!readArguments(env, info, &value, 1) ||
      napi_is_typedarray(env, value, &isView) != napi_ok || !isView ||
      napi_get_typedarray_info(env, value, nullptr, nullptr, &data, nullptr, nullptr) != napi_ok) {
    return fail(env, "address: a typed array");
  }
  napi_value result;
  napi_create_double(env, double(reinterpret_cast<uintptr_t>(data)), &result);
  return result;
}

void stopLoader(void* loader) { static_cast<Loader*>(loader)->stop(); }

bool readPaths(napi_env env, napi_value array, std::vector<std::string>* paths) {
  uint32_t count = 0;
  if (napi_get_array_length(env, array, &count) != napi_ok) return false;
  for (uint32_t i = 0; i < count; i++) {
    napi_value value;
    size_t length = 0;
    if (napi_get_element(env, array, i, &value) != napi_ok ||
        napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
      return false;
    }
    std::string path(length, '\0');
    napi_get_value_string_utf8(env, value, path.data(), length + 1, &length);
    paths->push_back(std::move(path));
  }
  return true;
}

// createLoader(paths, copies, threads, drops): see loader.h. `copies` has five numbers for each
// copy, in the order of groups: group, index of the path, offset, address, bytes.
napi_value createLoader(napi_env env, napi_callback_info info) {
  napi_value values[4];
  std::vector<std::string> paths;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  uint32_t threads = 0;
  bool drops = false;
  if (!readArguments(env, info, values, 4) || !readPaths(env, values[0], &paths) ||
      napi_get_typedarray_info(env, values[1], &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_float64_array || length % 5 != 0 ||
      napi_get_value_uint32(env, values[2], &threads) != napi_ok || threads < 1 || threads > 64 ||
      napi_get_value_bool(env, values[3], &drops) != napi_ok) {
    return fail(env, "createLoader: paths, copies, threads, whether to drop");
  }
  std::vector<FileCopy> copies;
  uint32_t numGroups = 0;
  for (const double* next = static_cast<double*>(data), *end = next + length; next < end;
       next += 5) {
    const uint32_t group = uint32_t(next[0]);
    const bool isInOrder = group == numGroups || group + 1 == numGroups;
    if (!isInOrder || next[1] >= double(paths.size())) return fail(env, "createLoader: a copy");
    numGroups = group + 1;
    copies.push_back({group, uint32_t(next[1]), uint64_t(next[2]),
                      reinterpret_cast<char*>(uintptr_t(next[3])), uint64_t(next[4])});
  }
  const CachePolicy policy = drops ? CachePolicy::kDrop : CachePolicy::kKeep;
  Loader* loader = new Loader(std::move(paths), copies, numGroups, int(threads), policy);
  // Memory is given back when an environment ends, and nobody may write to it then.
  napi_add_env_cleanup_hook(env, stopLoader, loader);
  napi_value result;
  napi_create_external(
      env, loader,
      [](napi_env env, void* data, void*) {
        napi_remove_env_cleanup_hook(env, stopLoader, data);
        delete static_cast<Loader*>(data);
      },
      nullptr, &result);
  return result;
}

Loader* loaderOf(napi_env env, napi_value value) {
  void* data = nullptr;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return nullptr;
  napi_get_value_external(env, value, &data);
  return static_cast<Loader*>(data);
}

// loaderNeed(loader, groups: Uint32Array): returns when they are there, or there is an error.
napi_value loaderNeed(napi_env env, napi_callback_info info) {
  napi_value values[2];
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  Loader* loader = nullptr;
  if (!readArguments(env, info, values, 2) ||
      (loader = loaderOf(env, values[0])) == nullptr ||
      napi_get_typedarray_info(env, values[1], &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_uint32_array) {
    return fail(env, "loaderNeed: a loader and groups");
  }
  const uint32_t* groups = static_cast<uint32_t*>(data);
  for (size_t i = 0; i < length; i++) {
    if (groups[i] >= loader->numGroups()) return fail(env, "loaderNeed: no such group");
  }
  loader->need(groups, length);
  return nullptr;
}

// loaderState(loader): { bytes, groups, error }.
napi_value loaderState(napi_env env, napi_callback_info info) {
  napi_value value;
  Loader* loader = nullptr;
  if (!readArguments(env, info, &value, 1) || (loader = loaderOf(env, value)) == nullptr) {
    return fail(env, "loaderState: a loader");
  }
  const LoaderProgress progress = loader->progress();
  const std::string error = loader->error();
  napi_value result, property;
  napi_create_object(env, &result);
  napi_create_double(env, double(progress.bytes), &property);
  napi_set_named_property(env, result, "bytes", property);
  napi_create_double(env, double(progress.groups), &property);
  napi_set_named_property(env, result, "groups", property);
  napi_create_string_utf8(env, error.data(), error.size(), &property);
  napi_set_named_property(env, result, "error", property);
  return result;
}

// loaderStop(loader): no byte is written once it returns.
napi_value loaderStop(napi_env env, napi_callback_info info) {
  napi_value value;
  Loader* loader = nullptr;
  if (!readArguments(env, info, &value, 1) || (loader = loaderOf(env, value)) == nullptr) {
    return fail(env, "loaderStop: a loader");
  }
  loader->stop();
  return nullptr;
}

// measureRoofline(isa, threads, seconds): see roofline.h.
napi_value measureRooflineCall(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t isa = 0;
  uint32_t threads = 0;
  double seconds = 0;
  if (!readArguments(env, info, values, 3) ||
      napi_get_value_uint32(env, values[0], &isa) != napi_ok ||
      napi_get_value_uint32(env, values[1], &threads) != napi_ok ||
      napi_get_value_double(env, values[2], &seconds) != napi_ok || isa >= availableIsas().size() ||
      threads < 1 || threads > kMaxThreads || !(seconds > 0)) {
    return fail(env, "measureRoofline: instruction set, threads, seconds");
  }
  std::lock_guard<std::mutex> lock(Pool::instance().mutex());
  const Roofline limits = measureRoofline(*availableIsas()[isa], int(threads), seconds);
  napi_value result;
  napi_create_object(env, &result);
  const auto put = [&](const char* name, double number) {
    napi_value property;
    napi_create_double(env, number, &property);
    napi_set_named_property(env, result, name, property);
  };
  put("flopsPerSecond", limits.flopsPerSecond);
  put("readBytesPerSecond", limits.readBytesPerSecond);
  put("copyBytesPerSecond", limits.copyBytesPerSecond);
  return result;
}

napi_value stringsOf(napi_env env, const std::vector<const char*>& strings) {
  napi_value array;
  napi_create_array_with_length(env, strings.size(), &array);
  for (size_t i = 0; i < strings.size(); i++) {
    napi_value text;
    napi_create_string_utf8(env, strings[i], NAPI_AUTO_LENGTH, &text);
    napi_set_element(env, array, uint32_t(i), text);
  }
  return array;
}

// The pool's threads run this library's code for ever; without this, the end of the last
// JavaScript worker that loaded it would unmap the code under them.
void keepLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&keepLoaded), &self) != 0 && self.dli_fname != nullptr) {
    dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

napi_value initialise(napi_env env, napi_value exports) {
  keepLoaded();
  Instance* instance = new Instance;
  napi_set_instance_data(
      env, instance, [](napi_env, void* data, void*) { delete static_cast<Instance*>(data); },
      nullptr);

  static const char* const kOperationNames[] = {
#define OPERATION(name) #name,
#include "operations.def"
#undef OPERATION
  };
  std::vector<const char*> isaNames;
  for (const Isa* isa : availableIsas()) isaNames.push_back(isa->name);
  const std::vector<const char*> operations(kOperationNames, kOperationNames + kNumOperations);
  napi_set_named_property(env, exports, "isas", stringsOf(env, isaNames));
  napi_set_named_property(env, exports, "operations", stringsOf(env, operations));

  // By scripts/build-addon.js, from what it compiles: how all of this is called.
  static const char* const kSignatures[] = {MOEBIUS_SIGNATURES};
  static_assert(sizeof kSignatures == sizeof kOperationNames, "a signature for every operation");
  const std::vector<const char*> signatures(kSignatures, kSignatures + kNumOperations);
  napi_set_named_property(env, exports, "signatures", stringsOf(env, signatures));
  napi_value convention;
  napi_create_string_utf8(env, MOEBIUS_CONVENTION, NAPI_AUTO_LENGTH, &convention);
  napi_set_named_property(env, exports, "callingConvention", convention);

  napi_value number;
  napi_create_int32(env, kAbiVersion, &number);
  napi_set_named_property(env, exports, "abiVersion", number);
  napi_create_int32(env, Pool::availableThreads(), &number);
  napi_set_named_property(env, exports, "availableThreads", number);
  napi_create_int32(env, int(kMaxArguments), &number);
  napi_set_named_property(env, exports, "maxArguments", number);
  napi_create_int32(env, kMaxThreads, &number);
  napi_set_named_property(env, exports, "maxThreads", number);

  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"run", run},
                   {"allocate", allocate},
                   {"mapFile", mapFileCall},
                   {"address", address},
                   {"createLoader", createLoader},
                   {"loaderNeed", loaderNeed},
                   {"loaderState", loaderState},
                   {"loaderStop", loaderStop},
                   {"measureRoofline", measureRooflineCall}};
  for (const auto& entry : functions) {
    napi_value function;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function);
    napi_set_named_property(env, exports, entry.name, function);
  }
  return exports;
}

}  // namespace
}  // namespace moebius

NAPI_MODULE_INIT() { return moebius::initialise(env, exports); }
