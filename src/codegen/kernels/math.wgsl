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

// GELU, tanh form, and its slope, by e = e^-2u, where u is what GELU takes the tanh of: (1 + tanh u) / 2 is 1 / (1 + e), and no digits cancel. From
// -10 down e is held, so that it stays finite: GELU is 1e-37 there and its slope, too.
fn gelu_exp_(x: f32) -> f32 {
  let y = clamp(x, -10.0, 30.0);
  return exp(-1.5957691216057308 * (y + 0.044715 * y * y * y));
}

fn gelu_(x: f32) -> f32 {
  return x / (1.0 + gelu_exp_(x));
}

fn gelu_slope_(x: f32) -> f32 {
  let e = gelu_exp_(x);
  let s = 1.0 / (1.0 + e);
  let y = clamp(x, -10.0, 30.0);
  return s + 1.5957691216057308 * y * (s * (e * s)) * (1.0 + 0.134145 * y * y);
}

fn silu_slope_(x: f32) -> f32 {
  let s = sigmoid_(x);
  return s * (1.0 + x * (1.0 - s));
}
