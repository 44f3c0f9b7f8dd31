// Names of the operators, and their entries in torch's dispatcher.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <vector>

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

/// Where the implementations of an operator are registered.
struct Libraries {
  torch::Library& cpu;
  torch::Library& cuda;
  torch::Library& meta;
  torch::Library& autograd;
};

}  // namespace torchml::operators
