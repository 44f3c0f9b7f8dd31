#include "operators/messages.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "operators/convolution.hpp"
#include "operators/edge_order.hpp"
#include "operators/message_kernel.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

[[noreturn]] void refuse_messages(std::string const& what) {
  throw Error("torchml::messages: " + what);
}

void check_columns(char const* name, torch::Tensor const& array, char const* rows,
                   std::int64_t columns, torch::ScalarType type) {
  if (array.dim() != 2 || array.size(1) != columns || array.scalar_type() != type)
    refuse_messages(std::string("the ") + name + " do not fit, expected [" + rows + ", " +
                    std::to_string(columns) + "] of the filters' type");
}

/// Checks the inputs; returns F.
std::int64_t check(MessageInputs const& inputs, Shape const& shape) {
  auto const& filters = inputs.filters;
  if (filters.dim() != 2 || !filters.is_floating_point())
    refuse_messages(
        "the filters are no float matrix, expected [E, parts * F], or [E, K] with a "
        "weight [parts * F, K]");
  auto columns = filters.size(1);
  if (inputs.weight) {
    if (inputs.weight->dim() == 2) columns = inputs.weight->size(0);
    check_columns("weight", *inputs.weight, "parts * F", filters.size(1), filters.scalar_type());
  }
  if (columns == 0 || columns % shape.parts != 0)
    refuse_messages("there are " + std::to_string(columns) +
                    " filters, expected a multiple of the " + std::to_string(shape.parts) +
                    " parts");
  auto const width = columns / shape.parts;
  check_columns("features", inputs.features, "nodes", shape.rows_in * width, filters.scalar_type());
  if (inputs.edge_index.dim() != 2 || inputs.edge_index.size(0) != 2 ||
      inputs.edge_index.size(1) < filters.size(0))
    refuse_messages("there are filters of " + std::to_string(filters.size(0)) +
                    " edges, expected an edge_index [2, E] of at least these");
  if (shape.factors == 0) return width;
  if (!inputs.factors || inputs.factors->dim() != 2 || inputs.factors->size(1) < shape.factors ||
      inputs.factors->size(0) != filters.size(0) ||
      inputs.factors->scalar_type() != filters.scalar_type())
    refuse_messages("the factors do not fit, expected [E, " + std::to_string(shape.factors) +
                    "] of the filters' type");
  return width;
}

MessageShape shape_of(MessageInputs const& inputs, Shape const& shape, std::int64_t width,
                      std::int64_t targets) {
  auto const count = inputs.weight ? inputs.filters.size(1) : 0;
  return {shape.terms.data(),
          static_cast<std::int64_t>(shape.terms.size()),
          shape.rows_in,
          shape.rows_out,
          shape.parts,
          inputs.factors ? inputs.factors->size(1) : 0,
          width,
          count,
          (count + kMessageLanes - 1) / kMessageLanes * kMessageLanes,
          inputs.filters.size(0),
          inputs.features.size(0),
          targets};
}

/// Contiguous arrays; one that is absent is a row of zeros.
template <class Real>
class MessageRows {
 public:
  MessageRows(std::optional<torch::Tensor> const& array, std::int64_t columns,
              torch::TensorOptions const& options)
      : array_(array ? array->contiguous() : torch::zeros({columns}, options)),
        stride_(array ? array_.size(1) : 0) {}

  [[nodiscard]] Rows<Real> rows() const {
    return {array_.template const_data_ptr<Real>(), stride_};
  }

 private:
  torch::Tensor array_;
  std::int64_t stride_;
};

/// The kernel's view of inputs or of their changes, which it keeps alive.
template <class Real>
class Arrays {
 public:
  Arrays(MessageInputs const& inputs, MessageShape const& shape, MessageChanges const& arrays)
      : filters_(arrays.filters, inputs.filters.size(1), inputs.filters.options()),
        features_(arrays.features, inputs.features.size(1), inputs.filters.options()),
        factors_(arrays.factors, shape.factors, inputs.filters.options()) {
    if (!arrays.weight) return;
    weight_ = arrays.weight->t().contiguous();
    transposed_ = torch::constant_pad_nd(*arrays.weight, {0, shape.padded_inputs - shape.inputs})
                      .contiguous();
  }

  [[nodiscard]] MessageArrays<Real> view() const {
    auto const pointer = [](torch::Tensor const& array) {
      return array.defined() ? array.template const_data_ptr<Real>() : nullptr;
    };
    return {filters_.rows(), factors_.rows(), features_.rows(), pointer(weight_),
            pointer(transposed_)};
  }

 private:
  MessageRows<Real> filters_;
  MessageRows<Real> features_;
  MessageRows<Real> factors_;
  torch::Tensor weight_;
  torch::Tensor transposed_;
};

