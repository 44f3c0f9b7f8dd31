#include "model/extensions.hpp"

#include <c10/core/Allocator.h>
#include <dlfcn.h>

#include <algorithm>
#include <sstream>

#include "torchml/common/error.hpp"

#ifndef TORCHML_EXTENSION_ROOTS
#define TORCHML_EXTENSION_ROOTS ""
#endif

namespace torchml {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split_path(std::string const& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

/// The folder that holds libtorch's shared libraries in this process.
fs::path torch_library_folder() {
  Dl_info info{};
  auto const address = reinterpret_cast<void*>(&c10::GetAllocator);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  return fs::path(info.dli_fname).parent_path();
}

/// The libraries a name stands for in one folder: `name` itself, lib<name>.so, or the CPU (and
/// CUDA) operator libraries of a Python package of that name.
std::vector<fs::path> libraries_in(fs::path const& folder, std::string const& name) {
  std::error_code ignored;
  std::string plain = name;
  std::erase(plain, '_');
  for (auto const& file : {name, "lib" + name + ".so", "lib" + plain + ".so"})
    if (fs::is_regular_file(folder / file, ignored)) return {folder / file};
  std::vector<fs::path> libraries;
  for (auto const& package : {folder / name, folder})
    if (package.filename() == name && fs::is_directory(package, ignored))
      for (auto const& entry : fs::directory_iterator(package, ignored))
        if (entry.path().extension() == ".so") libraries.push_back(entry.path());
  std::sort(libraries.begin(), libraries.end());
  return libraries;
}

/// Global, so that libraries of one package find each other; never closed, since operators stay
/// registered.
bool try_open(std::string const& file) {
  return dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr;
}

/// Libraries that pip built refer to Python's own symbols, which a simulator need not have loaded:
/// brings in the libpython of the .../python3.X/... folder they lie in.
bool load_python_of(fs::path const& path) {
  for (auto const& part : path)
    if (part.string().starts_with("python3.")) return try_open("lib" + part.string() + ".so.1.0");
  return false;
}

void open_library(fs::path const& path) {
  if (try_open(path)) return;
  std::string const reason = dlerror();
  bool const wants_python = reason.find("undefined symbol: Py") != std::string::npos ||
                            reason.find("undefined symbol: _Py") != std::string::npos;
  if (wants_python && load_python_of(path) && try_open(path)) return;
  throw Error("cannot load operator library " + path.string() + " (" + reason +
              "), expected a library built for this libtorch");
}

std::vector<fs::path> search_path(std::vector<fs::path> folders) {
  for (auto const& part : split_path(TORCHML_EXTENSION_ROOTS)) {
    folders.emplace_back(part);
    folders.emplace_back(fs::path(part) / "lib");
  }
  if (auto const torch = torch_library_folder(); !torch.empty()) {
    folders.push_back(torch);
    folders.push_back(torch.parent_path().parent_path());  // site-packages of a pip-installed torch
  }
  return folders;
}

}  // namespace

void load_extensions(Extensions const& extensions) {
  for (auto const& name : extensions.names) {
    if (name.find('/') != std::string::npos) {
      open_library(name);
      continue;
    }
    auto const folders = search_path(extensions.folders);
    std::vector<fs::path> libraries;
    for (auto const& folder : folders)
      if (libraries = libraries_in(folder, name); !libraries.empty()) break;
    if (libraries.empty()) {
      std::string places;
      for (auto const& folder : folders) places += (places.empty() ? "" : ", ") + folder.string();
      throw Error("operator library '" + name + "' was not found in " + places +
                  ", expected it there or in a folder of TORCHML_EXTENSION_PATH");
    }
    for (auto const& library : libraries) open_library(library);
  }
}

}  // namespace torchml
