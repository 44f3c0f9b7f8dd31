#include "operators/convolution.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "operators/edge_order.hpp"
#include "operators/spline.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

[[noreturn]] void refuse(std::string const& what) {
  throw Error("torchml::convolution: " + what);
}

void check(ConvolutionInputs const& inputs, Shape const& shape) {
  check_spline("convolution", inputs.r, inputs.table, inputs.cutoff);
  auto const type = inputs.table.scalar_type();
  if (inputs.table.size(1) % shape.parts != 0)
    refuse("the table has " + std::to_string(inputs.table.size(1)) +
           " functions, expected a multiple of the " + std::to_string(shape.parts) + " parts");
  auto const width = inputs.table.size(1) / shape.parts;
  auto const& features = inputs.features;
  if (features.dim() != 2 || features.size(1) != shape.rows_in * width ||
      features.scalar_type() != type)
    refuse("the features do not fit, expected [nodes, " + std::to_string(shape.rows_in * width) +
           "] of the table's type");
  if (shape.factors == 0) return;
  auto const& factors = inputs.factors;
  if (!factors || factors->dim() != 2 || factors->size(0) != inputs.r.size(0) ||
      factors->size(1) < shape.factors || factors->scalar_type() != type)
    refuse("the factors do not fit, expected [E, " + std::to_string(shape.factors) +
           "] of the table's type");
}

/// Contiguous inputs, which the kernel's view of them keeps alive.
template <class Real>
class Prepared {
 public:
  Prepared(ConvolutionInputs const& inputs, Shape const& shape, std::int64_t targets)
      : r_(inputs.r.contiguous()),
        features_(inputs.features.contiguous()),
        table_(inputs.table.contiguous()) {
    if (shape.factors > 0) factors_ = inputs.factors->contiguous();
    convolution = {spline_of<Real>(table_, inputs.cutoff),
                   r_.template const_data_ptr<double>(),
                   r_.size(0),
                   features_.template const_data_ptr<Real>(),
                   features_.size(0),
                   factors_.defined() ? factors_.template const_data_ptr<Real>() : nullptr,
                   factors_.defined() ? factors_.size(1) : 0,
                   shape.terms.data(),
                   static_cast<std::int64_t>(shape.terms.size()),
                   shape.rows_in,
                   shape.rows_out,
                   table_.size(1) / shape.parts,
                   targets};
  }

  Convolution<Real> convolution{};

 private:
  torch::Tensor r_;
  torch::Tensor features_;
  torch::Tensor table_;
  torch::Tensor factors_;
};

/// Nodes of one share of the work of a thread.
std::int64_t grain(std::int64_t nodes, std::int64_t edges) {
  return std::max<std::int64_t>(1, nodes * kGrain / (edges + 1));
}

EdgeOrder order_of(ConvolutionInputs const& inputs) {
  EdgeOrder const order(inputs.order);
  if (inputs.r.size(0) > order.edges)
    refuse("there are " + std::to_string(inputs.r.size(0)) + " distances, expected at most " +
           std::to_string(order.edges) + ", the edges of the order");
  return order;
}

}  // namespace

torch::Tensor convolution(ConvolutionInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms, "convolution");
  check(inputs, shape);
  auto const order = order_of(inputs);
  if (nodes < 0 || nodes > order.nodes)
    refuse("sums of " + std::to_string(nodes) + " nodes are asked for, expected at most " +
           std::to_string(order.nodes));
  auto const width = inputs.table.size(1) / shape.parts;
  auto sums = torch::empty({nodes, shape.rows_out * width}, inputs.features.options());
  AT_DISPATCH_FLOATING_TYPES(sums.scalar_type(), "torchml::convolution", [&] {
    Prepared<scalar_t> const prepared(inputs, shape, nodes);
    auto const& all = prepared.convolution;
    auto* const result = sums.mutable_data_ptr<scalar_t>();
    std::atomic<bool> right = true;
    at::parallel_for(0, nodes, grain(nodes, all.edges), [&](std::int64_t begin, std::int64_t end) {
      std::vector<scalar_t> scratch(all.spline.width);
      if (!spline_kernel<scalar_t>().sums(all, order.by_target, begin, end, scratch.data(), result))
        right = false;
    });
    if (!right)
      refuse("an edge comes from a node beyond the " + std::to_string(all.sources) +
             " whose features are there, expected sources among them");
  });
  return sums;
}