MessageChanges itself(MessageInputs const& inputs) {
  return {inputs.filters, inputs.weight, inputs.features, inputs.factors};
}

EdgeOrder order_of(MessageInputs const& inputs, std::int64_t nodes) {
  EdgeOrder const order(inputs.order);
  if (inputs.filters.size(0) > order.edges)
    refuse_messages("there are filters of " + std::to_string(inputs.filters.size(0)) +
                    " edges, expected at most the " + std::to_string(order.edges) +
                    " of the order");
  if (nodes < 0 || std::max(nodes, inputs.features.size(0)) > order.nodes)
    refuse_messages("there are features of " + std::to_string(inputs.features.size(0)) +
                    " nodes and sums of " + std::to_string(nodes) + ", expected at most the " +
                    std::to_string(order.nodes) + " of the order");
  return order;
}

/// Work that justifies one more thread, in products of numbers.
constexpr std::int64_t kMessageWork = 1 << 16;

/// Shares of the work, of `count`, that one thread takes at least.
std::int64_t least_shares(std::int64_t count, MessageShape const& shape) {
  auto const per_edge = (shape.term_count + shape.inputs * shape.parts) * shape.width;
  return std::max<std::int64_t>(1, count * kMessageWork / ((shape.edges + 1) * per_edge));
}

/// Nodes in pieces whose number does not depend on that of threads, so that sums over pieces are
/// the same for any.
struct Pieces {
  explicit Pieces(std::int64_t nodes_)
      : nodes(nodes_), count(std::clamp<std::int64_t>(nodes / 16, 1, 32)) {}

  [[nodiscard]] std::int64_t begin(std::int64_t piece) const { return piece * nodes / count; }

  std::int64_t nodes;
  std::int64_t count;
};

/// Where derivatives are written: one for each input, without elements where it is not requested.
struct MessageResults {
  MessageResults(MessageInputs const& inputs, MessageShape const& shape, MessageNeeds needs,
                 bool has_factors)
      : filters(torch::empty(inputs.filters.sizes(), inputs.filters.options())),
        features(needs.features ? torch::empty(inputs.features.sizes(), inputs.filters.options())
                                : torch::empty({0}, inputs.filters.options())),
        factors(has_factors ? torch::empty(inputs.factors->sizes(), inputs.filters.options())
                            : torch::empty({0}, inputs.filters.options())),
        weights(inputs.weight && needs.weight
                    ? torch::zeros({Pieces(shape.sources).count, shape.inputs, shape.columns()},
                                   inputs.filters.options())
                    : torch::empty({0}, inputs.filters.options())) {}

  template <class Real>
  [[nodiscard]] MessageGradients<Real> view(std::int64_t piece) const {
    auto const pointer = [](torch::Tensor const& array) {
      return array.numel() > 0 ? array.mutable_data_ptr<Real>() : nullptr;
    };
    auto* const own = pointer(weights);
    return {pointer(filters), pointer(factors), pointer(features),
            own == nullptr ? nullptr : own + piece * weights.size(1) * weights.size(2)};
  }

  /// The sum over pieces, in their order.
  [[nodiscard]] torch::Tensor weight() const {
    if (weights.numel() == 0) return weights;
    auto total = weights.select(0, 0);
    for (std::int64_t piece = 1; piece < weights.size(0); ++piece)
      total.add_(weights.select(0, piece));
    return total.t().contiguous();
  }

  torch::Tensor filters;
  torch::Tensor features;
  torch::Tensor factors;
  torch::Tensor weights;  ///< [pieces, K, parts * F]
};

void check_message_gradient(torch::Tensor const& gradient, MessageInputs const& inputs,
                            std::int64_t columns) {
  check_columns("gradients", gradient, "nodes", columns, inputs.filters.scalar_type());
}

}  // namespace

torch::Tensor messages(MessageInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms);
  auto const width = check(inputs, shape);
  auto const order = order_of(inputs, nodes);
  auto const all = shape_of(inputs, shape, width, nodes);
  auto sums = torch::empty({nodes, shape.rows_out * width}, inputs.filters.options());
  AT_DISPATCH_FLOATING_TYPES(sums.scalar_type(), "torchml::messages", [&] {
    Arrays<scalar_t> const arrays(inputs, all, itself(inputs));
    auto const view = arrays.view();
    auto* const result = sums.mutable_data_ptr<scalar_t>();
    std::atomic<bool> right = true;
    at::parallel_for(0, nodes, least_shares(nodes, all), [&](std::int64_t begin, std::int64_t end) {
      std::vector<scalar_t> scratch(message_scratch(all));
      if (!message_kernel<scalar_t>().sums(all, view, order.by_target, begin, end, scratch.data(),
                                           result))
        right = false;
    });
    if (!right)
      refuse_messages("an edge comes from a node beyond the " + std::to_string(all.sources) +
                      " whose features are there, expected sources among them");
  });
  return sums;
}

