#include "model/aoti_host_check.hpp"

#include <torch/version.h>

#include "torchml/common/error.hpp"
#include "torchml/common/text.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/utsname.h>
#endif

namespace torchml {
namespace {

#if defined(__x86_64__)

bool has_amx_tile() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d >> 24U & 1U) != 0;
}

/// The levels x86-64-v3 and x86-64-v4, as far as compilers use them, and what torch adds.
bool can_run(std::string const& word) {
  if (word == "avx2")
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (word == "avx512")
    return can_run("avx2") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (word == "avx512_vnni") return __builtin_cpu_supports("avx512vnni") != 0;
  return word == "amx_tile" && has_amx_tile();
}

std::string this_processor() {
  if (can_run("avx512")) return "avx512";
  return can_run("avx2") ? "avx2" : "x86_64 without avx2";
}

#else

std::string this_processor() {
  utsname name{};
  return uname(&name) == 0 ? name.machine : "unknown";
}

bool can_run(std::string const& word) {
  return word == this_processor();
}

#endif

std::string field(Declaration const& declared, std::string const& key) {
  auto const entry = declared.fields.find(key);
  if (entry != declared.fields.end()) return entry->second;
  throw Error("'" + key + "' is not in " + declared.source +
              ", expected an archive that 'python -m torchml_export --format aoti' wrote");
}

void require_instruction_set(Declaration const& declared) {
  auto const needed = field(declared, "instruction_set");
  auto const words = split_words(needed);
  bool fits = !words.empty();
  for (auto const& word : words) fits = fits && can_run(word);
  if (!fits)
    throw Error("the model is compiled for the instruction set '" + needed + "' according to " +
                declared.source + ", expected one of this processor (" + this_processor() +
                "): export it again with --instruction-set");
}

void require_torch(Declaration const& declared) {
  auto const version = field(declared, "torch");
  auto const first = version.find('.');
  auto const second = version.find('.', first == std::string::npos ? first : first + 1);
  auto const major = parse_number<int>(version.substr(0, first));
  auto const minor = first == std::string::npos
                         ? std::nullopt
                         : parse_number<int>(version.substr(first + 1, second - first - 1));
  if (!major || !minor || *major != TORCH_VERSION_MAJOR || *minor > TORCH_VERSION_MINOR)
    throw Error("the model is compiled with torch " + version + " according to " + declared.source +
                ", expected a version from " + std::to_string(TORCH_VERSION_MAJOR) +
                ".0 to this libtorch's " + TORCH_VERSION + ": export it again with this torch");
}

void require_device(Declaration const& declared, torch::Device device) {
  auto const compiled = field(declared, "device");
  auto const requested = torch::DeviceTypeName(device.type(), /*lower_case=*/true);
  if (compiled != requested)
    throw Error("the model is compiled for the device '" + compiled + "' according to " +
                declared.source + " but must run on '" + requested +
                "', expected the same: export it again with --device " + requested);
}

}  // namespace

void require_fit(Declaration const& declared, torch::Device device) {
  require_instruction_set(declared);
  require_torch(declared);
  require_device(declared, device);
}

}  // namespace torchml
