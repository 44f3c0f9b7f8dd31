#include "operators/products_registration.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include "operators/products.hpp"
#include "torchml/common/error.hpp"

namespace torchml::operators {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using TwoTensors = std::tuple<Tensor, Tensor>;

constexpr Schema kProducts = {
    "torchml::products",
    "products(Tensor x, Tensor elements, Tensor coefficients, Tensor terms, int outputs) -> "
    "Tensor"};
constexpr Schema kWithSlopes = {
    "torchml::products_with_slopes",
    "products_with_slopes(Tensor x, Tensor elements, Tensor coefficients, Tensor terms) -> "
    "(Tensor, Tensor)"};
constexpr Schema kBackward = {
    "torchml::products_backward",
    "products_backward(Tensor gradient, Tensor x, Tensor elements, Tensor coefficients, Tensor "
    "terms, bool coefficients_too) -> (Tensor, Tensor)"};
constexpr Schema kSecond = {
    "torchml::products_second",
    "products_second(Tensor direction, Tensor gradient, Tensor x, Tensor elements, Tensor "
    "coefficients, Tensor terms, bool coefficients_too) -> (Tensor, Tensor, Tensor)"};

using ProductsSignature = Tensor(Tensor const&, Tensor const&, Tensor const&, Tensor const&,
                                 std::int64_t);
using WithSlopesSignature = TwoTensors(Tensor const&, Tensor const&, Tensor const&, Tensor const&);
using BackwardSignature = TwoTensors(Tensor const&, Tensor const&, Tensor const&, Tensor const&,
                                     Tensor const&, bool);
using SecondSignature = ProductSecondDerivatives(Tensor const&, Tensor const&, Tensor const&,
                                                 Tensor const&, Tensor const&, Tensor const&, bool);

// --- on the CPU, and by torch's own operators elsewhere

Tensor products_cpu(Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                    Tensor const& terms, std::int64_t outputs) {
  return products({x, elements, coefficients, terms}, outputs);
}

TwoTensors with_slopes_cpu(Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                           Tensor const& terms) {
  return products_with_slopes({x, elements, coefficients, terms});
}

TwoTensors backward_cpu(Tensor const& gradient, Tensor const& x, Tensor const& elements,
                        Tensor const& coefficients, Tensor const& terms, bool coefficients_too) {
  return products_backward(gradient, {x, elements, coefficients, terms}, coefficients_too);
}

ProductSecondDerivatives second_cpu(Tensor const& direction, Tensor const& gradient,
                                    Tensor const& x, Tensor const& elements,
                                    Tensor const& coefficients, Tensor const& terms,
                                    bool coefficients_too) {
  return products_second(direction, gradient, {x, elements, coefficients, terms}, coefficients_too);
}

Tensor products_elsewhere(Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                          Tensor const& terms, std::int64_t outputs) {
  return composite_products({x, elements, coefficients, terms}, outputs);
}

// --- shapes alone, for tracing

Tensor contiguous_like(Tensor const& tensor) {
  return tensor.new_empty_symint(tensor.sym_sizes());
}

Tensor products_shape(Tensor const& x, Tensor const& /*elements*/, Tensor const& /*coefficients*/,
                      Tensor const& /*terms*/, std::int64_t outputs) {
  return x.new_empty_symint({x.sym_size(0), outputs, x.sym_size(2)});
}

TwoTensors with_slopes_shape(Tensor const& x, Tensor const& /*elements*/,
                             Tensor const& /*coefficients*/, Tensor const& /*terms*/) {
  return {x.new_empty_symint({x.sym_size(0), 1, x.sym_size(2)}), contiguous_like(x)};
}

TwoTensors backward_shape(Tensor const& /*gradient*/, Tensor const& x, Tensor const& /*elements*/,
                          Tensor const& coefficients, Tensor const& /*terms*/,
                          bool coefficients_too) {
  return {contiguous_like(x), coefficients_too ? contiguous_like(coefficients) : x.new_empty({0})};
}

ProductSecondDerivatives second_shape(Tensor const& /*direction*/, Tensor const& gradient,
                                      Tensor const& x, Tensor const& /*elements*/,
                                      Tensor const& coefficients, Tensor const& /*terms*/,
                                      bool coefficients_too) {
  return {contiguous_like(gradient), contiguous_like(x),
          coefficients_too ? contiguous_like(coefficients) : x.new_empty({0})};
}

// --- derivatives

Tensor call_products(Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                     Tensor const& terms, std::int64_t outputs) {
  return handle<ProductsSignature>(kProducts).call(x, elements, coefficients, terms, outputs);
}

TwoTensors call_backward(Tensor const& gradient, Tensor const& x, Tensor const& elements,
                         Tensor const& coefficients, Tensor const& terms, bool coefficients_too) {
  return handle<BackwardSignature>(kBackward).call(gradient, x, elements, coefficients, terms,
                                                   coefficients_too);
}

struct ProductsFunction : Function<ProductsFunction> {
  static Tensor forward(AutogradContext* context, Tensor const& x, Tensor const& elements,
                        Tensor const& coefficients, Tensor const& terms, std::int64_t outputs) {
    at::AutoDispatchBelowADInplaceOrView const below;
    // A step of dynamics: the derivatives come with the value, in the same walk.
    if (outputs == 1 && x.requires_grad() && !coefficients.requires_grad()) {
      auto const [values, slopes] =
          handle<WithSlopesSignature>(kWithSlopes).call(x, elements, coefficients, terms);
      context->save_for_backward({x, elements, coefficients, terms, slopes});
      return values;
    }
    context->save_for_backward({x, elements, coefficients, terms});
    return call_products(x, elements, coefficients, terms, outputs);
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    if (saved.size() == 5 && !at::GradMode::is_enabled())
      return {gradients[0] * saved[4], {}, {}, {}, {}};
    bool const coefficients_too = context->needs_input_grad(2);
    auto const [to_x, to_coefficients] =
        call_backward(gradients[0], saved[0], saved[1], saved[2], saved[3], coefficients_too);
    return {to_x, {}, coefficients_too ? to_coefficients : Tensor(), {}, {}};
  }
};

struct ProductsBackwardFunction : Function<ProductsBackwardFunction> {
  static variable_list forward(AutogradContext* context, Tensor const& gradient, Tensor const& x,
                               Tensor const& elements, Tensor const& coefficients,
                               Tensor const& terms, bool coefficients_too) {
    at::AutoDispatchBelowADInplaceOrView const below;
    context->save_for_backward({gradient, x, elements, coefficients, terms});
    auto const [to_x, to_coefficients] =
        call_backward(gradient, x, elements, coefficients, terms, coefficients_too);
    return {to_x, to_coefficients};
  }
  static variable_list backward(AutogradContext* context, variable_list const& gradients) {
    auto const saved = context->get_saved_variables();
    auto const &gradient = saved[0], &x = saved[1], &elements = saved[2], &coefficients = saved[3],
               &terms = saved[4];
    Tensor to_gradient, to_x, to_coefficients;
    if (gradients[0].defined()) {
      bool const coefficients_too = context->needs_input_grad(3);
      std::tie(to_gradient, to_x, to_coefficients) = handle<SecondSignature>(kSecond).call(
          gradients[0], gradient, x, elements, coefficients, terms, coefficients_too);
      if (!coefficients_too) to_coefficients = Tensor();
    }
    if (gradients[1].defined() && gradients[1].numel() > 0) {
      // The derivative by the coefficients, times this, is the polynomials with this in their
      // place.
      auto const values = call_products(x, elements, gradients[1], terms, gradient.size(1));
      auto const slopes =
          std::get<0>(call_backward(gradient, x, elements, gradients[1], terms, false));
      to_gradient = to_gradient.defined() ? to_gradient + values : values;
      to_x = to_x.defined() ? to_x + slopes : slopes;
    }
    return {to_gradient, to_x, {}, to_coefficients, {}, {}};
  }
};

struct ProductsSecondFunction : Function<ProductsSecondFunction> {
  static variable_list forward(AutogradContext*, Tensor const& direction, Tensor const& gradient,
                               Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                               Tensor const& terms, bool coefficients_too) {
    at::AutoDispatchBelowADInplaceOrView const below;
    auto const [to_gradient, to_x, to_coefficients] = handle<SecondSignature>(kSecond).call(
        direction, gradient, x, elements, coefficients, terms, coefficients_too);
    return {to_gradient, to_x, to_coefficients};
  }
  static variable_list backward(AutogradContext*, variable_list const&) {
    throw Error("torchml::products: third derivatives do not exist, expected second ones at most");
  }
};

Tensor products_autograd(Tensor const& x, Tensor const& elements, Tensor const& coefficients,
                         Tensor const& terms, std::int64_t outputs) {
  if (!x.is_cpu() && !x.is_meta())
    return products_elsewhere(x, elements, coefficients, terms, outputs);
  bool const differentiated =
      at::GradMode::is_enabled() && (x.requires_grad() || coefficients.requires_grad());
  if (differentiated) return ProductsFunction::apply(x, elements, coefficients, terms, outputs);
  at::AutoDispatchBelowADInplaceOrView const below;
  return call_products(x, elements, coefficients, terms, outputs);
}

TwoTensors backward_autograd(Tensor const& gradient, Tensor const& x, Tensor const& elements,
                             Tensor const& coefficients, Tensor const& terms,
                             bool coefficients_too) {
  auto const results =
      ProductsBackwardFunction::apply(gradient, x, elements, coefficients, terms, coefficients_too);
  return {results[0], results[1]};
}

ProductSecondDerivatives second_autograd(Tensor const& direction, Tensor const& gradient,
                                         Tensor const& x, Tensor const& elements,
                                         Tensor const& coefficients, Tensor const& terms,
                                         bool coefficients_too) {
  auto const results = ProductsSecondFunction::apply(direction, gradient, x, elements, coefficients,
                                                     terms, coefficients_too);
  return {results[0], results[1], results[2]};
}

}  // namespace

std::vector<Schema> const& products_schemas() {
  static std::vector<Schema> const schemas = {kProducts, kWithSlopes, kBackward, kSecond};
  return schemas;
}

void implement_products(Libraries const& libraries) {
  libraries.cpu.impl("products", products_cpu);
  libraries.cpu.impl("products_with_slopes", with_slopes_cpu);
  libraries.cpu.impl("products_backward", backward_cpu);
  libraries.cpu.impl("products_second", second_cpu);
  libraries.cuda.impl("products", products_elsewhere);
  libraries.meta.impl("products", products_shape);
  libraries.meta.impl("products_with_slopes", with_slopes_shape);
  libraries.meta.impl("products_backward", backward_shape);
  libraries.meta.impl("products_second", second_shape);
  libraries.autograd.impl("products", products_autograd);
  libraries.autograd.impl("products_backward", backward_autograd);
  libraries.autograd.impl("products_second", second_autograd);
}

}  // namespace torchml::operators