ConvolutionDerivatives convolution_backward(torch::Tensor const& gradient,
                                            ConvolutionInputs const& inputs, bool features_too) {
  Shape const shape(inputs.terms, "convolution");
  check(inputs, shape);
  auto const order = order_of(inputs);
  auto const width = inputs.table.size(1) / shape.parts;
  if (gradient.dim() != 2 || gradient.size(1) != shape.rows_out * width ||
      gradient.scalar_type() != inputs.features.scalar_type())
    refuse("the gradient does not have the shape of the sums");
  auto const sources = inputs.features.size(0);
  if (sources > order.nodes)
    refuse("there are features of " + std::to_string(sources) + " nodes, expected at most " +
           std::to_string(order.nodes));
  auto const cotangent = gradient.contiguous();
  auto const options = inputs.features.options();
  auto to_r = torch::empty({inputs.r.size(0)}, inputs.r.options());
  auto to_features = features_too ? torch::empty({sources, shape.rows_in * width}, options)
                                  : torch::empty({0}, options);
  auto to_factors = shape.factors > 0 ? torch::empty(inputs.factors->sizes(), options)
                                      : torch::empty({0}, options);
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "torchml::convolution_backward", [&] {
    Prepared<scalar_t> const prepared(inputs, shape, gradient.size(0));
    auto const& all = prepared.convolution;
    auto const* const rows = cotangent.const_data_ptr<scalar_t>();
    ConvolutionGradients<scalar_t> const results = {
        to_r.mutable_data_ptr<double>(),
        features_too ? to_features.mutable_data_ptr<scalar_t>() : nullptr,
        shape.factors > 0 ? to_factors.mutable_data_ptr<scalar_t>() : nullptr};
    at::parallel_for(0, sources, grain(sources, all.edges),
                     [&](std::int64_t begin, std::int64_t end) {
                       std::vector<scalar_t> scratch(2 * all.spline.width);
                       spline_kernel<scalar_t>().gradients(all, order.by_source, rows, begin, end,
                                                           scratch.data(), results);
                     });
  });
  return {to_r, to_features, to_factors};
}

torch::Tensor composite_convolution(ConvolutionInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms, "convolution");
  check(inputs, shape);
  auto const width = inputs.table.size(1) / shape.parts;
  auto const edges = inputs.r.size(0);
  auto const filters = composite_spline(inputs.r, inputs.table, inputs.cutoff, false)
                           .values.view({edges, shape.parts, width});
  auto const source = inputs.edge_index.select(0, 0);
  auto const target = inputs.edge_index.select(0, 1);
  auto const features = inputs.features.view({-1, shape.rows_in, width});
  auto sums = torch::zeros({nodes, shape.rows_out, width}, features.options());
  for (auto const& term : shape.terms) {
    auto message =
        features.select(1, term.in).index_select(0, source) * filters.select(1, term.part);
    if (term.factor >= 0) message = message * inputs.factors->select(1, term.factor).unsqueeze(1);
    sums.select(1, term.out).index_add_(0, target, message);
  }
  return sums.flatten(1);
}

ConvolutionDerivatives composite_convolution_backward(torch::Tensor const& gradient,
                                                      ConvolutionInputs const& inputs,
                                                      bool features_too) {
  Shape const shape(inputs.terms, "convolution");
  check(inputs, shape);
  auto const width = inputs.table.size(1) / shape.parts;
  auto const edges = inputs.r.size(0);
  auto const [filters, slopes] = composite_spline(inputs.r, inputs.table, inputs.cutoff, true);
  auto const w = filters.view({edges, shape.parts, width});
  auto const s = slopes.view({edges, shape.parts, width});
  auto const source = inputs.edge_index.select(0, 0);
  auto const target = inputs.edge_index.select(0, 1);
  auto const features = inputs.features.view({-1, shape.rows_in, width});
  auto const cotangent = gradient.reshape({-1, shape.rows_out, width});
  auto const options = inputs.features.options();
  auto to_r = torch::zeros({edges}, inputs.r.options());
  auto to_features = features_too ? torch::zeros_like(features) : torch::empty({0}, options);
  auto to_factors = shape.factors > 0 ? torch::zeros(inputs.factors->sizes(), options)
                                      : torch::empty({0}, options);
  for (auto const& term : shape.terms) {
    auto const x = features.select(1, term.in).index_select(0, source);
    auto g = cotangent.select(1, term.out).index_select(0, target);
    if (term.factor >= 0) {
      auto const value = (x * g * w.select(1, term.part)).sum(1);
      to_factors.select(1, term.factor).add_(value);
      g = g * inputs.factors->select(1, term.factor).unsqueeze(1);
    }
    to_r.add_((x * g * s.select(1, term.part)).sum(1));
    if (features_too)
      to_features.select(1, term.in).index_add_(0, source, g * w.select(1, term.part));
  }
  if (features_too) to_features = to_features.flatten(1);
  return {to_r, to_features, to_factors};
}

}  // namespace torchml::operators
