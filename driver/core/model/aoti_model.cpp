#include "model/aoti_model.hpp"

#include <ATen/Parallel.h>
#include <c10/util/hash.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "host/gil_release.hpp"
#include "host/temporary_folder.hpp"
#include "model/aoti_host_check.hpp"
#include "model/torch_error.hpp"
#include "model/zip_directory.hpp"
#include "torchml/common/error.hpp"

namespace torchml {

struct AotiModel::Libraries {
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> serial;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> parallel;  ///< null on a GPU
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> energy;  ///< null where it is not there
};

namespace {

namespace fs = std::filesystem;

using Loader = torch::inductor::AOTIModelPackageLoader;

/// Calls that may run at the same time; the weights are shared between them.
std::size_t runners(torch::Device device) {
  return device.is_cpu() ? std::clamp(std::thread::hardware_concurrency(), 1U, 16U) : 1U;
}

std::unique_ptr<Loader> load_package(fs::path const& path, char const* variant,
                                     torch::Device device) {
  try {
    return std::make_unique<Loader>(path.string(), variant, /*run_single_threaded=*/false,
                                    runners(device), device.index());
  } catch (std::exception const& exception) {
    std::error_code ignored;
    throw Error("cannot load model " + path.filename().string() + " (" + describe(exception) +
                "), expected a whole archive, and a temporary folder (TMPDIR, now " +
                fs::temp_directory_path(ignored).string() +
                ") to unpack it into that has room and lets programs run");
  }
}

/// Whether the archive holds a model of this name.
bool holds(fs::path const& path, std::string const& variant) {
  std::ifstream stream(path, std::ios::binary);
  return std::ranges::any_of(read_zip_directory(stream), [&](ZipPart const& part) {
    return part.name.find("/aotinductor/" + variant + "/") != std::string::npos;
  });
}

/// A hash of the file's blocks, each with the hash before it: large archives stay on the disk.
std::string digest_of(fs::path const& path) {
  std::ifstream stream(path, std::ios::binary);
  std::string digest;
  std::string block(std::size_t{1} << 20, '\0');
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())) ||
         stream.gcount() > 0)
    digest = c10::sha1(digest + block.substr(0, static_cast<std::size_t>(stream.gcount()))).str();
  return digest;
}

/// The libraries of an archive, each loaded once in the life of the process: their symbols are
/// unique (STB_GNU_UNIQUE), so that the dynamic linker never unloads them, and loading them anew
/// for each model would keep their memory each time.
std::shared_ptr<AotiModel::Libraries const> libraries_of(fs::path const& path,
                                                         torch::Device device) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<AotiModel::Libraries const>> loaded;
  std::scoped_lock const one_at_a_time(mutex);
  auto& libraries = loaded[device.str() + " " + digest_of(path)];
  if (!libraries) {
    auto fresh = std::make_shared<AotiModel::Libraries>();
    fresh->serial = load_package(path, "serial", device);
    if (device.is_cpu()) fresh->parallel = load_package(path, "parallel", device);
    if (holds(path, "energy")) fresh->energy = load_package(path, "energy", device);
    libraries = std::move(fresh);
  }
  return libraries;
}

/// Runs a model of the archive, which must return `count` tensors.
std::vector<torch::Tensor> run(Loader& loader, AotiInputs const& declared,
                               std::vector<c10::IValue> const& inputs, std::size_t count,
                               std::string const& name) {
  auto const tensors = declared.flatten(inputs);
  std::vector<torch::Tensor> outputs;
  try {
    GilRelease const no_gil;
    outputs = loader.run(tensors);
  } catch (std::exception const& exception) {
    throw Error("model " + name + " failed: " + describe(exception));
  }
  if (outputs.size() != count)
    throw Error("model " + name + " returned " + std::to_string(outputs.size()) +
                " tensors, expected " + (count == 2 ? "two (energy, derivative)" : "one (energy)"));
  return outputs;
}

}  // namespace

AotiModel::AotiModel(fs::path const& path, Declaration const& metadata,
                     Extensions const& extensions, torch::Device device)
    : name_(path.filename().string()), device_(device) {
  require_fit(metadata, device);
  auto const find = [&](std::string const& key) {
    auto const field = metadata.fields.find(key);
    return field == metadata.fields.end() ? std::string{} : field->second;
  };
  inputs_.emplace(find("inputs"), metadata.source);
  std::string const key = find("input_dtype").empty() ? "dtype" : "input_dtype";
  std::optional<ScalarType> input_type;
  for (auto const dtype : {ScalarType::float32, ScalarType::float64}) {
    if (find("dtype") == to_string(dtype)) dtype_ = dtype;
    if (find(key) == to_string(dtype)) input_type = dtype;
  }
  if (!dtype_ || !input_type || !inputs_->takes(*input_type))
    throw Error("'" + key + "' is '" + find(key) + "' but 'inputs' is '" + find("inputs") +
                "' in " + metadata.source + ", expected inputs of that type");
  if (find("returns_forces") == "false")
    throw Error("'returns_forces' is 'false' in " + metadata.source +
                ", expected true, since a compiled model cannot be differentiated");
  load_extensions(extensions);
  require_temporary_folder(path);
  libraries_ = libraries_of(path, device);
}

AotiModel::~AotiModel() = default;

ModelOutput AotiModel::forward(std::vector<c10::IValue> const& inputs) const {
  auto const& [serial, parallel, energy] = *libraries_;
  auto const& loader = parallel && at::get_num_threads() > 1 ? parallel : serial;
  auto const outputs = run(*loader, *inputs_, inputs, 2, name_);
  return {outputs[0], outputs[1]};
}

torch::Tensor AotiModel::energy(std::vector<c10::IValue> const& inputs) const {
  if (!libraries_->energy) return forward(inputs).energy;
  return run(*libraries_->energy, *inputs_, inputs, 1, name_).front();
}

}  // namespace torchml
