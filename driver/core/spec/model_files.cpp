#include "spec/model_files.hpp"

#include <optional>

#include "spec/param_file.hpp"
#include "torchml/common/error.hpp"
#include "torchml/common/lines.hpp"

namespace torchml {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> only_file(std::vector<fs::path> const& files,
                                  std::string const& extension) {
  std::optional<fs::path> match;
  for (auto const& file : files) {
    if (file.extension() != extension) continue;
    if (match)
      throw Error("the model has two " + extension + " files, " + match->filename().string() +
                  " and " + file.filename().string() + ", expected one");
    match = file;
  }
  return match;
}

fs::path archive(std::vector<fs::path> const& files, Declaration const& declared) {
  auto const& name = declared.fields.at("model");
  std::string present;
  for (auto const& file : files) {
    if (file.filename() == name) return file;
    present += (present.empty() ? "" : ", ") + file.filename().string();
  }
  throw Error(declared.source + " names the model file '" + name +
              "', expected one of the model's parameter files (" + present + ")");
}

/// A compiled archive fits some machines, the TorchScript of the same name any.
std::optional<fs::path> fallback_of(fs::path archive, std::vector<fs::path> const& files) {
  if (archive.extension() != ".pt2") return std::nullopt;
  auto const same_name = archive.replace_extension(".pt").filename();
  for (auto const& file : files)
    if (file.filename() == same_name) return file;
  return std::nullopt;
}

}  // namespace

ModelFiles read_model_files(std::vector<fs::path> const& files) {
  auto const param = only_file(files, ".param");
  if (!param) throw Error("the model has no parameter file *.param, expected one");
  auto const declared = read_param_file(*param);
  ModelFiles model{archive(files, declared), {declared}};
  model.fallback = fallback_of(model.model, files);
  if (declared.fields.contains("descriptor"))
    if (auto const dat = only_file(files, ".dat"))
      model.declared.push_back(
          {dat->filename().string(),
           {{"descriptor_parameters", read_text(*dat, "a descriptor's parameters")}}});
  return model;
}

}  // namespace torchml
