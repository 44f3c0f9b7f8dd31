#include "operators/convolution.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

#include "operators/convolution_kernel.hpp"
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
                   shape.groups.data(),
                   static_cast<std::int64_t>(shape.groups.size()),
                   shape.grouped.data(),
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

/// Derivatives tile by tile: those by the features have no part in common, what a tile adds to the
/// others is summed in their order. One thread needs no tensors for that, and gets the same bits.
template <class Real>
void add_tiles(Convolution<Real> const& all, EdgeList const& by_target, Real const* gradient,
               torch::Tensor& to_r, torch::Tensor& to_factors, Real* to_features) {
  auto const& kernel = convolution_kernel<Real>();
  auto const tiles = kernel.tiles(all.width);
  bool const together = at::get_num_threads() == 1 || at::in_parallel_region();
  std::vector<torch::Tensor> of_r, of_factors;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    bool const own = tile > 0 && !together;
    of_r.push_back(own ? torch::zeros_like(to_r) : to_r.zero_());
    of_factors.push_back(own ? torch::zeros_like(to_factors) : to_factors.zero_());
  }
  at::parallel_for(0, tiles, together ? tiles : 1, [&](std::int64_t begin, std::int64_t end) {
    auto const scratch = torch::empty({kernel.scratch(all)}, to_factors.options());
    for (auto tile = begin; tile < end; ++tile)
      kernel.gradients(
          all, by_target, gradient, tile, scratch.template mutable_data_ptr<Real>(),
          {of_r[tile].template mutable_data_ptr<double>(), to_features,
           all.factor_count > 0 ? of_factors[tile].template mutable_data_ptr<Real>() : nullptr});
  });
  if (together) return;
  for (std::int64_t tile = 1; tile < tiles; ++tile) {
    to_r.add_(of_r[tile]);
    to_factors.add_(of_factors[tile]);
  }
}

}  // namespace

Shape::Shape(std::vector<std::int64_t> const& numbers) {
  if (numbers.empty() || numbers.size() % 4 != 0)
    refuse("there are " + std::to_string(numbers.size()) +
           " numbers of terms, expected four for each");
  for (std::size_t k = 0; k < numbers.size(); k += 4) {
    Term const term{numbers[k], numbers[k + 1], numbers[k + 2], numbers[k + 3]};
    if (std::min({term.out, term.in, term.part}) < 0 || term.factor < -1)
      refuse("a term has a negative row or part, expected numbers from 0");
    rows_out = std::max(rows_out, term.out + 1);
    rows_in = std::max(rows_in, term.in + 1);
    parts = std::max(parts, term.part + 1);
    factors = std::max(factors, term.factor + 1);
    terms.push_back(term);
  }
  auto sorted = terms;
  std::ranges::stable_sort(sorted, {},
                           [](Term const& term) { return std::pair(term.part, term.in); });
  for (auto const& term : sorted) {
    auto const place = static_cast<std::int32_t>(grouped.size());
    if (groups.empty() || groups.back().part != term.part || groups.back().in != term.in)
      groups.push_back(
          {static_cast<std::int32_t>(term.part), static_cast<std::int32_t>(term.in), place, place});
    grouped.push_back(
        {static_cast<std::int32_t>(term.out), static_cast<std::int32_t>(term.factor)});
    groups.back().end = place + 1;
  }
}

torch::Tensor convolution(ConvolutionInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms);
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
      if (shape.single()) {
        if (!spline_kernel<scalar_t>().sums(all, order.by_target, begin, end, result))
          right = false;
        return;
      }
      auto const& kernel = convolution_kernel<scalar_t>();
      auto const scratch = torch::empty({kernel.scratch(all)}, sums.options());
      if (!kernel.sums(all, order.by_target, begin, end, scratch.mutable_data_ptr<scalar_t>(),
                       result))
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
  Shape const shape(inputs.terms);
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
        features_too ? to_features.mutable_data_ptr<scalar_t>() : nullptr, nullptr};
    if (shape.single())
      at::parallel_for(
          0, sources, grain(sources, all.edges), [&](std::int64_t begin, std::int64_t end) {
            spline_kernel<scalar_t>().gradients(all, order.by_source, rows, begin, end, results);
          });
    else
      add_tiles(all, order.by_target, rows, to_r, to_factors, results.features);
  });
  return {to_r, to_features, to_factors};
}

torch::Tensor composite_convolution(ConvolutionInputs const& inputs, std::int64_t nodes) {
  Shape const shape(inputs.terms);
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
  Shape const shape(inputs.terms);
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
