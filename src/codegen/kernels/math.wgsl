// Functions that drivers get wrong or that lose digits: built-in tanh overflows on some, e^x - 1 cancels near 0.
// tanh: odd polynomial below 0.625 (Cephes tanhf), else from e^2|x|, which is 1 to the last bit from 9 on.
fn tanh_(x: f32) -> f32 {
  let a = abs(x);
  let z = x * x;
  let small = x + x * z * ((((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z - 3.33332819422e-1);
  let large = 1.0 - 2.0 / (exp(2.0 * min(a, 9.5)) + 1.0);
  return select(select(large, -large, x < 0.0), small, a < 0.625);
}

// e^x - 1: Taylor to x^8 within 0.35, where it is exact to f32; e^x - 1 outside.
fn expm1_(x: f32) -> f32 {
  let small = x * (1.0 + x * (0.5 + x * (1.6666667e-1 + x * (4.1666667e-2 + x * (8.3333333e-3 + x * (1.3888889e-3 + x * (1.9841270e-4 + x * 2.4801587e-5)))))));
  return select(exp(min(x, 88.0)) - 1.0, small, abs(x) < 0.35);
}

// 1 / (1 + e^-x), from the side that does not overflow.
fn sigmoid_(x: f32) -> f32 {
  let e = exp(-min(abs(x), 88.0));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

// GELU, tanh form, and its slope: beyond ±30 they are 0 or x, and 0 or 1, to the last bit.
fn gelu_(x: f32) -> f32 {
  let y = clamp(x, -30.0, 30.0);
  return 0.5 * x * (1.0 + tanh_(0.7978845608028654 * (y + 0.044715 * y * y * y)));
}

fn gelu_slope_(x: f32) -> f32 {
  let y = clamp(x, -30.0, 30.0);
  let t = tanh_(0.7978845608028654 * (y + 0.044715 * y * y * y));
  return 0.5 * (1.0 + t) + 0.5 * y * (1.0 - t * t) * 0.7978845608028654 * (1.0 + 0.134145 * y * y);
}

fn silu_slope_(x: f32) -> f32 {
  let s = sigmoid_(x);
  return s * (1.0 + x * (1.0 - s));
}