MessageDerivatives messages_backward(torch::Tensor const& gradient, MessageInputs const& inputs,
                                     MessageNeeds needs) {
  Shape const shape(inputs.terms);
  auto const width = check(inputs, shape);
  check_message_gradient(gradient, inputs, shape.rows_out * width);
  auto const order = order_of(inputs, gradient.size(0));
  auto const all = shape_of(inputs, shape, width, gradient.size(0));
  auto const cotangent = gradient.contiguous();
  MessageResults const results(inputs, all, needs, shape.factors > 0);
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "torchml::messages_backward", [&] {
    Arrays<scalar_t> const arrays(inputs, all, itself(inputs));
    auto const view = arrays.view();
    auto const* const rows = cotangent.const_data_ptr<scalar_t>();
    Pieces const pieces(all.sources);
    at::parallel_for(0, pieces.count, least_shares(pieces.count, all),
                     [&](std::int64_t first, std::int64_t last) {
                       std::vector<scalar_t> scratch(message_scratch(all));
                       for (auto piece = first; piece < last; ++piece)
                         message_kernel<scalar_t>().gradients(
                             all, view, order.by_source, rows, pieces.begin(piece),
                             pieces.begin(piece + 1), scratch.data(),
                             results.view<scalar_t>(piece));
                     });
  });
  return {results.filters, results.weight(), results.features, results.factors};
}

MessageTangents messages_double_backward(torch::Tensor const& gradient, MessageInputs const& inputs,
                                         MessageChanges const& changes, MessageNeeds needs) {
  Shape const shape(inputs.terms);
  auto const width = check(inputs, shape);
  check_message_gradient(gradient, inputs, shape.rows_out * width);
  auto const targets = gradient.size(0);
  auto const order = order_of(inputs, targets);
  auto const all = shape_of(inputs, shape, width, targets);
  auto const cotangent = gradient.contiguous();
  auto sums = torch::empty_like(cotangent);
  MessageResults const results(inputs, all, needs, shape.factors > 0);
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "torchml::messages_double_backward", [&] {
    Arrays<scalar_t> const arrays(inputs, all, itself(inputs));
    Arrays<scalar_t> const directions(inputs, all, changes);
    auto const view = arrays.view(), change = directions.view();
    auto const& kernel = message_kernel<scalar_t>();
    auto* const result = sums.mutable_data_ptr<scalar_t>();
    auto const* const rows = cotangent.const_data_ptr<scalar_t>();
    at::parallel_for(0, targets, least_shares(targets, all),
                     [&](std::int64_t begin, std::int64_t end) {
                       std::vector<scalar_t> scratch(message_scratch(all));
                       kernel.sum_tangents(all, view, change, order.by_target, begin, end,
                                           scratch.data(), result);
                     });
    Pieces const pieces(all.sources);
    at::parallel_for(0, pieces.count, least_shares(pieces.count, all),
                     [&](std::int64_t first, std::int64_t last) {
                       std::vector<scalar_t> scratch(message_scratch(all));
                       for (auto piece = first; piece < last; ++piece)
                         kernel.gradient_tangents(all, view, change, order.by_source, rows,
                                                  pieces.begin(piece), pieces.begin(piece + 1),
                                                  scratch.data(), results.view<scalar_t>(piece));
                     });
  });
  return {sums, results.filters, results.weight(), results.features, results.factors};
}

torch::Tensor composite_messages(MessageInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms);
  auto const width = check(inputs, shape);
  auto const edges = inputs.filters.size(0);
  auto const rows_of_filters =
      inputs.weight ? inputs.filters.matmul(inputs.weight->t()) : inputs.filters;
  auto const filters = rows_of_filters.reshape({edges, shape.parts, width});
  auto const ends = inputs.edge_index.narrow(1, 0, edges);
  auto const features =
      inputs.features.reshape({-1, shape.rows_in, width}).index_select(0, ends.select(0, 0));
  std::vector<torch::Tensor> rows(shape.rows_out);
  for (auto const& term : shape.terms) {
    auto message = features.select(1, term.in) * filters.select(1, term.part);
    if (term.factor >= 0) message = message * inputs.factors->select(1, term.factor).unsqueeze(1);
    auto& row = rows[term.out];
    row = row.defined() ? row + message : message;
  }
  for (auto& row : rows)
    if (!row.defined()) row = torch::zeros({edges, width}, filters.options());
  auto const zeros = torch::zeros({nodes, shape.rows_out * width}, filters.options());
  return zeros.index_add(0, ends.select(0, 1), torch::cat(rows, 1));
}

}  // namespace torchml::operators
