#include "operators/messages_registration.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include "operators/convolution.hpp"
#include "operators/messages.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Optional = std::optional<torch::Tensor>;

constexpr Schema kMessages = {
    "torchml::messages",
    "messages(Tensor filters, Tensor? weight, Tensor features, Tensor? factors, Tensor edge_index, "
    "Tensor order, int[] terms, SymInt nodes) -> Tensor"};
constexpr Schema kMessagesBackward = {
    "torchml::messages_backward",
    "messages_backward(Tensor gradient, Tensor filters, Tensor? weight, Tensor features, Tensor? "
    "factors, Tensor edge_index, Tensor order, int[] terms, bool weight_too, bool features_too) -> "
    "(Tensor, Tensor, Tensor, Tensor)"};
constexpr Schema kMessagesDoubleBackward = {
    "torchml::messages_double_backward",
    "messages_double_backward(Tensor? change_of_filters, Tensor? change_of_weight, Tensor? "
    "change_of_features, Tensor? change_of_factors, Tensor gradient, Tensor filters, Tensor? "
    "weight, Tensor features, Tensor? factors, Tensor edge_index, Tensor order, int[] terms, bool "
    "weight_too, bool features_too) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"};

using MessagesSignature = torch::Tensor(torch::Tensor const&, Optional const&, torch::Tensor const&,
                                        Optional const&, torch::Tensor const&, torch::Tensor const&,
                                        at::IntArrayRef, c10::SymInt);
using MessagesBackwardSignature = MessageDerivatives(torch::Tensor const&, torch::Tensor const&,
                                                     Optional const&, torch::Tensor const&,
                                                     Optional const&, torch::Tensor const&,
                                                     torch::Tensor const&, at::IntArrayRef, bool,
                                                     bool);
using MessagesDoubleBackwardSignature = MessageTangents(
    Optional const&, Optional const&, Optional const&, Optional const&, torch::Tensor const&,
    torch::Tensor const&, Optional const&, torch::Tensor const&, Optional const&,
    torch::Tensor const&, torch::Tensor const&, at::IntArrayRef, bool, bool);

// --- on the CPU, and by torch's own operators elsewhere

torch::Tensor messages_cpu(torch::Tensor const& filters, Optional const& weight,
                           torch::Tensor const& features, Optional const& factors,
                           torch::Tensor const& edge_index, torch::Tensor const& order,
                           at::IntArrayRef terms, std::int64_t nodes) {
  return messages({filters, weight, features, factors, edge_index, order, terms.vec()}, nodes);
}

MessageDerivatives messages_backward_cpu(torch::Tensor const& gradient,
                                         torch::Tensor const& filters, Optional const& weight,
                                         torch::Tensor const& features, Optional const& factors,
                                         torch::Tensor const& edge_index,
                                         torch::Tensor const& order, at::IntArrayRef terms,
                                         bool weight_too, bool features_too) {
  return messages_backward(gradient,
                           {filters, weight, features, factors, edge_index, order, terms.vec()},
                           {weight_too, features_too});
}

MessageTangents messages_double_backward_cpu(
    Optional const& change_of_filters, Optional const& change_of_weight,
    Optional const& change_of_features, Optional const& change_of_factors,
    torch::Tensor const& gradient, torch::Tensor const& filters, Optional const& weight,
    torch::Tensor const& features, Optional const& factors, torch::Tensor const& edge_index,
    torch::Tensor const& order, at::IntArrayRef terms, bool weight_too, bool features_too) {
  return messages_double_backward(
      gradient, {filters, weight, features, factors, edge_index, order, terms.vec()},
      {change_of_filters, change_of_weight, change_of_features, change_of_factors},
      {weight_too, features_too});
}

torch::Tensor messages_elsewhere(torch::Tensor const& filters, Optional const& weight,
                                 torch::Tensor const& features, Optional const& factors,
                                 torch::Tensor const& edge_index, torch::Tensor const& order,
                                 at::IntArrayRef terms, std::int64_t nodes) {
  return composite_messages({filters, weight, features, factors, edge_index, order, terms.vec()},
                            nodes);
}

// --- shapes alone, for tracing

torch::Tensor messages_shape(torch::Tensor const& filters, Optional const& weight,
                             torch::Tensor const& /*features*/, Optional const& /*factors*/,
                             torch::Tensor const& /*edge_index*/, torch::Tensor const& /*order*/,
                             at::IntArrayRef terms, c10::SymInt nodes) {
  Shape const shape(terms.vec());
  auto const columns = weight ? weight->sym_size(0) : filters.sym_size(1);
  return filters.new_empty_symint({std::move(nodes), columns / shape.parts * shape.rows_out});
}

