#include "model/torchscript_model.hpp"

#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <functional>

#include "host/gil_release.hpp"
#include "model/torch_error.hpp"
#include "torchml/common/error.hpp"

namespace torchml {
namespace {

namespace fs = std::filesystem;

constexpr char const* member_method = "member_energies";

void visit_nodes(torch::jit::Block const* block,
                 std::function<void(torch::jit::Node const*)> const& visit) {
  for (auto const* node : block->nodes()) {
    visit(node);
    for (auto const* inner : node->blocks()) visit_nodes(inner, visit);
  }
}

/// How many numbers of each type some tensors hold.
struct FloatCount {
  std::int64_t float16 = 0;
  std::int64_t float32 = 0;
  std::int64_t float64 = 0;

  void add(torch::Tensor const& tensor) {
    auto const type = tensor.scalar_type();
    if (type == torch::kFloat16 || type == torch::kBFloat16) float16 += tensor.numel();
    if (type == torch::kFloat32) float32 += tensor.numel();
    if (type == torch::kFloat64) float64 += tensor.numel();
  }
};

/// Namespace of the first operator that no loaded library registers, from libtorch's message.
std::string missing_namespace(std::string const& message) {
  constexpr std::string_view marker = "Unknown builtin op: ";
  auto const begin = message.find(marker);
  if (begin == std::string::npos) return {};
  auto const name = message.substr(begin + marker.size());
  return name.substr(0, name.find("::"));
}

torch::jit::Module load_archive(fs::path const& path, Extensions const& extensions,
                                torch::Device device) {
  try {
    return torch::jit::load(path.string(), device);
  } catch (std::exception const& exception) {
    // Models written before the metadata named operator libraries mean the package that is named
    // like the operators' namespace and lies beside libtorch.
    auto const missing = missing_namespace(exception.what());
    if (missing.empty())
      throw Error("cannot load model " + path.filename().string() + " (" + describe(exception) +
                  "), expected a TorchScript archive that this libtorch reads");
    try {
      load_extensions({{missing}, extensions.folders});
      return torch::jit::load(path.string(), device);
    } catch (std::exception const& second) {
      throw Error("model " + path.filename().string() + " needs operators of '" + missing + "' (" +
                  describe(second) +
                  "), expected their library in the model's metadata key 'extensions' or in "
                  "TORCHML_EXTENSIONS");
    }
  }
}

}  // namespace

TorchScriptModel::TorchScriptModel(fs::path const& path, Extensions const& extensions,
                                   torch::Device device)
    : name_(path.filename().string()), device_(device) {
  load_extensions(extensions);
  c10::InferenceMode const normal(false);  // whatever mode a caller in Python is in
  module_ = load_archive(path, extensions, device);
  if (!module_.find_method("forward"))
    throw Error("model " + name_ + " has no method forward, expected one");
  module_.eval();

  FloatCount parameters;
  FloatCount buffers;
  FloatCount constants;
  for (auto parameter : module_.parameters()) {
    parameter.set_requires_grad(false);  // or every backward would also differentiate the weights
    parameters.add(parameter);
  }
  for (auto const& buffer : module_.buffers()) buffers.add(buffer);

  auto const method = module_.get_method("forward");
  auto const graph = method.graph()->copy();
  torch::jit::Inline(*graph);
  visit_nodes(graph->block(), [&](torch::jit::Node const* node) {
    // What a call through an interface does cannot be seen here.
    if (node->kind() == c10::aten::backward || node->kind() == c10::Symbol::aten("grad") ||
        node->kind() == c10::prim::CallMethod)
      differentiates_ = true;
    if (node->kind() == c10::prim::Constant && node->hasAttribute(c10::attr::value) &&
        node->kindOf(c10::attr::value) == torch::jit::AttributeKind::t)
      constants.add(node->t(c10::attr::value));
  });
  for (auto const& floats : {parameters, buffers, constants}) {
    if (floats.float16 > 0 && floats.float32 + floats.float64 == 0)
      throw Error("model " + name_ + " holds 16-bit numbers, expected float32 or float64");
    holds_[0] = holds_[0] || floats.float32 > 0;
    holds_[1] = holds_[1] || floats.float64 > 0;
    if (!dtype_ && floats.float32 + floats.float64 > 0)
      dtype_ = floats.float32 > floats.float64 ? ScalarType::float32 : ScalarType::float64;
  }

  auto const& schema = method.function().getSchema();
  auto const& arguments = schema.arguments();
  for (auto argument = arguments.begin() + 1; argument != arguments.end(); ++argument) {
    bool const is_count = argument->name() == "node_counts" || argument->name() == "edge_counts";
    if (argument->default_value() && !is_count) break;  // the default is right
    arguments_.push_back(argument->name());
  }
  auto const& returns = schema.returns();
  auto const tuple = returns.size() == 1 ? returns.front().type()->cast<c10::TupleType>() : nullptr;
  returns_tuple_ = tuple != nullptr && tuple->elements().size() == 2;
}

c10::IValue TorchScriptModel::call(char const* method,
                                   std::vector<c10::IValue> const& inputs) const {
  try {
    GilRelease const no_gil;  // the method may call autograd
    torch::jit::GraphOptimizerEnabledGuard const no_profiling(false);
    return module_.get_method(method)(inputs);
  } catch (std::exception const& exception) {
    throw Error(std::string(method) + " of model " + name_ + " failed: " + describe(exception));
  }
}

bool TorchScriptModel::has_members() const {
  return module_.find_method(member_method).has_value();
}

std::vector<torch::Tensor> TorchScriptModel::member_energies(
    std::vector<c10::IValue> const& inputs) const {
  if (!has_members()) return Model::member_energies(inputs);
  auto const output = call(member_method, inputs);
  if (output.isTensorList()) return output.toTensorVector();
  throw Error(std::string(member_method) + " of model " + name_ + " returned " +
              output.type()->repr_str() + ", expected a list of tensors, one for each member");
}

ModelOutput TorchScriptModel::forward(std::vector<c10::IValue> const& inputs) const {
  auto const output = call("forward", inputs);
  if (output.isTensor()) return {output.toTensor(), {}};
  if (output.isTuple()) {
    auto const& elements = output.toTupleRef().elements();
    if (!elements.empty() && elements.size() <= 2 &&
        std::all_of(elements.begin(), elements.end(), [](auto const& e) { return e.isTensor(); }))
      return {elements[0].toTensor(),
              elements.size() == 2 ? elements[1].toTensor() : torch::Tensor{}};
  }
  throw Error("forward of model " + name_ + " returned " + output.type()->repr_str() +
              ", expected a tensor or two tensors (energy, forces)");
}

}  // namespace torchml
