#include "operators/products.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <string>
#include <vector>

#include "operators/element_shares.hpp"
#include "operators/product_plan.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

[[noreturn]] void refuse_products(std::string const& what) {
  throw Error("torchml::products: " + what);
}

std::string numbers(at::IntArrayRef sizes) {
  std::string text;
  for (auto const size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

void check(ProductInputs const& inputs, std::int64_t outputs) {
  auto const& [x, elements, coefficients, terms] = inputs;
  auto const type = x.scalar_type();
  if (x.dim() != 3 || (type != torch::kFloat32 && type != torch::kFloat64))
    refuse_products("x is not a float tensor [n, rows, channels], but " + numbers(x.sizes()));
  if (elements.dim() != 1 || elements.size(0) != x.size(0) ||
      elements.scalar_type() != torch::kInt64)
    refuse_products("the elements do not fit, expected i64 [" + std::to_string(x.size(0)) + "]");
  if (terms.dim() != 2 || terms.size(1) < 2 || terms.scalar_type() != torch::kInt32)
    refuse_products("the terms are not an i32 tensor [T, 1 + degree], but " +
                    numbers(terms.sizes()));
  if (coefficients.dim() != 3 || coefficients.size(1) != terms.size(0) ||
      coefficients.size(2) != x.size(2) || coefficients.scalar_type() != type)
    refuse_products("the coefficients do not fit, expected [Z, " + std::to_string(terms.size(0)) +
                    ", " + std::to_string(x.size(2)) + "] of x's type");
  if (outputs < 1)
    refuse_products("there are " + std::to_string(outputs) + " outputs, expected 1 or more");
}

void check_shape(char const* name, torch::Tensor const& tensor, torch::Tensor const& x,
                 std::int64_t rows) {
  if (tensor.dim() != 3 || tensor.size(0) != x.size(0) || tensor.size(1) != rows ||
      tensor.size(2) != x.size(2) || tensor.scalar_type() != x.scalar_type())
    refuse_products(std::string("the ") + name + " does not fit, expected [" +
                    std::to_string(x.size(0)) + ", " + std::to_string(rows) + ", " +
                    std::to_string(x.size(2)) + "] of x's type");
}

/// Atoms of a share.
constexpr std::int64_t kAtomsOfShare = 256;

/// Tensors that are requested; the others are undefined.
struct ProductTensors {
  torch::Tensor values;
  torch::Tensor to_x;
  torch::Tensor to_coefficients;
};

/// Evaluates polynomials into contiguous tensors. `gradient` and `direction` may be undefined.
void evaluate(ProductInputs const& inputs, std::int64_t outputs, torch::Tensor const& gradient,
              torch::Tensor const& direction, ProductTensors const& results) {
  auto const terms = inputs.terms.contiguous();
  auto const plan =
      product_plan(terms.const_data_ptr<std::int32_t>(), terms.size(0), terms.size(1) - 1, outputs);
  auto const x = inputs.x.contiguous();
  auto const coefficients = inputs.coefficients.contiguous();
  auto const rows_of_gradient = gradient.defined() ? gradient.contiguous() : gradient;
  auto const rows_of_direction = direction.defined() ? direction.contiguous() : direction;
  if (plan->rows > x.size(1))
    refuse_products("a term has the factor " + std::to_string(plan->rows - 1) + ", but x has " +
                    std::to_string(x.size(1)) + " rows, expected a row of x");
  auto const elements = inputs.elements.contiguous();
  ElementShares const shares("products", elements.const_data_ptr<std::int64_t>(), x.size(0),
                             x.size(0), coefficients.size(0), kAtomsOfShare);
  auto const count = static_cast<std::int64_t>(shares.all.size());
  torch::Tensor parts;  // of the derivative by the coefficients
  if (results.to_coefficients.defined())
    parts = torch::empty({count, terms.size(0), x.size(2)}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "torchml::products", [&] {
    auto const& kernel = products_kernel<scalar_t>();
    auto const in = [](torch::Tensor const& tensor) -> scalar_t const* {
      return tensor.defined() ? tensor.const_data_ptr<scalar_t>() : nullptr;
    };
    auto const out = [](torch::Tensor const& tensor) -> scalar_t* {
      return tensor.defined() ? tensor.mutable_data_ptr<scalar_t>() : nullptr;
    };
    Products<scalar_t> const all = {plan->nodes.data(),
                                    plan->leaves.data(),
                                    plan->order.data(),
                                    terms.size(0),
                                    x.size(1),
                                    outputs,
                                    x.size(2),
                                    in(x),
                                    in(coefficients),
                                    in(rows_of_gradient),
                                    in(rows_of_direction)};
    ProductResults<scalar_t> const to = {out(results.values), out(results.to_x), out(parts)};
    auto const tiles = (all.channels + kernel.lanes - 1) / kernel.lanes;
    at::parallel_for(0, tiles * count, 1, [&](std::int64_t begin, std::int64_t end) {
      auto const scratch = torch::empty({kernel.scratch(all)}, x.options());  // aligned to 64 bytes
      for (auto task = begin; task < end; ++task)
        kernel.run(all, shares.all[task % count], task / count * kernel.lanes,
                   scratch.mutable_data_ptr<scalar_t>(), to);
    });
  });
  if (!results.to_coefficients.defined()) return;
  results.to_coefficients.zero_();
  for (auto const& share : shares.all)
    results.to_coefficients.select(0, share.element).add_(parts.select(0, share.number));
}

torch::Tensor of_outputs(torch::Tensor const& x, std::int64_t outputs) {
  return torch::empty({x.size(0), outputs, x.size(2)}, x.options());
}

torch::Tensor of_sizes(torch::Tensor const& like) {
  return torch::empty(like.sizes(), like.options());
}

}  // namespace

torch::Tensor products(ProductInputs const& inputs, std::int64_t outputs) {
  check(inputs, outputs);
  auto values = of_outputs(inputs.x, outputs);
  evaluate(inputs, outputs, {}, {}, {values, {}, {}});
  return values;
}

std::tuple<torch::Tensor, torch::Tensor> products_with_slopes(ProductInputs const& inputs) {
  check(inputs, 1);
  auto values = of_outputs(inputs.x, 1);
  auto slopes = of_sizes(inputs.x);
  evaluate(inputs, 1, {}, {}, {values, slopes, {}});
  return {values, slopes};
}

std::tuple<torch::Tensor, torch::Tensor> products_backward(torch::Tensor const& gradient,
                                                           ProductInputs const& inputs,
                                                           bool coefficients_too) {
  auto const outputs = gradient.dim() == 3 ? gradient.size(1) : 1;
  check(inputs, outputs);
  check_shape("gradient", gradient, inputs.x, outputs);
  auto to_x = of_sizes(inputs.x);
  auto to_coefficients = coefficients_too ? of_sizes(inputs.coefficients) : torch::Tensor();
  evaluate(inputs, outputs, gradient, {}, {{}, to_x, to_coefficients});
  return {to_x, coefficients_too ? to_coefficients : torch::empty({0}, to_x.options())};
}

ProductSecondDerivatives products_second(torch::Tensor const& direction,
                                         torch::Tensor const& gradient, ProductInputs const& inputs,
                                         bool coefficients_too) {
  auto const outputs = gradient.dim() == 3 ? gradient.size(1) : 1;
  check(inputs, outputs);
  check_shape("gradient", gradient, inputs.x, outputs);
  check_shape("direction", direction, inputs.x, inputs.x.size(1));
  auto to_gradient = of_outputs(inputs.x, outputs);
  auto to_x = of_sizes(inputs.x);
  auto to_coefficients = coefficients_too ? of_sizes(inputs.coefficients) : torch::Tensor();
  evaluate(inputs, outputs, gradient, direction, {to_gradient, to_x, to_coefficients});
  return {to_gradient, to_x,
          coefficients_too ? to_coefficients : torch::empty({0}, to_x.options())};
}

torch::Tensor composite_products(ProductInputs const& inputs, std::int64_t outputs) {
  check(inputs, outputs);
  auto const& [x, elements, coefficients, terms] = inputs;
  auto const one = torch::ones_like(x.slice(1, 0, 1));
  auto const rows = torch::cat({x, one}, 1);
  auto const factors = terms.slice(1, 1);
  auto const places = torch::where(factors < 0, x.size(1), factors).to(torch::kInt64);
  auto summands = coefficients.index_select(0, elements);
  for (std::int64_t f = 0; f < places.size(1); ++f)
    summands = summands * rows.index_select(1, places.select(1, f));
  return torch::zeros({x.size(0), outputs, x.size(2)}, x.options())
      .index_add(1, terms.select(1, 0).to(torch::kInt64), summands);
}

}  // namespace torchml::operators