MessageDerivatives messages_backward_shape(torch::Tensor const& /*gradient*/,
                                           torch::Tensor const& filters, Optional const& weight,
                                           torch::Tensor const& features, Optional const& factors,
                                           torch::Tensor const& /*edge_index*/,
                                           torch::Tensor const& /*order*/, at::IntArrayRef terms,
                                           bool weight_too, bool features_too) {
  auto const like = [&filters](bool requested, Optional const& array) {
    return requested && array ? array->new_empty_symint(array->sym_sizes())
                              : filters.new_empty({0});
  };
  return {like(true, filters), like(weight_too, weight), like(features_too, features),
          like(Shape(terms.vec()).factors > 0, factors)};
}

MessageTangents messages_double_backward_shape(
    Optional const& /*filters*/, Optional const& /*weight*/, Optional const& /*features*/,
    Optional const& /*factors*/, torch::Tensor const& gradient, torch::Tensor const& filters,
    Optional const& weight, torch::Tensor const& features, Optional const& factors,
    torch::Tensor const& edge_index, torch::Tensor const& order, at::IntArrayRef terms,
    bool weight_too, bool features_too) {
  auto [to_filters, to_weight, to_features, to_factors] =
      messages_backward_shape(gradient, filters, weight, features, factors, edge_index, order,
                              terms, weight_too, features_too);
  return {gradient.new_empty_symint(gradient.sym_sizes()), to_filters, to_weight, to_features,
          to_factors};
}

// --- derivatives

Optional optional(torch::Tensor const& tensor) {
  return tensor.defined() ? Optional(tensor) : std::nullopt;
}

/// A derivative by `input`, undefined where it was not computed.
torch::Tensor if_any(torch::Tensor const& derivative, torch::Tensor const& input) {
  bool const there = input.defined() && derivative.dim() == input.dim();  // else one of [0]
  return there ? derivative : torch::Tensor();
}

/// Whether the derivatives by weight and features are requested, whose places among the tensors
/// follow that of the filters.
MessageNeeds needs_of(AutogradContext const& context, bool has_weight, std::size_t filters) {
  auto const features = filters + (has_weight ? 2 : 1);
  return {has_weight && context.needs_input_grad(filters + 1), context.needs_input_grad(features)};
}

struct MessagesFunction : Function<MessagesFunction> {
  static torch::Tensor forward(AutogradContext* context, torch::Tensor const& filters,
                               Optional const& weight, torch::Tensor const& features,
                               Optional const& factors, torch::Tensor const& edge_index,
                               torch::Tensor const& order, at::IntArrayRef terms,
                               c10::SymInt nodes) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->save_for_backward({filters, weight.value_or(torch::Tensor()), features,
                                factors.value_or(torch::Tensor()), edge_index, order});
    context->saved_data["terms"] = terms.vec();
    return handle<MessagesSignature>(kMessages).call(filters, weight, features, factors, edge_index,
                                                     order, terms, std::move(nodes));
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const needs = needs_of(*context, saved[1].defined(), 0);
    auto const [to_filters, to_weight, to_features, to_factors] =
        handle<MessagesBackwardSignature>(kMessagesBackward)
            .call(gradients[0], saved[0], optional(saved[1]), saved[2], optional(saved[3]),
                  saved[4], saved[5], context->saved_data["terms"].toIntVector(), needs.weight,
                  needs.features);
    return {to_filters,
            if_any(to_weight, saved[1]),
            if_any(to_features, saved[2]),
            if_any(to_factors, saved[3]),
            {},
            {},
            {},
            {}};
  }
};

struct MessagesBackwardFunction : Function<MessagesBackwardFunction> {
  static variable_list forward(AutogradContext* context, torch::Tensor const& gradient,
                               torch::Tensor const& filters, Optional const& weight,
                               torch::Tensor const& features, Optional const& factors,
                               torch::Tensor const& edge_index, torch::Tensor const& order,
                               at::IntArrayRef terms, bool weight_too, bool features_too) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->set_materialize_grads(false);  // one that is absent is undefined, not zeros
    context->save_for_backward({gradient, filters, weight.value_or(torch::Tensor()), features,
                                factors.value_or(torch::Tensor()), edge_index, order});
    context->saved_data["terms"] = terms.vec();
    auto const [to_filters, to_weight, to_features, to_factors] =
        handle<MessagesBackwardSignature>(kMessagesBackward)
            .call(gradient, filters, weight, features, factors, edge_index, order, terms,
                  weight_too, features_too);
    return {to_filters, to_weight, to_features, to_factors};
  }
  static variable_list backward(AutogradContext* context, variable_list const& changes) {
    auto const saved = context->get_saved_variables();
    auto const needs = needs_of(*context, saved[2].defined(), 1);
    auto const [to_gradient, to_filters, to_weight, to_features, to_factors] =
        handle<MessagesDoubleBackwardSignature>(kMessagesDoubleBackward)
            .call(optional(changes[0]), optional(changes[1]), optional(changes[2]),
                  optional(changes[3]), saved[0], saved[1], optional(saved[2]), saved[3],
                  optional(saved[4]), saved[5], saved[6],
                  context->saved_data["terms"].toIntVector(), needs.weight, needs.features);
    return {to_gradient,
            to_filters,
            if_any(to_weight, saved[2]),
            if_any(to_features, saved[3]),
            if_any(to_factors, saved[4]),
            {},
            {},
            {},
            {},
            {}};
  }
};

