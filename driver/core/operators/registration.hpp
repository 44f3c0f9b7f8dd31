// Registration of operators with libtorch.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <deque>
#include <optional>
#include <span>
#include <string>

#include "torchml/common/error.hpp"

namespace torchml::operators {

struct Schema {
  char const* name;
  char const* text;
};

/// The operator in the dispatcher, so that tracing sees its calls.
template <class Signature>
c10::TypedOperatorHandle<Signature> handle(Schema const& schema) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(schema.name, "").typed<Signature>();
}

/// A library of implementations for a key; without a key, of definitions. It is never destroyed: a
/// library that is destroyed takes its operators away, while models that call them may live on. The
/// list keeps them reachable, so that memory checkers report no leak.
inline torch::Library& library_for(std::optional<c10::DispatchKey> key) {
  static auto& libraries = *new std::deque<torch::Library>();
  return libraries.emplace_back(key ? torch::Library::IMPL : torch::Library::FRAGMENT, "torchml",
                                key, __FILE__, __LINE__);
}

/// Defines the operators and returns true; false where this process has them. Throws Error when it
/// has different ones.
inline bool define(std::span<Schema const> schemas) {
  auto& dispatcher = c10::Dispatcher::singleton();
  if (!dispatcher.findSchema({schemas.front().name, ""})) {
    auto& library = library_for(std::nullopt);
    for (auto const& schema : schemas) library.def(schema.text);
    return true;
  }
  for (auto const& schema : schemas) {
    auto const known = dispatcher.findSchema({schema.name, ""});
    if (!known ||
        !(known->schema() == torch::jit::parseSchema("torchml::" + std::string(schema.text))))
      throw Error(std::string("the operator ") + schema.name +
                  " of another version of TorchML is in this process, expected the same "
                  "version of the driver and of the Python package");
  }
  return false;
}

}  // namespace torchml::operators