/// Third derivatives do not exist; an attempt raises an error.
struct MessagesDoubleBackwardFunction : Function<MessagesDoubleBackwardFunction> {
  static variable_list forward(AutogradContext*, Optional const& change_of_filters,
                               Optional const& change_of_weight, Optional const& change_of_features,
                               Optional const& change_of_factors, torch::Tensor const& gradient,
                               torch::Tensor const& filters, Optional const& weight,
                               torch::Tensor const& features, Optional const& factors,
                               torch::Tensor const& edge_index, torch::Tensor const& order,
                               at::IntArrayRef terms, bool weight_too, bool features_too) {
    at::AutoDispatchBelowADInplaceOrView const below;
    auto const [to_gradient, to_filters, to_weight, to_features, to_factors] =
        handle<MessagesDoubleBackwardSignature>(kMessagesDoubleBackward)
            .call(change_of_filters, change_of_weight, change_of_features, change_of_factors,
                  gradient, filters, weight, features, factors, edge_index, order, terms,
                  weight_too, features_too);
    return {to_gradient, to_filters, to_weight, to_features, to_factors};
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    throw Error("torchml::messages: third derivatives do not exist, expected two at most");
  }
};

torch::Tensor messages_autograd(torch::Tensor const& filters, Optional const& weight,
                                torch::Tensor const& features, Optional const& factors,
                                torch::Tensor const& edge_index, torch::Tensor const& order,
                                at::IntArrayRef terms, c10::SymInt nodes) {
  return MessagesFunction::apply(filters, weight, features, factors, edge_index, order, terms,
                                 std::move(nodes));
}

MessageDerivatives messages_backward_autograd(
    torch::Tensor const& gradient, torch::Tensor const& filters, Optional const& weight,
    torch::Tensor const& features, Optional const& factors, torch::Tensor const& edge_index,
    torch::Tensor const& order, at::IntArrayRef terms, bool weight_too, bool features_too) {
  auto const results =
      MessagesBackwardFunction::apply(gradient, filters, weight, features, factors, edge_index,
                                      order, terms, weight_too, features_too);
  return {results[0], results[1], results[2], results[3]};
}

MessageTangents messages_double_backward_autograd(
    Optional const& change_of_filters, Optional const& change_of_weight,
    Optional const& change_of_features, Optional const& change_of_factors,
    torch::Tensor const& gradient, torch::Tensor const& filters, Optional const& weight,
    torch::Tensor const& features, Optional const& factors, torch::Tensor const& edge_index,
    torch::Tensor const& order, at::IntArrayRef terms, bool weight_too, bool features_too) {
  auto const results = MessagesDoubleBackwardFunction::apply(
      change_of_filters, change_of_weight, change_of_features, change_of_factors, gradient, filters,
      weight, features, factors, edge_index, order, terms, weight_too, features_too);
  return {results[0], results[1], results[2], results[3], results[4]};
}

}  // namespace

std::vector<Schema> const& messages_schemas() {
  static std::vector<Schema> const schemas = {kMessages, kMessagesBackward,
                                              kMessagesDoubleBackward};
  return schemas;
}

void implement_messages(Libraries const& libraries) {
  libraries.cpu.impl("messages", messages_cpu);
  libraries.cpu.impl("messages_backward", messages_backward_cpu);
  libraries.cpu.impl("messages_double_backward", messages_double_backward_cpu);
  libraries.cuda.impl("messages", messages_elsewhere);
  libraries.meta.impl("messages", messages_shape);
  libraries.meta.impl("messages_backward", messages_backward_shape);
  libraries.meta.impl("messages_double_backward", messages_double_backward_shape);
  libraries.autograd.impl("messages", messages_autograd);
  libraries.autograd.impl("messages_backward", messages_backward_autograd);
  libraries.autograd.impl("messages_double_backward", messages_double_backward_autograd);
}

}  // namespace torchml::operators
